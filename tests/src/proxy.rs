//! The proxy under test: Pointsman's own binary, or `HAProxy` to compare it with.

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

/// The configuration's name, as the commands know it.
const FILE: &str = "pointsman.toml";

/// Where a frontend listens, as the log has it.
#[derive(Debug)]
enum Address {
    Tcp(SocketAddr),
    /// The test knows its path.
    Unix,
}

/// A start that came to nothing.
#[derive(Debug)]
pub struct Refusal {
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Everything that it wrote, a line each.
    pub log: String,
}

/// A running proxy, its log and signals being those of its [`Process`].
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    /// Frontend and address, in the order in which they were bound.
    addresses: Vec<(String, Address)>,
    /// Holds the configuration, and whatever else the test puts beside it.
    directory: TempDir,
}

impl Proxy {
    /// Starts the `pointsman` that cargo built, and waits until it listens everywhere.
    ///
    /// `config` is a `pointsman.toml` whose every `bind` has port 0. The binary is the one
    /// beside this test's directory, or the one that `POINTSMAN_BIN` names.
    ///
    /// # Errors
    /// No such binary, a configuration that it refuses, or an end before it listens.
    pub async fn pointsman(config: &str) -> anyhow::Result<Self> {
        Self::pointsman_in(tempfile::tempdir()?, config).await
    }

    /// As [`Proxy::pointsman`], with its configuration in a directory that has been filled by
    /// the test: plugins, for example, named by relative paths.
    ///
    /// # Errors
    /// As [`Proxy::pointsman`].
    pub async fn pointsman_in(directory: TempDir, config: &str) -> anyhow::Result<Self> {
        Self::pointsman_by(pointsman()?, directory, config).await
    }

    /// As [`Proxy::pointsman_in`], with a command that ends in a `pointsman` without flags.
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

    /// Runs `pointsman` with a configuration that it must not start with, by a command that
    /// ends in it, until it ends.
    ///
    /// # Errors
    /// It listens, or does not end.
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

    /// As [`Proxy::refused_by`], with the `pointsman` that cargo built and nothing beside the
    /// configuration.
    ///
    /// # Errors
    /// As [`Proxy::refused_by`].
    pub async fn refused(config: &str) -> anyhow::Result<Refusal> {
        Self::refused_by(pointsman()?, &tempfile::tempdir()?, config).await
    }

    /// Starts `HAProxy` in the foreground.
    ///
    /// `config` says `bind fd@0` for its only frontend: the socket is bound here, so that the
    /// port is known and connections queue from the start.
    ///
    /// # Errors
    /// `HAProxy` is not installed, or refuses the configuration.
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

    /// The first TCP address that was bound.
    ///
    /// # Panics
    /// There is none: the test bound Unix sockets only.
    pub fn address(&self) -> SocketAddr {
        self.addresses
            .iter()
            .find_map(|(_, address)| address.tcp())
            .expect("the configuration binds a TCP address")
    }

    /// Every TCP address of the frontend `name`, in the order in which they were bound.
    pub fn addresses_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = SocketAddr> {
        self.addresses
            .iter()
            .filter(move |(frontend, _)| frontend == name)
            .filter_map(|(_, address)| address.tcp())
    }

    /// Replaces its configuration file; nothing is read before it is told to.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn configure(&self, config: &str) -> anyhow::Result<()> {
        fs::write(self.directory().join(FILE), config).context("writing the configuration")
    }

    /// What `pointsman ctl` prints about it, or the error that it ends with.
    ///
    /// # Errors
    /// Its own, with what it wrote to standard error.
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

    /// The directory of its configuration, gone with this value.
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

/// The command that starts the `pointsman` that cargo built.
///
/// # Errors
/// There is no such binary.
pub fn pointsman() -> anyhow::Result<Command> {
    let binary = match env::var_os("POINTSMAN_BIN") {
        Some(named) => PathBuf::from(named),
        // target/PROFILE/deps/e2e-HASH lies beside target/PROFILE/pointsman.
        None => env::current_exe()?
            .ancestors()
            .nth(2)
            .context("this test is in no target directory")?
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

/// A compiled guest of `tests/guests`, as bytes for a file beside the configuration.
///
/// `POINTSMAN_GUESTS` names their folder, which is `guests` in the target folder otherwise.
///
/// # Errors
/// It is not there.
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

/// Starts `command` with what makes a `pointsman` serve `config`.
fn run(mut command: Command, directory: &TempDir, config: &str) -> anyhow::Result<Process> {
    let file = directory.path().join(FILE);
    fs::write(&file, config).context("writing the configuration")?;
    command.arg("run").arg("-c").arg(&file);
    Process::start(command)
}

/// The name of a frontend for each address that the configuration binds.
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

/// Reads `listening frontend=NAME address=ADDRESS`, from a log in text or JSON.
fn listening(line: &str) -> Option<(String, Address)> {
    if !line.contains("listening") {
        return None;
    }
    let frontend = log_field(line, "frontend")?;
    let address = log_field(line, "address")?;
    let address = address.parse().map_or(Address::Unix, Address::Tcp);
    Some((frontend.to_owned(), address))
}

/// A field's value in a log line, whichever the format.
pub fn log_field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let after = |mark: &str| Some(&line[line.find(mark)? + mark.len()..]);
    let value = after(&format!("{name}=")).or_else(|| after(&format!("\"{name}\":")))?;
    let value = value.strip_prefix('"').unwrap_or(value);
    value
        .split(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | '}'))
        .next()
}

/// `PATH` with the directories of servers, which a user's own often lacks.
pub fn path_with_sbin() -> String {
    let path = env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")
}
