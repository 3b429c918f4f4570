//! TLS sessions: clients can resume them in every worker, after a reload, and in the next process.

use super::{NAME, Site, TLS};

/// A request for OpenSSL's client to send. It is HTTP/1.0, so the connection ends after the
/// response.
const GET: &str = "GET / HTTP/1.0\r\nHost: www.test.tld\r\n\r\n";

/// Returns whether a client with a stored session resumes it.
async fn resumes(site: &Site, version: &str) -> anyhow::Result<bool> {
    let arguments = [
        "-ign_eof",
        "-servername",
        NAME,
        version,
        "-sess_in",
        "session",
    ];
    let told = site.openssl(&arguments, GET).await?;
    assert!(told.contains("\r\n\r\nwww"), "{told}");
    assert_ne!(
        told.contains("New, TLS"),
        told.contains("Reused, TLS"),
        "{told}"
    );
    Ok(told.contains("Reused, TLS"))
}

/// Connects a client without a session, which stores the new session.
async fn begin(site: &Site, version: &str) -> anyhow::Result<()> {
    let arguments = [
        "-ign_eof",
        "-servername",
        NAME,
        version,
        "-sess_out",
        "session",
    ];
    let told = site.openssl(&arguments, GET).await?;
    assert!(told.contains("New, TLS"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_session_resumes_in_every_worker() -> anyhow::Result<()> {
    let site = Site::start(TLS).await?;
    for version in ["1.2", "1.3"] {
        let arguments = ["--name", NAME, "--version", version, "--count", "12"];
        let found = site.client("request", &arguments).await?;
        let found = found.as_array().map_or(&[][..], |found| found);
        let reused: Vec<_> = found.iter().map(|one| one["reused"] == true).collect();
        assert_eq!(
            reused,
            [[false].as_slice(), &[true; 11]].concat(),
            "{found:?}"
        );
    }
    assert_eq!(site.handshakes("full").await?, 2);
    assert_eq!(site.handshakes("resumed").await?, 22);
    Ok(())
}

#[tokio::test]
async fn a_session_resumes_after_a_reload_and_in_the_next_process() -> anyhow::Result<()> {
    for version in ["-tls1_2", "-tls1_3"] {
        let site = Site::start(TLS).await?;
        begin(&site, version).await?;
        assert!(resumes(&site, version).await?);
        // The session stays valid with another certificate and other settings.
        site.authority.issue(site.folder(), "site", &[NAME])?;
        site.reload("", &format!("{TLS}\nstrict_sni = true"))
            .await?;
        assert!(resumes(&site, version).await?, "after a reload");
        site.proxy.ctl(&["upgrade"]).await?;
        assert_eq!(site.proxy.exited().await?, Some(0));
        assert!(resumes(&site, version).await?, "after an upgrade");
        site.proxy.ctl(&["upgrade"]).await?;
        assert!(resumes(&site, version).await?, "after another");
    }
    Ok(())
}

#[tokio::test]
async fn a_session_does_not_resume_under_other_rules_for_clients() -> anyhow::Result<()> {
    let site = Site::start(TLS).await?;
    begin(&site, "-tls1_3").await?;
    let optional = "client_certificates = { ca = \"ca.pem\", verify = \"optional\" }";
    site.reload("", &format!("{TLS}\n{optional}")).await?;
    assert!(!resumes(&site, "-tls1_3").await?);
    site.reload("", TLS).await?;
    assert!(resumes(&site, "-tls1_3").await?, "as it was");
    Ok(())
}

#[tokio::test]
async fn no_request_is_accepted_before_the_handshake_ends() -> anyhow::Result<()> {
    let site = Site::start(TLS).await?;
    let arguments = [
        "-ign_eof",
        "-servername",
        NAME,
        "-tls1_3",
        "-sess_out",
        "session",
    ];
    let told = site.openssl(&arguments, GET).await?;
    assert!(told.contains("Max Early Data: 0"), "{told}");
    Ok(())
}
