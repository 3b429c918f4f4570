//! Versions on trial beside the active one: shadows and canaries.

use std::fs;

use anyhow::ensure;
use pointsman_tests::{DEADLINE, Wire};

use crate::swaps::{BROKEN, OTHER, deciding, release, start, status};

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
    // It takes over with all that it has learnt.
    proxy.ctl(&["promote", "http-in"]).await?;
    assert_eq!(status(&proxy).await?, 404);
    let refused = proxy.ctl(&["abort", "http-in"]).await;
    assert!(
        format!("{refused:?}").contains("no version on trial"),
        "{refused:?}"
    );
    // And can be taken back.
    proxy.ctl(&["rollback", "http-in"]).await?;
    assert_eq!(deciding(&proxy).await?, "1");
    Ok(())
}

#[tokio::test]
async fn a_canary_decides_for_its_share_and_harms_nobody() -> anyhow::Result<()> {
    let (_www, proxy) = start("harmless", "router.max_faults = 3").await?;
    fs::write(proxy.directory().join("other.wasm"), release(OTHER)?)?;
    let swap = ["swap", "http-in", "other.wasm", "--canary"];
    // All clients here have one address: all of them are in it, or none.
    proxy.ctl(&[&swap[..], &["100"]].concat()).await?;
    assert_eq!(status(&proxy).await?, 404);
    proxy.ctl(&["abort", "http-in"]).await?;
    assert_eq!(deciding(&proxy).await?, "1");
    for share in ["0", "101", "-1", "some"] {
        assert!(
            proxy.ctl(&[&swap[..], &[share]].concat()).await.is_err(),
            "{share}"
        );
    }
    Ok(())
}

/// What a version on trial does wrong, no client sees; too much of it ends the trial.
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
    assert!(trials.contains("no version is on trial"), "{trials}");
    assert_eq!(deciding(&proxy).await?, "1");
    Ok(())
}
