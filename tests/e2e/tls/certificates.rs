//! Certificates that are replaced on disk, and certificates that expire.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::Context as _;
use serde_json::Value;

use super::{NAME, Site, TLS, end_of, lines};

/// Returns the certificates that the proxy reports to be in force.
async fn in_force(site: &Site) -> anyhow::Result<Vec<Value>> {
    let status = site.proxy.ctl(&["status", "--json"]).await?;
    let status: Value = serde_json::from_str(&status)?;
    let certificates = status["certificates"].as_array();
    Ok(certificates.context("no certificates")?.clone())
}

async fn fingerprint(site: &Site) -> anyhow::Result<String> {
    let in_force = in_force(site).await?;
    let sha256 = in_force[0]["sha256"].as_str();
    Ok(sha256.context("no fingerprint")?.to_owned())
}

#[tokio::test]
async fn a_certificate_is_replaced_under_load() -> anyhow::Result<()> {
    let site = Site::start(TLS).await?;
    let folder = site.folder();
    let mut expected = vec![fingerprint(&site).await?];
    let load = site.start_client("load", &["--name", NAME])?;
    site.proxy.line_with("status=200").await?;
    // Renames new files onto the old ones, the certificate first.
    for round in 0..2 {
        site.authority.issue(folder, "next", &[NAME])?;
        fs::rename(folder.join("next.pem"), folder.join("site.pem"))?;
        fs::rename(folder.join("next.key"), folder.join("site.key"))?;
        site.proxy
            .wait_for("the certificate in force", |lines| {
                let mut lines = lines.iter();
                lines
                    .rfind(|line| line.contains("certificate in force"))
                    .cloned()
                    .filter(|line| !expected.iter().any(|old| line.contains(old.as_str())))
            })
            .await?;
        expected.push(fingerprint(&site).await?);
        assert_eq!(expected.len(), round + 2);
        // New connections get the new certificate.
        let found = site.client("request", &["--name", NAME]).await?;
        assert_eq!(found[0]["sha256"], expected[round + 1].as_str());
    }
    let found = end_of(load).await?;
    assert_eq!(found["errors"], serde_json::json!([]));
    let seen: Vec<String> = serde_json::from_value(found["certificates"].clone())?;
    assert!(seen.len() >= 2, "{found}");
    assert!(seen.iter().all(|one| expected.contains(one)), "{found}");
    assert_eq!(site.handshakes("failed").await?, 0);
    Ok(())
}

#[tokio::test]
async fn mismatched_files_are_refused_once_and_the_old_certificate_stays() -> anyhow::Result<()> {
    let site = Site::start(TLS).await?;
    let folder = site.folder();
    let before = fingerprint(&site).await?;
    site.authority.issue(folder, "next", &[NAME])?;
    fs::copy(folder.join("next.pem"), folder.join("site.pem"))?;
    let line = site
        .proxy
        .line_with("the current ones stay in force")
        .await?;
    assert!(
        line.contains("does not belong to the first certificate"),
        "{line}"
    );
    // The same file is written once more, which causes another event.
    fs::copy(folder.join("next.pem"), folder.join("site.pem"))?;
    let found = site.client("request", &["--name", NAME]).await?;
    assert_eq!(found[0]["sha256"], before.as_str());
    fs::copy(folder.join("next.key"), folder.join("site.key"))?;
    site.proxy.line_with("certificate in force").await?;
    assert_ne!(fingerprint(&site).await?, before);
    assert_eq!(lines(&site.proxy, "the current ones stay in force"), 1);
    // A reload with a mistake does not change the certificate either.
    fs::write(folder.join("site.key"), "")?;
    let refused = site.reload("", TLS).await.expect_err("no key");
    assert!(
        refused
            .to_string()
            .contains("there is no private key in it"),
        "{refused}"
    );
    site.client("request", &["--name", NAME]).await?[0]["sha256"]
        .as_str()
        .context("no answer")?;
    Ok(())
}

#[tokio::test]
async fn a_symbolic_link_that_is_switched() -> anyhow::Result<()> {
    let site = Site::with(
        "",
        "certificate = \"live/site.pem\"\nkey = \"live/site.key\"",
        |folder, authority| {
            for name in ["one", "two"] {
                let folder = folder.join(name);
                fs::create_dir(&folder)?;
                authority.issue(&folder, "site", &[NAME])?;
            }
            Ok(symlink("one", folder.join("live"))?)
        },
    )
    .await?;
    let before = fingerprint(&site).await?;
    symlink("two", site.folder().join("next"))?;
    fs::rename(site.folder().join("next"), site.folder().join("live"))?;
    let line = site.proxy.line_with("certificate in force").await?;
    assert!(!line.contains(&before), "{line}");
    let after = fingerprint(&site).await?;
    assert!(line.contains(&after), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_new_revocation_list_is_adopted() -> anyhow::Result<()> {
    let clients = "client_certificates = { ca = \"ca.pem\", crl = \"revoked.pem\" }";
    let site = Site::with("", &format!("{TLS}\n{clients}"), |folder, authority| {
        authority.issue_with(folder, "client", &["client"], |params| {
            params.serial_number = Some(7.into());
        })?;
        authority.revoke(folder, "revoked.pem", &[1])
    })
    .await?;
    let arguments = ["--name", NAME, "--cert", "client"];
    let found = site.client("request", &arguments).await?;
    assert_eq!(found[0]["body"], "www", "{found}");
    site.authority
        .revoke(site.folder(), "revoked.pem", &[1, 7])?;
    site.proxy.line_with("certificate in force").await?;
    let found = site.client("request", &arguments).await?;
    assert!(found["error"].to_string().contains("REVOKED"), "{found}");
    Ok(())
}

#[tokio::test]
async fn a_certificate_about_to_expire() -> anyhow::Result<()> {
    let site = Site::with("", TLS, |folder, authority| {
        let end = std::time::SystemTime::now() + std::time::Duration::from_hours(3 * 24);
        authority.issue_with(folder, "site", &[NAME], |params| {
            params.not_after = end.into();
        })
    })
    .await?;
    let line = site
        .proxy
        .line_with("a certificate is about to expire")
        .await?;
    for part in ["tls=\"site\"", NAME, "site.pem", "hours=7"] {
        assert!(
            line.replace("tls=site", "tls=\"site\"").contains(part),
            "{part}: {line}"
        );
    }
    let in_force = in_force(&site).await?;
    assert_eq!(in_force[0]["names"], serde_json::json!([NAME]));
    let expiry = in_force[0]["not_after"].to_string();
    let metrics = site.metrics().await?;
    let series = format!("pointsman_certificate_expiry{{tls=\"site\",name=\"{NAME}\"}} {expiry}\n");
    assert!(metrics.contains(&series), "{metrics}");
    let text = site.proxy.ctl(&["status"]).await?;
    assert!(text.contains(NAME), "{text}");
    Ok(())
}
