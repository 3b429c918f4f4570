//! WASI 0.2 with nothing granted: no files, environment, arguments, sockets or stdin.
//!
//! Plugins built from JavaScript, Python and Go import WASI. Clocks and random numbers work, but
//! affect caching: if `route` uses them, its decision is not cached; if `configure` uses them, none
//! of the instance's decisions are. stdout and stderr go to the log line by line.
//!
//! wasmtime-wasi's own synchronous functions block on a tokio runtime. On a worker thread that
//! panics, because the thread is already inside a runtime. So every function that can wait
//! (`wasi:io`, clocks) and every function that opens a socket is implemented here. Such a function
//! polls its future once; only a timer can still be pending after that. The thread then sleeps
//! until the timer fires if that blocks no requests; otherwise the call is aborted.

mod impure;
mod io;
mod stream;

use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sync::sockets::udp_create_socket;
use wasmtime_wasi::p2::bindings::{cli, filesystem, sockets, sync};
use wasmtime_wasi::p2::{Network, SocketError, SocketResult, UdpSocket};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtxView, WasiSocketsView as _};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use self::impure::{Impure, MAX_RANDOM, Sources};
use self::io::{Io, MAX_RESOURCES};
use self::stream::LogOutput;
use super::host::State;
use super::log::Log;

pub(super) use self::impure::Origins;

/// Interfaces that [`add_to_linker`] adds, without their package name `wasi:`.
pub(super) const INTERFACES: [&str; 27] = [
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "clocks/monotonic-clock",
    "clocks/wall-clock",
    "filesystem/preopens",
    "filesystem/types",
    "io/error",
    "io/poll",
    "io/streams",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
    "sockets/instance-network",
    "sockets/ip-name-lookup",
    "sockets/network",
    "sockets/tcp",
    "sockets/tcp-create-socket",
    "sockets/udp",
    "sockets/udp-create-socket",
];

/// Maximum number of bytes that the host keeps for one instance's WASI state: its resources, and
/// two lines of output.
pub(super) const SIZE: usize = MAX_RESOURCES * 256 + 2 * stream::MAX_WRITE;

/// WASI state of one instance's store.
pub(super) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    stdout: LogOutput,
    stderr: LogOutput,
    sources: Sources,
    /// Time until which the current call may wait; None if it is not allowed to wait.
    patience: Option<Instant>,
    /// Whether a call has waited for a timer.
    has_waited: bool,
}

impl Wasi {
    pub(super) fn new(log: &Log, origins: Origins) -> Wasi {
        let stdout = LogOutput::new(log.clone());
        let stderr = LogOutput::new(log.clone());
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Wasi {
            ctx: WasiCtx::builder()
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .max_random_size(MAX_RANDOM)
                .stdout(stdout.clone())
                .stderr(stderr.clone())
                .build(),
            table,
            stdout,
            stderr,
            sources: Sources::new(origins),
            patience: None,
            has_waited: false,
        }
    }

    /// Allows the guest to wait for timers until [`end`](Self::end), but at most for `longest`. Use
    /// only for calls that block no requests.
    pub(super) fn allow_waits(&mut self, longest: Duration) {
        self.patience = Instant::now().checked_add(longest);
    }

    /// Returns whether the guest has waited for a timer.
    pub(super) fn has_waited(&self) -> bool {
        self.has_waited
    }

    /// Marks the guest as instantiated. From then on, its clocks and random numbers differ from
    /// those of other instances.
    pub(super) fn started(&mut self) {
        self.sources.started();
    }

    /// Returns whether the guest has a handle to any WASI resource.
    pub(super) fn holds_resources(&self) -> bool {
        !self.table.is_empty()
    }

    /// Ends a call. Writes a line that the guest has left unterminated, such as the last one of a
    /// traceback.
    pub(super) fn end(&mut self) {
        self.patience = None;
        self.stdout.end_line();
        self.stderr.end_line();
    }
}

/// Adds every interface of [`INTERFACES`].
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let l = linker;
    let options = sockets::network::LinkOptions::default();

    // These functions never wait, so wasmtime-wasi's own implementations are used.
    cli::environment::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, State::cli)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, State::filesystem)?;
    sockets::instance_network::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    sockets::network::add_to_linker::<_, WasiSockets>(l, &options, State::sockets)?;
    // These functions fail at once, since sockets and name lookups are not allowed.
    sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(l, State::sockets)?;

    // These functions are unreachable: each takes a resource that nothing here creates.
    sync::filesystem::types::add_to_linker::<_, WasiFilesystem>(l, State::filesystem)?;
    sync::sockets::tcp::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    sync::sockets::udp::add_to_linker::<_, WasiSockets>(l, State::sockets)?;

    // These interfaces are implemented by this module and its submodules.
    udp_create_socket::add_to_linker::<_, Ungranted<'static>>(l, |state| {
        Ungranted(state.sockets())
    })?;
    monotonic_clock::add_to_linker::<_, Impure<'static>>(l, State::impure)?;
    wall_clock::add_to_linker::<_, Impure<'static>>(l, State::impure)?;
    random::add_to_linker::<_, Impure<'static>>(l, State::impure)?;
    insecure::add_to_linker::<_, Impure<'static>>(l, State::impure)?;
    insecure_seed::add_to_linker::<_, Impure<'static>>(l, State::sources)?;
    io::add_to_linker(l)
}

impl State {
    fn wasi(&mut self) -> &mut Wasi {
        self.wasi
            .as_mut()
            .expect("a component that imports WASI is given it")
    }

    /// Returns clocks and random numbers for the guest. Forbids caching, unless the instance is
    /// still starting.
    fn impure(&mut self) -> Impure<'_> {
        if !self.wasi().sources.is_starting() {
            self.reads.forbid_caching();
        }
        self.sources()
    }

    fn sources(&mut self) -> Impure<'_> {
        let wasi = self.wasi();
        Impure {
            sources: &mut wasi.sources,
            ctx: &mut wasi.ctx,
            table: &mut wasi.table,
        }
    }

    fn io(&mut self) -> Io<'_> {
        let wasi = self.wasi();
        Io {
            table: &mut wasi.table,
            patience: wasi.patience,
            has_waited: &mut wasi.has_waited,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView {
            ctx: &mut wasi.ctx,
            table: &mut wasi.table,
        }
    }
}

/// UDP sockets, whose creation is always denied. wasmtime-wasi would also deny it, but only after
/// entering a runtime.
struct Ungranted<'a>(WasiSocketsCtxView<'a>);

impl HasData for Ungranted<'static> {
    type Data<'a> = Ungranted<'a>;
}

impl udp_create_socket::Host for Ungranted<'_> {
    fn create_udp_socket(&mut self, _: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        Err(ErrorCode::AccessDenied.into())
    }
}

impl network::Host for Ungranted<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.0.convert_error_code(error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.0.network_error_code(error)
    }
}

impl network::HostNetwork for Ungranted<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.0, network)
    }
}
