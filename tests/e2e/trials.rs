//! Versions on trial in addition to the active one: shadows and canaries.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;

use anyhow::{Context as _, bail, ensure};
use pointsman_tests::{DEADLINE, Proxy, Wire};
use serde_json::Value;

use crate::swaps::{BROKEN, GET, OTHER, config, deciding, put, release, start, status};
use crate::tunnels::echo_or_www;

/// Number of clients, each with its own address.
const CLIENTS: u8 = 200;

#[tokio::test]
async fn a_shadow_is_compared_and_decides_nothing() -> anyhow::Result<()> {
    let (_www, proxy) = start("harmless", "").await?;
    fs::write(proxy.directory().join("other.wasm"), release(OTHER)?)?;
    proxy
        .ctl(&["swap", "http-in", "other.wasm", "--shadow", "50%"])
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let request = "GET /secret HTTP/1.1\r\nHost: www.test.tld\r\nCookie: token\r\nX-A: b\r\n\r\n";
    for _ in 0..20 {
        assert_eq!(client.exchange(request).await?.body, b"www");
    }
    let trials = proxy.ctl(&["trials", "--json"]).await?;
    let trials: serde_json::Value = serde_json::from_str(&trials)?;
    let trial = &trials["trials"][0];
    assert_eq!(
        (&trial["asked"], &trial["differing"]),
        (&10.into(), &10.into())
    );
    let example = &trial["examples"][0];
    assert_eq!(example["active"], "the default backend");
    assert_eq!(example["trial"], "answer 404");
    let fields = example["fields"].to_string();
    assert!(fields.contains(r#"["cookie",null]"#), "{fields}");
    assert!(fields.contains(r#"["x-a","b"]"#), "{fields}");
    let text = proxy.ctl(&["trials"]).await?;
    assert!(
        text.contains("(not shown)") && !text.contains("token"),
        "{text}"
    );
    assert_eq!(deciding(&proxy).await?, "1");
    // A promotion makes the version on trial the active one.
    proxy.ctl(&["promote", "http-in"]).await?;
    assert_eq!(status(&proxy).await?, 404);
    let refused = proxy.ctl(&["abort", "http-in"]).await;
    assert!(
        format!("{refused:?}").contains("no version on trial"),
        "{refused:?}"
    );
    // A promotion can be rolled back.
    proxy.ctl(&["rollback", "http-in"]).await?;
    assert_eq!(deciding(&proxy).await?, "1");
    Ok(())
}

/// Sends a request from each of the clients, and returns the clients for which the version on trial
/// decides.
async fn taken(proxy: &Proxy) -> anyhow::Result<BTreeSet<u8>> {
    let mut taken = BTreeSet::new();
    for client in 1..=CLIENTS {
        let source = Ipv4Addr::new(127, 0, 5, client);
        let mut client_wire = Wire::connect_from(source, proxy.address()).await?;
        match client_wire.exchange(GET).await?.head.status()? {
            404 => {
                taken.insert(client);
            }
            200 => {}
            status => bail!("{status}"),
        }
    }
    Ok(taken)
}

#[tokio::test]
async fn a_canary_decides_for_its_share_and_harms_nobody() -> anyhow::Result<()> {
    let (_www, proxy) = start("harmless", "router.max_faults = 3").await?;
    fs::write(proxy.directory().join("other.wasm"), release(OTHER)?)?;
    let swap = ["swap", "http-in", "other.wasm", "--canary"];
    proxy.ctl(&[&swap[..], &["30"]].concat()).await?;
    let few = taken(&proxy).await?;
    let share = few.len() * 100 / usize::from(CLIENTS);
    assert!((20..=40).contains(&share), "{share} %");
    assert_eq!(taken(&proxy).await?, few, "the same clients each time");
    let trials = trials(&proxy).await?;
    assert_eq!(trials[0]["asked"], 2 * few.len());
    proxy.ctl(&[&swap[..], &["70"]].concat()).await?;
    let more = taken(&proxy).await?;
    let share = more.len() * 100 / usize::from(CLIENTS);
    assert!((60..=80).contains(&share), "{share} %");
    assert!(more.is_superset(&few));
    proxy.ctl(&[&swap[..], &["100"]].concat()).await?;
    assert_eq!(taken(&proxy).await?.len(), usize::from(CLIENTS));
    proxy.ctl(&["abort", "http-in"]).await?;
    assert!(taken(&proxy).await?.is_empty());
    for share in ["0", "101", "-1", "some"] {
        assert!(
            proxy.ctl(&[&swap[..], &[share]].concat()).await.is_err(),
            "{share}"
        );
    }
    Ok(())
}

async fn trials(proxy: &Proxy) -> anyhow::Result<Vec<Value>> {
    let trials: Value = serde_json::from_str(&proxy.ctl(&["trials", "--json"]).await?)?;
    Ok(trials["trials"].as_array().context("trials")?.clone())
}

/// A second version on trial replaces the first one. The results of the first trial stay visible.
#[tokio::test]
async fn a_second_candidate_replaces_the_first() -> anyhow::Result<()> {
    let (_www, proxy) = start("harmless", "").await?;
    fs::write(proxy.directory().join("other.wasm"), release(OTHER)?)?;
    put(&proxy.directory().join("next.wasm"), "next")?;
    let trial =
        async |file: &str, kind: &str| proxy.ctl(&["swap", "http-in", file, kind, "100"]).await;
    trial("other.wasm", "--shadow").await?;
    assert_eq!(status(&proxy).await?, 200);
    trial("next.wasm", "--canary").await?;
    assert_eq!(deciding(&proxy).await?, "3");
    let both = trials(&proxy).await?;
    let described: Vec<_> = both
        .iter()
        .map(|trial| {
            (
                &trial["number"],
                &trial["mode"],
                &trial["state"],
                &trial["asked"],
            )
        })
        .map(|all| serde_json::json!(all))
        .collect();
    assert_eq!(
        described,
        [
            serde_json::json!([3, "canary", "running", 1]),
            serde_json::json!([2, "shadow", "replaced", 1]),
        ]
    );
    assert_eq!(both[1]["differing"], 1);
    assert_eq!(both[1]["examples"][0]["trial"], "answer 404");
    // A swap ends the second trial, whose results stay visible.
    proxy.ctl(&["swap", "http-in"]).await?;
    assert_eq!(deciding(&proxy).await?, "4");
    let last = trials(&proxy).await?;
    assert_eq!(last.len(), 1, "{last:?}");
    assert_eq!(
        (&last[0]["number"], &last[0]["state"]),
        (&3.into(), &"superseded".into())
    );
    let text = proxy.ctl(&["trials"]).await?;
    assert!(
        text.contains("  superseded on ") && text.contains("  calls 1,"),
        "{text}"
    );
    Ok(())
}

/// Examples of a trial are safe for terminals, and are redacted: they show nothing harmful or
/// secret from a client's request.
#[tokio::test]
async fn examples_are_safe_for_terminals_and_redacted() -> anyhow::Result<()> {
    let www = echo_or_www().await?;
    let socket = "admin.socket = \"admin.sock\"";
    let config = config("harmless", "", &www);
    let redact = format!("{socket}\nadmin.redact = [\"cookie\", \"token\"]");
    let directory = tempfile::tempdir()?;
    put(&directory.path().join("plugin.wasm"), "1")?;
    fs::write(directory.path().join("other.wasm"), release(OTHER)?)?;
    let proxy = Proxy::pointsman_in(directory, &config.replace(socket, &redact)).await?;
    proxy
        .ctl(&["swap", "http-in", "other.wasm", "--shadow", "100"])
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let mut request = b"GET /a\xc2\x9b31m\xe2\x80\xaegnp?Token=sesame&a=b HTTP/1.1\r\n".to_vec();
    request.extend(b"Host: www.test.tld\r\nCookie: sesame\r\nX-A: \xc2\x9b31m\r\n\r\n");
    assert_eq!(client.exchange(request).await?.head.status()?, 200);
    for arguments in [&["trials"][..], &["trials", "--json"]] {
        let shown = proxy.ctl(arguments).await?;
        assert!(!shown.contains("sesame"), "{shown}");
        assert!(shown.contains("?Token=(not shown)&a=b"), "{shown}");
        let is_safe = |char: char| char == '\n' || !char.is_control() && char != '\u{202e}';
        assert!(shown.chars().all(is_safe), "{shown:?}");
    }
    Ok(())
}

/// Faults of a version on trial do not affect any client. Too many of them end the trial.
#[tokio::test]
async fn a_canary_that_fails_is_taken_back() -> anyhow::Result<()> {
    let (_www, proxy) = start("harmless", "router.max_faults = 3").await?;
    fs::write(proxy.directory().join("broken.wasm"), release(BROKEN)?)?;
    proxy
        .ctl(&["swap", "http-in", "broken.wasm", "--canary", "100%"])
        .await?;
    let ended = async {
        while !proxy
            .log()
            .iter()
            .any(|line| line.contains("its trial has ended"))
        {
            ensure!(status(&proxy).await? == 200);
        }
        Ok(())
    };
    tokio::time::timeout(DEADLINE, ended).await??;
    let trials = proxy.ctl(&["trials"]).await?;
    assert!(trials.contains("  failed on "), "{trials}");
    assert_eq!(deciding(&proxy).await?, "1");
    Ok(())
}
