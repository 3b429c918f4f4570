//! A real DNS server: Debian's `dnsmasq`, with records that a test sets.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use anyhow::Context;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::process::Process;
use crate::{ReservedPort, path_with_sbin};

/// A DNS record, with its TTL in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An A or AAAA record.
    Address(String, IpAddr, u32),
    /// A CNAME record, whose target has to be the name of another record.
    Alias(String, String, u32),
    /// An SRV record. All SRV records have the same TTL.
    Service {
        /// Name of the record, such as `_http._tcp.test.tld`.
        name: String,
        /// Name of the host.
        target: String,
        /// Port of the host.
        port: u16,
        /// Priority: hosts with the lowest number are used before the others.
        priority: u16,
        /// Share of this host among the hosts with the same priority.
        weight: u16,
    },
}

impl Record {
    /// Returns an A or AAAA record.
    pub fn address(name: &str, address: impl Into<IpAddr>, ttl: u32) -> Self {
        Self::Address(name.to_owned(), address.into(), ttl)
    }

    /// Returns a CNAME record.
    pub fn alias(name: &str, target: &str, ttl: u32) -> Self {
        Self::Alias(name.to_owned(), target.to_owned(), ttl)
    }

    /// Returns an SRV record.
    pub fn service(name: &str, target: &str, port: u16, priority: u16, weight: u16) -> Self {
        Self::Service {
            name: name.to_owned(),
            target: target.to_owned(),
            port,
            priority,
            weight,
        }
    }

    /// Returns a line of dnsmasq's configuration.
    fn line(&self) -> String {
        match self {
            Self::Address(name, address, ttl) => format!("host-record={name},{address},{ttl}"),
            Self::Alias(name, target, ttl) => format!("cname={name},{target},{ttl}"),
            Self::Service {
                name,
                target,
                port,
                priority,
                weight,
            } => format!("srv-host={name},{target},{port},{priority},{weight}"),
        }
    }
}

/// A running DNS server for `tld`. Names below `tld` without a record do not exist. The server
/// refuses all other names, and queries no other server.
#[derive(Debug)]
pub struct Dnsmasq {
    process: Process,
    directory: TempDir,
    port: ReservedPort,
}

impl Dnsmasq {
    /// Starts the server without records, and waits until it answers.
    ///
    /// # Errors
    /// Fails if `dnsmasq` is not installed or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::with(&[]).await
    }

    /// Starts the server with records, and waits until it answers.
    ///
    /// # Errors
    /// As [`Dnsmasq::start`].
    pub async fn with(records: &[Record]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let port = ReservedPort::new()?;
        write(&directory, records)?;
        let process = run(&directory, port.address()).await?;
        Ok(Self {
            process,
            directory,
            port,
        })
    }

    /// Returns the address at which the server answers, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Returns the server as a value for `nameservers`, as in `resolve = { nameservers = [...] }`.
    pub fn nameserver(&self) -> String {
        self.address().to_string()
    }

    /// Replaces all records, and waits until they are served.
    ///
    /// Restarts the program at the same address, because it reads records only at startup. Queries
    /// during the restart are lost, as datagrams can be.
    ///
    /// # Errors
    /// Fails if the program does not start again.
    pub async fn set_records(&mut self, records: &[Record]) -> anyhow::Result<()> {
        write(&self.directory, records)?;
        // SIGKILL also ends a suspended process, which would not handle another signal.
        self.process.signal(Signal::SIGKILL)?;
        self.process.ended().await?;
        self.process = run(&self.directory, self.address()).await?;
        Ok(())
    }

    /// Suspends the server: it receives queries but does not answer.
    ///
    /// # Errors
    /// Fails if the process is gone.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Resumes the server, which then also answers the queries that arrived while it was suspended.
    ///
    /// # Errors
    /// Fails if the process is gone.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Returns the number of queries for `name`, of any type, since the records last changed.
    pub fn questions(&self, name: &str) -> usize {
        questions(&self.process.log(), name)
    }

    /// Waits until `count` queries for `name` have arrived since the records last changed.
    ///
    /// # Errors
    /// Fails if the queries do not arrive.
    pub async fn asked(&self, name: &str, count: usize) -> anyhow::Result<()> {
        let what = format!("{count} questions for {name}");
        self.process
            .wait_for(&what, |log| (questions(log, name) >= count).then_some(()))
            .await
    }
}

/// Counts lines such as `dnsmasq[1]: query[A] www.test.tld from 127.0.0.1`.
fn questions(log: &[String], name: &str) -> usize {
    let asks = |line: &&String| {
        let mut words = line
            .split(' ')
            .skip_while(|word| !word.starts_with("query["));
        words.nth(1) == Some(name)
    };
    log.iter().filter(asks).count()
}

fn write(directory: &TempDir, records: &[Record]) -> anyhow::Result<()> {
    let lines: Vec<_> = records.iter().map(Record::line).collect();
    let text = lines.join("\n") + "\n";
    fs::write(directory.path().join("dnsmasq.conf"), text).context("writing records")
}

async fn run(directory: &TempDir, address: SocketAddr) -> anyhow::Result<Process> {
    let file = directory.path().join("dnsmasq.conf");
    let mut command = Command::new("dnsmasq");
    command
        .env("PATH", path_with_sbin())
        .args(["--keep-in-foreground", "--log-facility=-", "--log-queries"])
        .args(["--no-resolv", "--no-hosts", "--bind-interfaces"])
        // Without these options, dnsmasq would change its user, but the process has no privileges
        // to drop.
        .args(["--user=", "--group=", "--pid-file="])
        // `--local-ttl` sets the TTL of SRV records, which cannot have individual TTLs here.
        .args(["--local=/tld/", "--local-ttl=1"])
        .arg(format!("--listen-address={}", address.ip()))
        .arg(format!("--port={}", address.port()))
        .arg(format!("--conf-file={}", file.display()));
    let process = Process::start(command)?;
    // When this line appears, the sockets are bound, so no query is lost.
    process.line_with("started, version").await?;
    Ok(process)
}
