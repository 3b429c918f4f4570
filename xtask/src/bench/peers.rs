//! The proxies that are measured, each with the equivalent of README.md's example.
//!
//! Owns the list of them, how each is started, and the check that each sends requests to the right
//! backend. Each proxy's configuration is in a separate file. Called by `session`.

pub(crate) mod envoy;
pub(crate) mod haproxy;
pub(crate) mod nginx;
pub(crate) mod pointsman;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::guests::Guest;
use super::process::{Guard, Process};
use super::tools::Tools;
use crate::paths::target;

/// The rule for all of them: a Host with this suffix, ignoring case, goes to the node backend.
pub(crate) const SUFFIX: &str = "io.test.tld";

/// Body of the default backend's responses.
pub(crate) const WWW_BODY: &str = "www_backend\n";
/// Body of responses from the rule's backend.
pub(crate) const NODE_BODY: &str = "node_backend\n";

/// Longest wait for a first response. Envoy compiles its plugin before that.
const START: Duration = Duration::from_secs(30);
/// Longest wait for the response to a check.
const ANSWER: Duration = Duration::from_secs(5);

/// Hosts that are requested from each proxy before it is measured, and the expected bodies.
const CHECKS: &[(&str, &str)] = &[
    ("io.test.tld", NODE_BODY),
    ("h1.io.test.tld", NODE_BODY),
    ("IO.Test.TLD", NODE_BODY),
    ("Www.Io.tEST.tld", NODE_BODY),
    ("example.com", WWW_BODY),
    ("io.test.tld.example.com", WWW_BODY),
    ("test.tld", WWW_BODY),
];

/// A proxy with one way to route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Pointsman,
    PointsmanPlain,
    Haproxy,
    HaproxyLua,
    HaproxyTcp,
    Nginx,
    NginxLua,
    Envoy,
    EnvoyWasm,
}

/// All peers, in the order in which they are measured and shown.
pub(crate) const ALL: &[Peer] = &[
    Peer::Pointsman,
    Peer::PointsmanPlain,
    Peer::HaproxyTcp,
    Peer::Haproxy,
    Peer::HaproxyLua,
    Peer::Nginx,
    Peer::NginxLua,
    Peer::Envoy,
    Peer::EnvoyWasm,
];

/// A proxy's surroundings: the servers behind it, and the load that it must bear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    pub(crate) www: SocketAddr,
    pub(crate) node: SocketAddr,
    /// Number of client connections.
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) access: Access,
    /// A hostile plugin on another frontend; only for Pointsman.
    pub(crate) beside: Option<&'static Guest>,
}

/// Whether a proxy writes a line for each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Lines in the proxy's usual format, in the file [`Running::access_log`].
    On,
    Off,
}

/// Names of the files for access log lines: the proxy's own file, and its standard output.
const ACCESS_LOG: &str = "access.log";
const OUTPUT: &str = "log";

/// The command and configuration that start a proxy, which has its own folder.
pub(crate) struct Launch {
    pub(crate) command: Command,
    /// The configuration, as shown in the report.
    pub(crate) configuration: String,
    pub(crate) addresses: Addresses,
}

/// Addresses for clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// Address for requests to the www backend.
    pub(crate) www: SocketAddr,
    /// Address for requests to the node backend: the same, unless the proxy cannot tell requests
    /// apart.
    pub(crate) node: SocketAddr,
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) addresses: Addresses,
    pub(crate) configuration: String,
    pub(crate) folder: TempDir,
    peer: Peer,
}

impl Running {
    /// Returns the path of the proxy's access log. The file exists only if the proxy writes one.
    pub(crate) fn access_log(&self) -> PathBuf {
        let name = match self.peer {
            Peer::Haproxy | Peer::HaproxyLua | Peer::HaproxyTcp => OUTPUT,
            _ => ACCESS_LOG,
        };
        self.folder.path().join(name)
    }
}

impl Peer {
    /// Returns the proxy's name for the command line and the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pointsman => "pointsman",
            Self::PointsmanPlain => "pointsman-plain",
            Self::Haproxy => "haproxy",
            Self::HaproxyLua => "haproxy-lua",
            Self::HaproxyTcp => "haproxy-tcp",
            Self::Nginx => "nginx",
            Self::NginxLua => "nginx-lua",
            Self::Envoy => "envoy",
            Self::EnvoyWasm => "envoy-wasm",
        }
    }

    /// Returns a description of how the proxy routes.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Pointsman => "the plugin host-suffix; X-Forwarded-* and Via as by default",
            Self::PointsmanPlain => "the same without X-Forwarded-* and Via",
            Self::Haproxy => "ACL hdr_end(host) -i",
            Self::HaproxyLua => "use_backend by a Lua fetch, one Lua state for each thread",
            Self::HaproxyTcp => "mode tcp: bytes moved, nothing read, nothing routed; the floor",
            Self::Nginx => "map on $http_host",
            Self::NginxLua => "set_by_lua_block",
            Self::Envoy => "virtual hosts with suffix domains",
            Self::EnvoyWasm => "a proxy-wasm plugin sets a header, the route matches on it",
        }
    }

    fn launch(self, tools: &Tools, site: &Site, folder: &Path) -> anyhow::Result<Launch> {
        match self {
            Self::Pointsman => pointsman::launch(tools, site, folder, pointsman::Forwarded::Added),
            Self::PointsmanPlain => {
                pointsman::launch(tools, site, folder, pointsman::Forwarded::Off)
            }
            Self::Haproxy => haproxy::launch(tools, site, folder, haproxy::Routing::Acl),
            Self::HaproxyLua => haproxy::launch(tools, site, folder, haproxy::Routing::Lua),
            Self::HaproxyTcp => haproxy::launch_tcp(tools, site, folder),
            Self::Nginx => nginx::launch(tools, site, folder, nginx::Routing::Map),
            Self::NginxLua => nginx::launch(tools, site, folder, nginx::Routing::Lua),
            Self::Envoy => envoy::launch(tools, site, folder, envoy::Routing::Domains),
            Self::EnvoyWasm => envoy::launch(tools, site, folder, envoy::Routing::Wasm),
        }
    }

    /// Starts the proxy, waits for its first response, and checks where it sends requests.
    ///
    /// # Errors
    /// It does not start or respond, or a request reaches the wrong backend; the error contains its
    /// output.
    pub(crate) async fn start(self, tools: &Tools, site: &Site) -> anyhow::Result<Running> {
        let folder = folder()?;
        let launch = self.launch(tools, site, folder.path())?;
        let log = folder.path().join(OUTPUT);
        let mut process = Process::start(self.name(), &launch.command, &log, Guard::On)?;
        answers(&mut process, launch.addresses.www).await?;
        for (host, expected) in CHECKS {
            let address = if *expected == NODE_BODY {
                launch.addresses.node
            } else {
                launch.addresses.www
            };
            let body = ask(address, host).await.with_context(|| {
                format!("{}: Host {host}; it wrote:\n{}", self.name(), process.log())
            })?;
            ensure!(
                body == *expected,
                "{}: Host {host} went to {body:?} instead of {expected:?}",
                self.name()
            );
        }
        Ok(Running {
            process,
            addresses: launch.addresses,
            configuration: launch.configuration,
            folder,
            peer: self,
        })
    }

    /// Prepares a start that the caller times: the command, and the addresses on which it will
    /// listen.
    pub(crate) fn prepare(self, tools: &Tools, site: &Site) -> anyhow::Result<(Launch, TempDir)> {
        let folder = folder()?;
        Ok((self.launch(tools, site, folder.path())?, folder))
    }
}

/// Creates a folder for one process. The folder is removed when the value is dropped.
pub(crate) fn folder() -> anyhow::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("pointsman-bench-")
        .tempdir()
        .context("cannot make a temporary folder")
}

/// Returns the path of a guest of the tests.
///
/// # Errors
/// It has not been built.
pub(crate) fn guest_file(name: &str) -> anyhow::Result<PathBuf> {
    let file = target()?.join("guests").join(format!("{name}.wasm"));
    ensure!(
        file.exists(),
        "{} does not exist: run `cargo xtask plugins`",
        file.display()
    );
    Ok(file)
}

/// Returns a loopback port on which nothing listens.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?)
}

/// Returns the text without the path of the folder, which exists only for one run.
pub(crate) fn anonymous(text: &str, folder: &Path) -> String {
    text.replace(&*folder.to_string_lossy(), "FOLDER")
}

/// Waits until a request gets a response.
///
/// # Errors
/// The process ends first, or does not respond in time; the error contains its output.
pub(crate) async fn answers(process: &mut Process, address: SocketAddr) -> anyhow::Result<()> {
    let polled = timeout(START, async {
        while ask(address, "example.com").await.is_err() {
            process.check()?;
            sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    });
    match polled.await {
        Ok(outcome) => outcome,
        Err(_) => bail!(
            "no response at {address} within {START:?}; it wrote:\n{}",
            process.log()
        ),
    }
}

/// Sends a GET on a new connection, and returns the body of the response.
async fn ask(address: SocketAddr, host: &str) -> anyhow::Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        // If nothing listens on a port of the ephemeral range, a connection to that port can end up
        // connected to itself.
        ensure!(
            stream.local_addr()? != stream.peer_addr()?,
            "connected to itself"
        );
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        loop {
            if stream.read_buf(&mut answer).await? == 0 {
                bail!(
                    "closed after {:?}",
                    String::from_utf8_lossy(&answer).lines().next()
                );
            }
            if let Some(body) = body_of(&answer)? {
                return Ok(body);
            }
        }
    };
    timeout(ANSWER, exchange).await.context("no response")?
}

/// Returns the body of a whole response with status 200; `None` while part of it is missing.
fn body_of(answer: &[u8]) -> anyhow::Result<Option<String>> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Ok(None);
    };
    ensure!(head.starts_with("HTTP/1.1 200 "), "answered {head:?}");
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(usize::MAX);
    Ok((body.len() >= length).then(|| body.to_owned()))
}

/// Writes a file of a proxy's configuration.
fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let file = folder.join(name);
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-Length: 3\r\n\r\nabc";
        assert_eq!(body_of(whole).unwrap().as_deref(), Some("abc"));
        assert_eq!(body_of(&whole[..whole.len() - 1]).unwrap(), None);
        assert_eq!(body_of(b"HTTP/1.1 200").unwrap(), None);
        assert!(body_of(b"HTTP/1.1 503 No\r\n\r\n").is_err());
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = ALL.iter().map(|peer| peer.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
