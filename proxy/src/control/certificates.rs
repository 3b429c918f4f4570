//! Certificates whose files change on disk, and certificates that are about to expire.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Control, blocking};
use crate::sites::{CertificateSource, CertificateState, Refreshed, SiteState};

/// Remaining validity at which a warning is logged, once for each value. The three values leave
/// time to plan, to act, and to alert an operator.
const WARNINGS: [Duration; 3] = [
    Duration::from_hours(14 * 24),
    Duration::from_hours(7 * 24),
    Duration::from_hours(24),
];
/// Interval between checks of the certificates, and thus the longest delay of a warning.
const INTERVAL: Duration = Duration::from_hours(1);

/// The result of reading files that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// There is nothing to do until the files change again.
    Done,
    /// Another attempt to read the files may succeed.
    TryAgain,
}

impl Control {
    /// Loads the files of a `[tls.NAME]` if they have changed and are consistent with one another.
    pub(super) async fn refresh_site(&self, name: &str) -> Taken {
        let sites = self.sites();
        let read = {
            let name = name.to_owned();
            blocking(move || {
                let refreshed = sites.refresh(&name, SystemTime::now());
                (refreshed, sites.states())
            })
        };
        match read.await {
            // `Err` means that the configuration no longer names this site.
            Ok((Err(_) | Ok(Refreshed::Unchanged), _)) => Taken::Done,
            Ok((Ok(Refreshed::Replaced), sites)) => {
                let site = sites.iter().find(|site| site.name == name);
                for certificate in site.map_or(&[][..], |site| &site.certificates) {
                    announce(name, certificate);
                }
                Taken::Done
            }
            Ok((
                Ok(Refreshed::Refused {
                    reason,
                    is_news,
                    is_transient,
                }),
                _,
            )) => {
                if is_news {
                    tracing::error!(
                        tls = name,
                        "the new certificates are refused, the current ones stay in force: {reason}"
                    );
                }
                if is_transient {
                    Taken::TryAgain
                } else {
                    Taken::Done
                }
            }
            Err(error) => {
                tracing::error!(tls = name, %error, "certificates could not be reloaded");
                Taken::Done
            }
        }
    }

    /// Warns about certificates that are about to expire, until the process ends.
    pub async fn watch_expiry(self) {
        let mut warned = HashMap::new();
        loop {
            let now = SystemTime::now();
            let sites = self.sites();
            for site in sites.drop_outdated_ocsp(now) {
                tracing::warn!(
                    tls = site,
                    "an OCSP response is out of date and is no longer sent"
                );
            }
            for (name, certificate) in due(&sites.states(), &mut warned, now) {
                warn(&name, &certificate, now);
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

fn announce(name: &str, certificate: &CertificateState) {
    let facts = &certificate.facts;
    tracing::info!(
        tls = name,
        names = facts.names.join(","),
        not_after = facts.not_after,
        sha256 = &*facts.sha256,
        "certificate in force"
    );
}

fn warn(name: &str, certificate: &CertificateState, now: SystemTime) {
    let facts = &certificate.facts;
    let names = facts.names.join(",");
    let file = match &certificate.source {
        CertificateSource::File(path) => path.display().to_string(),
        CertificateSource::Issued => String::new(),
    };
    if let Some(left) = left(certificate, now) {
        let hours = left.as_secs() / 3600;
        tracing::warn!(
            tls = name,
            names,
            file,
            hours,
            "a certificate is about to expire"
        );
    } else {
        tracing::error!(tls = name, names, file, "a certificate has expired");
    }
}

/// Returns the remaining validity; None if the certificate has expired.
fn left(certificate: &CertificateState, now: SystemTime) -> Option<Duration> {
    let end = u64::try_from(certificate.facts.not_after).unwrap_or_default();
    (UNIX_EPOCH + Duration::from_secs(end))
        .duration_since(now)
        .ok()
}

/// Returns how many of the [`WARNINGS`] are due, plus one if the certificate has expired.
fn stage(certificate: &CertificateState, now: SystemTime) -> usize {
    let Some(left) = left(certificate, now) else {
        return WARNINGS.len() + 1;
    };
    WARNINGS.iter().filter(|limit| left <= **limit).count()
}

/// Returns the certificates to warn about now. `warned` maps each site and fingerprint to the
/// number of warnings that were due at the last check.
fn due(
    sites: &[SiteState],
    warned: &mut HashMap<(String, Box<str>), usize>,
    now: SystemTime,
) -> Vec<(String, CertificateState)> {
    let mut due = Vec::new();
    let mut present = HashMap::new();
    for site in sites {
        for certificate in &site.certificates {
            let key = (site.name.clone(), certificate.facts.sha256.clone());
            let stage = stage(certificate, now);
            if stage > warned.get(&key).copied().unwrap_or(0) {
                due.push((site.name.clone(), certificate.clone()));
            }
            present.insert(key, stage);
        }
    }
    *warned = present;
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::tls::CertificateFacts;

    #[test]
    fn each_warning_comes_once() {
        const DAY: u64 = 24 * 3600;
        let end = 1000 * DAY;
        let certificate = |sha256: &str, not_after: u64| CertificateState {
            facts: CertificateFacts {
                subject: "".into(),
                issuer: "".into(),
                names: vec!["a.test.tld".into()],
                serial: "1".into(),
                sha256: sha256.into(),
                not_before: 0,
                not_after: not_after.try_into().unwrap(),
            },
            source: CertificateSource::Issued,
        };
        let mut sites = [SiteState {
            name: "site".into(),
            certificates: vec![certificate("a", end), certificate("b", 2 * end)],
        }];
        let mut warned = HashMap::new();
        let mut check = |sites: &[SiteState], seconds: u64, expected: &[&str]| {
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            let due = due(sites, &mut warned, now);
            let due: Vec<_> = due.iter().map(|(_, one)| &*one.facts.sha256).collect();
            assert_eq!(due, expected, "{seconds}");
        };
        check(&sites, end - 15 * DAY, &[]);
        check(&sites, end - 14 * DAY, &["a"]);
        check(&sites, end - 13 * DAY, &[]);
        check(&sites, end - 7 * DAY, &["a"]);
        check(&sites, end - DAY - 1, &[]);
        check(&sites, end - DAY, &["a"]);
        check(&sites, end - 1, &[]);
        check(&sites, end + 1, &["a"]);
        check(&sites, end + DAY, &[]);
        // A new certificate replaces the one that has expired.
        sites[0].certificates[0] = certificate("c", end + 8 * DAY);
        check(&sites, end + DAY, &["c"]);
        sites[0].certificates.remove(0);
        check(&sites, end + DAY, &[]);
    }
}
