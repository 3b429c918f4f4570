//! The proxy under test: Pointsman's own binary, or `HAProxy` for comparison.

use std::env;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use crate::process::Process;

/// Name of the configuration file, which the commands use by default.
const FILE: &str = "pointsman.toml";

/// Address of a frontend, as the log reports it.
#[derive(Debug)]
enum Address {
    Tcp(SocketAddr),
    /// A Unix socket. The test knows its path.
    Unix,
}

/// Result of a start that failed.
#[derive(Debug)]
pub struct Refusal {
    /// The exit code; `None` if a signal ended the process.
    pub code: Option<i32>,
    /// Everything that the process wrote, line by line.
    pub log: String,
}

/// A running proxy. It dereferences to its [`Process`], for the log and for signals.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    /// Frontend and address of each listener, in the order in which they were bound.
    addresses: Vec<(String, Address)>,
    /// Directory of the configuration, and of other files that the test adds.
    directory: TempDir,
}

impl Proxy {
    /// Starts the `pointsman` that cargo built, and waits until it listens on every address.
    ///
    /// `config` is a `pointsman.toml` in which every `bind` has port 0. The binary is in the
    /// directory above that of the tests, unless `POINTSMAN_BIN` names another one.
    ///
    /// # Errors
    /// Fails if there is no such binary, if it refuses the configuration, or if it ends before it
    /// listens.
    pub async fn pointsman(config: &str) -> anyhow::Result<Self> {
        Self::pointsman_in(tempfile::tempdir()?, config).await
    }

    /// Does the same as [`Proxy::pointsman`], with the configuration in a directory to which the
    /// test has added files, for example plugins with relative paths.
    ///
    /// # Errors
    /// As [`Proxy::pointsman`].
    pub async fn pointsman_in(directory: TempDir, config: &str) -> anyhow::Result<Self> {
        Self::pointsman_by(pointsman()?, directory, config).await
    }

    /// Does the same as [`Proxy::pointsman_in`], with a command that ends in the program
    /// `pointsman`, without further arguments.
    ///
    /// # Errors
    /// As [`Proxy::pointsman`].
    pub async fn pointsman_by(
        command: Command,
        directory: TempDir,
        config: &str,
    ) -> anyhow::Result<Self> {
        let expected = frontends(config)?;
        let process = run(command, &directory, config)?;
        let addresses = process
            .wait_for(
                &format!("`listening` from {}", expected.join(", ")),
                |lines| {
                    let bound: Vec<_> = lines.iter().filter_map(|line| listening(line)).collect();
                    (bound.len() >= expected.len()).then_some(bound)
                },
            )
            .await?;
        Ok(Self {
            process,
            addresses,
            directory,
        })
    }

    /// Runs a command that ends in `pointsman`, with a configuration that must be refused, until
    /// the process ends.
    ///
    /// # Errors
    /// Fails if the process listens or does not end.
    pub async fn refused_by(
        command: Command,
        directory: &TempDir,
        config: &str,
    ) -> anyhow::Result<Refusal> {
        let mut process = run(command, directory, config)?;
        let status = process.ended().await?;
        let log = process.log().join("\n");
        ensure!(listening(&log).is_none(), "it listened:\n{log}");
        Ok(Refusal {
            code: status.code(),
            log,
        })
    }

    /// Does the same as [`Proxy::refused_by`], with the `pointsman` that cargo built, in a
    /// directory that contains only the configuration.
    ///
    /// # Errors
    /// As [`Proxy::refused_by`].
    pub async fn refused(config: &str) -> anyhow::Result<Refusal> {
        Self::refused_by(pointsman()?, &tempfile::tempdir()?, config).await
    }

    /// Starts `HAProxy` in the foreground.
    ///
    /// `config` has `bind fd@0` for its only frontend. This function binds the socket, so that the
    /// port is known and connections are queued from the start.
    ///
    /// # Errors
    /// Fails if `HAProxy` is not installed or refuses the configuration.
    pub fn haproxy(config: &str) -> anyhow::Result<Self> {
        ensure!(
            config.matches("bind fd@0").count() == 1,
            "HAProxy's configuration must say `bind fd@0` once"
        );
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("haproxy.cfg");
        fs::write(&file, config).context("writing the configuration")?;
        let listener = TcpListener::bind("127.0.0.1:0").context("binding HAProxy's port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let mut command = Command::new("haproxy");
        command
            .env("PATH", path_with_sbin())
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::from(OwnedFd::from(listener)));
        Ok(Self {
            process: Process::start(command)?,
            addresses: vec![("http-in".to_owned(), Address::Tcp(address))],
            directory,
        })
    }

    /// Returns the first TCP address that was bound.
    ///
    /// # Panics
    /// Panics if there is no TCP address, because the test bound only Unix sockets.
    pub fn address(&self) -> SocketAddr {
        self.addresses
            .iter()
            .find_map(|(_, address)| address.tcp())
            .expect("the configuration binds a TCP address")
    }

    /// Returns every TCP address of the frontend `name`, in the order in which they were bound.
    pub fn addresses_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = SocketAddr> {
        self.addresses
            .iter()
            .filter(move |(frontend, _)| frontend == name)
            .filter_map(|(_, address)| address.tcp())
    }

    /// Replaces the configuration file. The proxy reads it only at the next reload.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn configure(&self, config: &str) -> anyhow::Result<()> {
        fs::write(self.directory().join(FILE), config).context("writing the configuration")
    }

    /// Runs `pointsman ctl` for this proxy, and returns what it prints.
    ///
    /// # Errors
    /// Fails if the command fails. The error contains the command's standard error.
    pub async fn ctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = pointsman()?;
        command
            .current_dir(self.directory())
            .arg("ctl")
            .args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout)?);
        }
        bail!("{}", String::from_utf8_lossy(&output.stderr))
    }

    /// Returns the directory of the configuration, which is removed when this value is dropped.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }
}

impl Address {
    fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix => None,
        }
    }
}

impl Deref for Proxy {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Proxy {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Returns the command that starts the `pointsman` that cargo built.
///
/// # Errors
/// Fails if there is no such binary.
pub fn pointsman() -> anyhow::Result<Command> {
    let binary = match env::var_os("POINTSMAN_BIN") {
        Some(named) => PathBuf::from(named),
        // The tests are in target/PROFILE/deps/e2e-HASH, the binary is target/PROFILE/pointsman.
        None => env::current_exe()?
            .ancestors()
            .nth(2)
            .context("this test is not in a target directory")?
            .join("pointsman"),
    };
    ensure!(
        binary.is_file(),
        "{} is not there: run `cargo build -p pointsman` first, or set POINTSMAN_BIN",
        binary.display()
    );
    let mut command = Command::new(binary);
    command.env_remove("RUST_LOG").env("NO_COLOR", "1");
    Ok(command)
}

/// Returns a compiled guest of `tests/guests`, as the contents of a file that a test puts next to
/// the configuration.
///
/// `POINTSMAN_GUESTS` names the folder of the guests; the default is `guests` in the target folder.
///
/// # Errors
/// Fails if the guest is not there.
pub fn guest(name: &str) -> anyhow::Result<Vec<u8>> {
    let folder = match (
        env::var_os("POINTSMAN_GUESTS"),
        env::var_os("CARGO_TARGET_DIR"),
    ) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Some(target)) => PathBuf::from(target).join("guests"),
        (None, None) => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests")),
    };
    let file = folder.join(format!("{name}.wasm"));
    fs::read(&file).with_context(|| format!("{}: run `cargo xtask plugins` first", file.display()))
}

/// Starts `command` with the arguments that make `pointsman` serve `config`.
fn run(mut command: Command, directory: &TempDir, config: &str) -> anyhow::Result<Process> {
    let file = directory.path().join(FILE);
    fs::write(&file, config).context("writing the configuration")?;
    command.arg("run").arg("-c").arg(&file);
    Process::start(command)
}

/// Returns the name of the frontend for each address that the configuration binds.
fn frontends(config: &str) -> anyhow::Result<Vec<String>> {
    let config: toml::Table = config.parse().context("the test's configuration")?;
    let frontends = config
        .get("frontend")
        .and_then(toml::Value::as_table)
        .context("a configuration without a frontend")?;
    let mut names = Vec::new();
    for (name, frontend) in frontends {
        let binds = match frontend.get("bind") {
            Some(toml::Value::Array(binds)) => binds.len(),
            Some(_) => 1,
            None => bail!("frontend.{name} binds nothing"),
        };
        names.extend(std::iter::repeat_n(name.clone(), binds));
    }
    Ok(names)
}

/// Parses `listening frontend=NAME address=ADDRESS` in a log line, in text or JSON.
fn listening(line: &str) -> Option<(String, Address)> {
    if !line.contains("listening") {
        return None;
    }
    let frontend = log_field(line, "frontend")?;
    let address = log_field(line, "address")?;
    let address = address.parse().map_or(Address::Unix, Address::Tcp);
    Some((frontend.to_owned(), address))
}

/// Returns a field's value in a log line, in either format.
pub fn log_field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let after = |mark: &str| Some(&line[line.find(mark)? + mark.len()..]);
    let value = after(&format!("{name}=")).or_else(|| after(&format!("\"{name}\":")))?;
    let value = value.strip_prefix('"').unwrap_or(value);
    value
        .split(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | '}'))
        .next()
}

/// Returns `PATH` with the directories of server programs added, which a user's own `PATH` often
/// lacks.
pub fn path_with_sbin() -> String {
    let path = env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")
}
