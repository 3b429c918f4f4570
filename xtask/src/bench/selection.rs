//! The workloads and proxies that the flags select.
//!
//! Called by `bench`.

use super::peers::{ALL as ALL_PEERS, Peer};
use super::workloads::{self, Workload};

/// Returns the workloads that `names` select. A name is the whole name of a workload, or the start
/// of workload names up to a hyphen. Without names, returns all workloads that can be run.
///
/// # Errors
/// A name matches no workload, or a selected workload cannot be measured yet.
pub(crate) fn workloads(names: &[String]) -> anyhow::Result<Vec<&'static Workload>> {
    for name in names {
        if !workloads::ALL
            .iter()
            .any(|workload| answers_to(workload, name))
        {
            let known: Vec<_> = workloads::ALL
                .iter()
                .map(|workload| workload.name)
                .collect();
            anyhow::bail!(
                "no workload is named {name}; there are {}",
                known.join(", ")
            );
        }
    }
    let wanted = |workload: &&Workload| {
        names.is_empty() || names.iter().any(|name| answers_to(workload, name))
    };
    Ok(workloads::ALL.iter().filter(wanted).collect())
}

/// Returns the peers that `names` select, always including Pointsman. Without names, returns all.
///
/// # Errors
/// A name matches no peer.
pub(crate) fn peers(names: &[String]) -> anyhow::Result<Vec<Peer>> {
    for name in names {
        if !ALL_PEERS.iter().any(|peer| peer.name() == name) {
            let known: Vec<_> = ALL_PEERS.iter().map(|peer| peer.name()).collect();
            anyhow::bail!("no peer is named {name}; there are {}", known.join(", "));
        }
    }
    let wanted = |peer: &Peer| {
        *peer == Peer::Pointsman || names.is_empty() || names.iter().any(|name| name == peer.name())
    };
    Ok(ALL_PEERS.iter().copied().filter(wanted).collect())
}

/// Returns whether `name` is the workload's whole name, or the start of that name up to a hyphen.
fn answers_to(workload: &Workload, name: &str) -> bool {
    workload
        .name
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selection() {
        let check = |names: &[&str], expected: &[&str]| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            let found: Vec<_> = workloads(&names)
                .unwrap()
                .iter()
                .map(|one| one.name)
                .collect();
            assert_eq!(found, expected, "{names:?}");
        };
        check(&["get"], &["get"]);
        check(&["body-64k"], &["body-64k-down", "body-64k-up"]);
        check(
            &["start", "ws"],
            &["ws-small", "ws-large", "ws-idle", "start"],
        );
        assert!(workloads(&["bod".to_owned()]).is_err());
        assert_eq!(workloads(&[]).unwrap().len(), workloads::ALL.len());
    }

    #[test]
    fn pointsman_is_always_there() {
        let found = peers(&["nginx".to_owned()]).unwrap();
        assert_eq!(found, [Peer::Pointsman, Peer::Nginx]);
        assert!(peers(&["apache".to_owned()]).is_err());
    }
}
