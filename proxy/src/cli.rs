//! The command line: flags and exit codes.
//!
//! Each subcommand has a file under `cli/`. Only this module writes directly to standard output and
//! standard error.

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

/// How the process ended; listed in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Success. For a server that was stopped: every connection ended by itself.
    Success,
    /// The server could not start, or something else failed.
    Failure,
    /// The server was stopped and cut off connections that were still open.
    Aborted,
    /// The configuration, or something that it names, is wrong.
    Config,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            // Code 2 is taken: clap uses it for invalid flags.
            Exit::Aborted => 3,
            // `EX_USAGE` of sysexits(3), as in linkerd.
            Exit::Config => 64,
        })
    }
}

/// The subcommand that [`COMPILER`] starts.
const COMPILE: &str = "compile";

/// Compiles each plugin in a separate process.
const COMPILER: Compiler = Compiler::Subprocess(COMPILE, CompileLimits::DEFAULT);

const EXIT_CODES: &str = "\
Exit codes:
  0   success; after SIGTERM or SIGINT: every connection had ended
  1   could not start (an address in use, too few file descriptors ...), or failed while
      serving; the log has the reason
  2   the command line is invalid
  3   stopped, but connections were cut off after timeout.drain or a second signal
  64  the configuration is invalid, or something that it names is (a plugin, a user,
      a folder); nothing was started

Documentation: README.md, docs/run/configuration.md, docs/run/operating.md, docs/run/logs.md";

/// A reverse proxy whose routing is a WebAssembly plugin.
#[derive(Debug, Parser)]
#[command(name = "pointsman", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy until SIGTERM or SIGINT.
    ///
    /// The first signal stops accepting connections and waits for open requests and tunnels, up to
    /// timeout.drain. A second signal ends the process at once. SIGHUP reloads the configuration.
    /// SIGUSR2 starts the program again and hands the sockets over to the new process.
    Run(ConfigFlag),
    /// Check a configuration: report all mistakes at once, including those that its plugins find.
    ///
    /// Loads and configures the plugins. Opens no socket. If there are no mistakes, exits with 0
    /// and prints only the log lines of the plugins. If started as root, accesses files as the
    /// configured user, as a running proxy does.
    Check(ConfigFlag),
    /// Show where a router sends a request, without a server.
    ///
    /// Prints the decision, the response if the plugin returns one, what the plugin read and
    /// logged, and how long the decision took. Opens no socket.
    Route(route::Flags),
    /// Query or control a running process: show its state and plugins, swap a plugin, reload.
    ///
    /// Connects to the socket that `admin.socket` in the configuration names.
    Ctl(ctl::Flags),
    /// Create, build, test and measure plugins.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Run a demo: two small backends, a web page, live messages over a WebSocket.
    ///
    /// Listens on loopback only. Requires nothing else to be installed.
    Demo(demo::Flags),
    /// Compile the plugin on standard input. Other commands run this automatically.
    #[command(name = COMPILE, hide = true)]
    Compile(CompileFlags),
}

#[derive(Debug, Args)]
struct ConfigFlag {
    /// Configuration file
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
    /// Limit on memory, in bytes
    #[arg(long, default_value_t = CompileLimits::DEFAULT.memory)]
    memory: u64,
    /// Limit on processor time, in seconds
    #[arg(long, default_value_t = CompileLimits::DEFAULT.time.as_secs())]
    seconds: u64,
    /// Run only when the processor is otherwise idle
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

/// Parses the command line and runs its command.
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

/// Reads a configuration, or prints all mistakes in the file.
fn load(path: &Path) -> Result<(Config, Source), Exit> {
    config::load(path).map_err(|errors| {
        print_errors(&errors);
        Exit::Config
    })
}

/// Loads everything that a configuration names, or prints all mistakes in it.
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
    // If the reader has closed the stream, there is no one to report the error to.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints an error and its causes.
fn fail(error: &dyn std::error::Error) -> Exit {
    let text = telemetry::chain(error);
    let _ = writeln!(std::io::stderr().lock(), "error: {text}");
    Exit::Failure
}

/// Prints to standard output.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Starts the log as configured.
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
