//! A real ACME server, and a DNS server that resolves every name to this machine.
//!
//! Both come from Debian: `pebble` and `pebble-challtestsrv`. The ACME server loses its state when
//! it ends.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use crate::ReservedPort;
use crate::process::Process;

/// Text that the ACME server logs once for each order.
const ORDERED: &str = "orders in the db";

/// Behavior of the server.
#[derive(Debug, Clone, Copy, Default)]
pub struct PebbleSetup {
    /// Validity of the issued certificates, in seconds. By default, it is several years.
    pub validity: Option<u32>,
    /// Percentage of valid nonces that the server refuses.
    pub refused_nonces: u8,
    /// Whether the server accepts every claim to control a name.
    pub skip_validation: bool,
    /// Whether the server takes a few seconds to validate a challenge.
    pub is_slow: bool,
}

/// A running ACME server.
#[derive(Debug)]
pub struct Pebble {
    server: Process,
    _names: Process,
    directory: TempDir,
    address: SocketAddr,
    management: SocketAddr,
    http: ReservedPort,
    tls: ReservedPort,
    _reserved: [ReservedPort; 4],
}

impl Pebble {
    /// Starts the server, and waits until it listens.
    ///
    /// # Errors
    /// Fails if the server is not installed or does not start.
    pub async fn start(setup: PebbleSetup) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let reserve = ReservedPort::new;
        let reserved = [reserve()?, reserve()?, reserve()?, reserve()?];
        let [address, management, names, names_management] =
            [0, 1, 2, 3].map(|index: usize| reserved[index].address());
        let (http, tls) = (reserve()?, reserve()?);
        let names_server = start_names(names, names_management).await?;
        certify(directory.path())?;
        let file = |name: &str| directory.path().join(name);
        let mut config = serde_json::json!({
            "listenAddress": address,
            "managementListenAddress": management,
            "certificate": file("ca.pem"),
            "privateKey": file("ca.key"),
            "httpPort": http.address().port(),
            "tlsPort": tls.address().port(),
        });
        if let Some(validity) = setup.validity {
            config["certificateValidityPeriod"] = validity.into();
        }
        let config = serde_json::json!({ "pebble": config });
        fs::write(file("pebble.json"), config.to_string())?;
        let mut command = Command::new("pebble");
        command
            .arg("-config")
            .arg(file("pebble.json"))
            .args(["-dnsserver", &names.to_string()])
            .env("PEBBLE_AUTHZREUSE", "0")
            .env("PEBBLE_WFE_NONCEREJECT", setup.refused_nonces.to_string());
        if setup.is_slow {
            command.env("PEBBLE_VA_SLEEPTIME", "5");
        } else {
            command.env("PEBBLE_VA_NOSLEEP", "1");
        }
        if setup.skip_validation {
            command.env("PEBBLE_VA_ALWAYS_VALID", "1");
        }
        let server = Process::start(command)?;
        server.line_with("ACME directory available at").await?;
        Ok(Self {
            server,
            _names: names_server,
            directory,
            address,
            management,
            http,
            tls,
            _reserved: reserved,
        })
    }

    /// Returns the address to which the server connects for `http-01` challenges, whatever the
    /// name.
    pub fn http(&self) -> SocketAddr {
        self.http.address()
    }

    /// Returns the address to which the server connects for `tls-alpn-01` challenges.
    pub fn tls(&self) -> SocketAddr {
        self.tls.address()
    }

    /// Returns the key `acme` for a table `[tls.NAME]` that uses this server, with `more` keys.
    pub fn table(&self, names: &[&str], storage: &Path, more: &str) -> String {
        format!(
            "acme = {{ names = {names:?}, directory = \"https://{}/dir\", ca = {:?}, \
             storage = {:?}, accept_terms = true, {more} }}",
            self.address,
            self.ca().display().to_string(),
            storage.display().to_string(),
        )
    }

    /// Returns the file with the authority that issued the server's own certificate.
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Returns a file with the root authority of the certificates that the server issues.
    ///
    /// # Errors
    /// Fails if the server does not provide it.
    pub async fn root(&self) -> anyhow::Result<PathBuf> {
        self.download("roots/0", "root.pem").await
    }

    /// Returns a file with the intermediate authority between the root and the issued certificates.
    ///
    /// # Errors
    /// Fails if the server does not provide it.
    pub async fn intermediate(&self) -> anyhow::Result<PathBuf> {
        self.download("intermediates/0", "intermediate.pem").await
    }

    async fn download(&self, target: &str, file: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.path().join(file);
        let mut command = Command::new("curl");
        command
            .args(["-sSf", "--cacert"])
            .arg(self.ca())
            .arg("-o")
            .arg(&path)
            .arg(format!("https://{}/{target}", self.management));
        let status = tokio::task::spawn_blocking(move || command.status()).await??;
        ensure!(status.success(), "no {target}");
        Ok(path)
    }

    /// Returns the number of orders so far.
    pub fn orders(&self) -> usize {
        let log = self.server.log();
        let orders = log.iter().filter(|line| line.contains(ORDERED));
        orders.count()
    }

    /// Waits for the first order.
    ///
    /// # Errors
    /// Fails if no order comes.
    pub async fn ordered(&self) -> anyhow::Result<()> {
        self.server.line_with(ORDERED).await.map(drop)
    }
}

async fn start_names(address: SocketAddr, management: SocketAddr) -> anyhow::Result<Process> {
    let mut command = Command::new("pebble-challtestsrv");
    let [address, management] = [address, management].map(|address| address.to_string());
    command
        .args(["-dns01", &address, "-management", &management])
        .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
        .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
    let names = Process::start(command)?;
    names.line_with("Starting management server").await?;
    Ok(names)
}

/// Creates the certificate of the ACME server itself, which nothing else uses.
fn certify(directory: &Path) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)?.self_signed(&key)?;
    fs::write(directory.join("ca.pem"), certificate.pem()).context("writing a certificate")?;
    fs::write(directory.join("ca.key"), key.serialize_pem()).context("writing a key")
}
