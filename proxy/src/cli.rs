//! The command line: flags, and what becomes the exit code.
//!
//! One file for each subcommand under `cli/`. The only module that writes to standard
//! output and standard error by itself.

mod check;
mod ctl;
mod demo;
mod lines;
mod plugin;
mod printable;
mod response;
mod route;
mod run;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, Errors, Source};
use crate::control::{PrepareError, Prepared};
use crate::plugin::{CompileLimits, Compiler, Priority, work};
use crate::telemetry::{self, AccessTap, LogSettings, Telemetry};

/// How the process ends; listed in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went well; after a stop, every connection had ended.
    Success,
    /// The server could not start, or something else failed.
    Failure,
    /// Stopped with connections cut off.
    Aborted,
    /// The configuration is wrong, or a plugin that it names.
    Config,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            // 2 is clap's, for flags that make no sense.
            Exit::Aborted => 3,
            // EX_USAGE of sysexits(3), as linkerd has it.
            Exit::Config => 64,
        })
    }
}

/// The command that [`COMPILER`] starts.
const COMPILE: &str = "compile";

/// Plugins are compiled in processes of their own.
const COMPILER: Compiler = Compiler::Apart(COMPILE, CompileLimits::DEFAULT);

const EXIT_CODES: &str = "\
Exit codes:
  0   success; after SIGTERM or SIGINT: every connection had ended
  1   could not start (an address in use, too few file descriptors ...), or failed while it
      served, which the log explains
  2   the command line makes no sense
  3   stopped, but connections were cut off after timeout.drain or a second signal
  64  the configuration is wrong, or something that it names: a plugin, a user, a folder;
      nothing was started

Documentation: README.md, docs/configuration.md, docs/admin.md, docs/logs.md";

/// A reverse proxy whose routing is a WebAssembly plugin.
#[derive(Debug, Parser)]
#[command(name = "pointsman", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve, until SIGTERM or SIGINT.
    ///
    /// The first signal stops accepting and waits for open requests and tunnels, up to
    /// timeout.drain; a second one ends at once. SIGHUP reads the configuration again,
    /// SIGUSR2 runs the program anew and hands the sockets over.
    Run(ConfigFlag),
    /// Check a configuration: every mistake in one run, plugins loaded and configured too.
    ///
    /// Opens no socket. Exits with 0 where all is well, and prints nothing but what plugins log
    /// while they are tried out. As root it looks at files as the configured user, whom a running
    /// proxy opens them as.
    Check(ConfigFlag),
    /// Ask a router where a request would go, without a server.
    ///
    /// Prints the decision with the response that the plugin makes, what the plugin read and
    /// logged to come to it, and how long it took. Opens no socket.
    Route(route::Flags),
    /// Ask or tell a running process: its state, its plugins, another version, a reload.
    ///
    /// Over the socket that `admin.socket` in the configuration names.
    Ctl(ctl::Flags),
    /// Write, build, test and measure plugins.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Show it all at work: two small backends, a page, live messages over a WebSocket.
    ///
    /// Listens on loopback alone and needs nothing else installed.
    Demo(demo::Flags),
    /// Compile the plugin on standard input; what other commands start for themselves.
    #[command(name = COMPILE, hide = true)]
    Compile(CompileFlags),
}

#[derive(Debug, Args)]
struct ConfigFlag {
    /// The configuration file
    #[arg(
        short,
        long = "config",
        value_name = "FILE",
        default_value = "pointsman.toml"
    )]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct CompileFlags {
    /// Most bytes of memory
    #[arg(long, default_value_t = CompileLimits::DEFAULT.memory)]
    memory: u64,
    /// Most seconds of processor time
    #[arg(long, default_value_t = CompileLimits::DEFAULT.time.as_secs())]
    seconds: u64,
    /// Run only where nobody else wants to
    #[arg(long)]
    idle: bool,
}

impl CompileFlags {
    fn run(&self) -> ExitCode {
        let limits = CompileLimits {
            memory: self.memory,
            time: Duration::from_secs(self.seconds),
        };
        let priority = if self.idle {
            Priority::Idle
        } else {
            Priority::Inherited
        };
        work(limits, priority).into()
    }
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Run(flags) => run::run(&flags.config),
        Command::Check(flags) => check::run(&flags.config),
        Command::Route(flags) => route::run(&flags),
        Command::Ctl(flags) => ctl::run(&flags),
        Command::Plugin(command) => plugin::run(&command),
        Command::Demo(flags) => demo::run(&flags),
        Command::Compile(flags) => return flags.run(),
    };
    exit.into()
}

/// Reads a configuration, or prints everything that is wrong with the file.
fn load(path: &Path) -> Result<(Config, Source), Exit> {
    config::load(path).map_err(|errors| {
        print_errors(&errors);
        Exit::Config
    })
}

/// Loads what a configuration names, or prints everything that is wrong with it.
fn prepare(config: Config, source: Source) -> Result<Prepared, Exit> {
    Prepared::new(config, source, COMPILER).map_err(|error| match error {
        PrepareError::Config(errors) => {
            print_errors(&errors);
            Exit::Config
        }
        error => fail(&error),
    })
}

fn print_errors(errors: &Errors) {
    let stderr = std::io::stderr();
    let text = if stderr.is_terminal() {
        errors.styled()
    } else {
        errors.to_string()
    };
    print_error(&format!("{}\n", text.trim_end()));
}

/// Prints to standard error.
fn print_error(text: &str) {
    // A reader that has closed it does not want to know.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints an error with its causes.
fn fail(error: &dyn std::error::Error) -> Exit {
    let text = telemetry::chain(error);
    let _ = writeln!(std::io::stderr().lock(), "error: {text}");
    Exit::Failure
}

/// Prints to standard output.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Starts the log that a configuration asks for.
fn start_log(log: &config::Log, tap: Option<AccessTap>) -> Result<Telemetry, Exit> {
    let settings = LogSettings {
        level: log.level.into(),
        format: match log.format {
            config::LogFormat::Text => telemetry::LogFormat::Text,
            config::LogFormat::Json => telemetry::LogFormat::Json,
        },
        target: match &log.target {
            config::LogTarget::Stderr => telemetry::LogTarget::Stderr,
            config::LogTarget::Stdout => telemetry::LogTarget::Stdout,
            config::LogTarget::File(path) => telemetry::LogTarget::File(path.clone()),
        },
    };
    let telemetry = telemetry::install(&settings, tap).map_err(|error| fail(&error))?;
    telemetry.apply(log);
    Ok(telemetry)
}
