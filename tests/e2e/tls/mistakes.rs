//! Mistakes in certificates: `pointsman check` reports each with the key that names the file.

use std::fs;
use std::path::Path;

use pointsman_tests::{Authority, pointsman};
use rcgen::{BasicConstraints, IsCa};

use super::{NAME, TLS, config, folder};

/// Returns what `pointsman check` prints about a `[tls.site]`.
async fn check(folder: &Path, tls: &str) -> anyhow::Result<String> {
    let www = "127.0.0.1:9".parse()?;
    let config = config(www, "", tls).replace("127.0.0.1:0", "127.0.0.1:8443");
    fs::write(folder.join("pointsman.toml"), config)?;
    let mut command = pointsman()?;
    command.current_dir(folder).arg("check");
    super::run(command, "").await
}

/// Creates files with one mistake each, in addition to valid files.
fn files(folder: &Path, authority: &Authority) -> anyhow::Result<()> {
    let ymd = rcgen::date_time_ymd;
    authority.issue(folder, "other", &[NAME])?;
    authority.issue_with(folder, "old", &[NAME], |params| {
        (params.not_before, params.not_after) = (ymd(2019, 1, 1), ymd(2020, 1, 1));
    })?;
    authority.issue_with(folder, "early", &[NAME], |params| {
        (params.not_before, params.not_after) = (ymd(2098, 1, 1), ymd(2099, 1, 1));
    })?;
    authority.issue(folder, "nameless", &[])?;
    authority.issue_with(folder, "authority", &[NAME], |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    })?;
    let read = |name: &str| fs::read_to_string(folder.join(name));
    let chain = read("site.pem")? + &read("other.pem")?;
    fs::write(folder.join("chain.pem"), chain)?;
    fs::write(folder.join("empty.pem"), "")?;
    fs::write(folder.join("empty.key"), "")?;
    let key = read("site.key")?;
    fs::write(folder.join("cut.key"), &key[..key.len() / 2])?;
    fs::write(
        folder.join("encrypted.key"),
        key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
    )?;
    fs::write(folder.join("cut.pem"), &read("site.pem")?[..300])?;
    authority.revoke(folder, "revoked.pem", &[1])
}

/// A `[tls.site]`, the key that is wrong, and the reason.
type Case = (String, &'static str, &'static str);

fn of_certificates() -> Vec<Case> {
    let pair = |name: &str, place, reason| {
        let (certificate, key) = name.split_once(' ').unwrap_or((name, name));
        let key = key
            .strip_prefix('=')
            .map_or(format!("{key}.key"), str::to_owned);
        let tls = format!("certificate = \"{certificate}.pem\"\nkey = \"{key}\"");
        (tls, place, reason)
    };
    vec![
        pair(
            "site other",
            "key",
            "does not belong to the first certificate",
        ),
        pair("old", "certificate", "expired on Wed, 01 Jan 2020"),
        pair("early", "certificate", "not valid before Wed, 01 Jan 2098"),
        pair("nameless", "certificate", "no DNS name"),
        pair("authority", "certificate", "certificate authority"),
        pair("chain site", "certificate", "certificate 2 of the chain"),
        pair("empty site", "certificate", "there is no certificate in it"),
        pair("cut site", "certificate", "it is not valid PEM"),
        pair(
            "none site",
            "certificate",
            "none.pem cannot be read: No such file",
        ),
        pair("site empty", "key", "there is no private key in it"),
        pair("site cut", "key", "the private key is not valid PEM"),
        pair("site encrypted", "key", "the private key is encrypted"),
        pair("site =.", "key", "cannot be read"),
    ]
}

fn of_other_files() -> Vec<Case> {
    let clients = |text: &str, place, reason| {
        let tls = format!("{TLS}\nclient_certificates = {{ {text} }}");
        (tls, place, reason)
    };
    let ca = "client_certificates.ca";
    vec![
        clients("ca = \"empty.pem\"", ca, "there is none in it"),
        clients("ca = \"none.pem\"", ca, "No such file"),
        clients(
            "ca = \"ca.pem\", crl = \"ca.pem\"",
            "client_certificates.crl",
            "revocation list",
        ),
        clients(
            "ca = \"ca.pem\", crl = [\"revoked.pem\", \"none.pem\"]",
            "client_certificates.crl[1]",
            "No such file",
        ),
        (
            format!("{TLS}\nocsp = \"site.pem\""),
            "ocsp",
            "it is not an OCSP response",
        ),
        (
            "certificates = [{ certificate = \"site.pem\", key = \"site.key\" }, \
             { certificate = \"other.pem\", key = \"site.key\" }]"
                .to_owned(),
            "certificates[1].key",
            "does not belong",
        ),
    ]
}

#[tokio::test]
async fn each_mistake_is_reported_at_its_key() -> anyhow::Result<()> {
    let (directory, authority) = folder()?;
    let folder = directory.path();
    files(folder, &authority)?;
    assert_eq!(check(folder, TLS).await?, "");
    for (tls, place, reason) in of_certificates().into_iter().chain(of_other_files()) {
        let found = check(folder, &tls).await?;
        let expected = format!("error: `tls.site.{place}`: ");
        assert!(found.starts_with(&expected), "{tls}:\n{found}");
        assert!(found.contains(reason), "{reason}: {tls}:\n{found}");
        assert_eq!(found.matches("error: ").count(), 1, "{tls}:\n{found}");
    }
    Ok(())
}

#[tokio::test]
async fn every_mistake_is_reported_in_one_run() -> anyhow::Result<()> {
    let (directory, authority) = folder()?;
    files(directory.path(), &authority)?;
    let tls = "certificates = [{ certificate = \"old.pem\", key = \"old.key\" }, \
               { certificate = \"none.pem\", key = \"none.key\" }]\n\
               client_certificates = { ca = \"empty.pem\", crl = \"none.pem\" }";
    let found = check(directory.path(), tls).await?;
    assert_eq!(found.matches("error: ").count(), 5, "{found}");
    Ok(())
}
