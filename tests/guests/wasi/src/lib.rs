//! A plugin that uses WASI as a language's runtime does.
//!
//! `{"configure": ["clock", ...], "route": ["clock", ...]}` lists the steps of each function, in
//! order. With `"spare_probe"`, `route` does nothing for the host `localhost`, which is the host of
//! Pointsman's own first request. When the component is instantiated, it always reads clocks,
//! random numbers and the seed, as a Go runtime does.

use std::cell::{Cell, OnceCell, RefCell};

use bindings::exports::pointsman::router::plugin::{Cacheability, Decision, Guest, RequestHead};
use bindings::wasi::cli::{environment, exit, stderr, stdin, stdout};
use bindings::wasi::clocks::{monotonic_clock, wall_clock};
use bindings::wasi::filesystem::preopens;
use bindings::wasi::io::poll::{self, Pollable};
use bindings::wasi::io::streams::StreamError;
use bindings::wasi::random::{insecure_seed, random};
use bindings::wasi::sockets::network::{ErrorCode, IpAddressFamily};
use bindings::wasi::sockets::{
    instance_network, ip_name_lookup, tcp_create_socket, udp_create_socket,
};
use serde::Deserialize;

mod bindings {
    #![allow(unsafe_code, missing_docs, reason = "generated")]
    #![allow(
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]
    wit_bindgen::generate!({
        path: ["../../../wit", "wit"],
        world: "test:wasi/guest",
        generate_all,
    });
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    configure: Vec<Step>,
    route: Vec<Step>,
    spare_probe: bool,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "kebab-case")]
enum Step {
    Clock,
    WallClock,
    Random(u64),
    Seed,
    /// Fails with an error that contains the seed.
    TellSeed,
    /// Fails with an error that contains everything that was read at instantiation.
    TellStart,
    /// Waits for one timer of this number of milliseconds.
    Sleep(u64),
    /// Waits for several timers, in milliseconds. The first timer must be the one that expires.
    Poll(Vec<u64>),
    PollNothing,
    /// Polls an expired timer, which the list contains this number of times.
    PollAgain(usize),
    SubscribeMany(u32),
    /// Subscribes to this number of timers, and never drops them.
    Hoard(u32),
    /// Reads the clock repeatedly for this number of milliseconds.
    Spin(u64),
    /// Runs these steps if a point in time, in milliseconds of Unix time, has passed.
    After(u64, Vec<Step>),
    Print(String),
    PrintError(String),
    PrintMany(u32),
    /// Writes this number of newlines, as many at a time as the host accepts.
    PrintNewlines(usize),
    PrintZeroes(u64),
    /// Checks that the host gives no access to its resources.
    Grants,
    Stdin,
    Exit,
}

thread_local! {
    static CONFIG: RefCell<Config> = RefCell::default();
    static HOARD: RefCell<Vec<Pollable>> = const { RefCell::new(Vec::new()) };
    static START: OnceCell<String> = const { OnceCell::new() };
    static CLOCK: Cell<u64> = const { Cell::new(0) };
}

/// Runs when the component is instantiated.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "the name is the toolchains'")]
extern "C" fn _initialize() {
    let clocks = (monotonic_clock::now(), monotonic_clock::now());
    let wall_clock = wall_clock::now();
    let numbers = (random::get_random_bytes(40), random::get_random_bytes(8));
    let seed = insecure_seed::insecure_seed();
    let text = format!("{clocks:?} {wall_clock:?} {numbers:?} {seed:?}");
    START.with(|start| start.set(text).unwrap_or_default());
    // By this clock, the wait is longer than it really is.
    while CLOCK.get() < 2_000_000 {
        CLOCK.set(monotonic_clock::now());
    }
}

struct Wasi;

mod export {
    #![expect(unsafe_code, reason = "generated")]
    use super::Wasi;
    super::bindings::export!(Wasi with_types_in super::bindings);
}

impl Guest for Wasi {
    fn configure(config: String) -> Result<Cacheability, String> {
        let config: Config = serde_json::from_str(&config).map_err(|error| error.to_string())?;
        let steps = config.configure.clone();
        CONFIG.set(config);
        for step in steps {
            run(step)?;
        }
        Ok(Cacheability::Cacheable)
    }

    fn route(request: RequestHead) -> Result<Decision, String> {
        let spare_probe = CONFIG.with_borrow(|config| config.spare_probe);
        if spare_probe && request.header("host") == [b"localhost"] {
            return Ok(Decision::DefaultBackend);
        }
        let steps = CONFIG.with_borrow(|config| config.route.clone());
        for step in steps {
            run(step)?;
        }
        Ok(Decision::DefaultBackend)
    }
}

fn run(step: Step) -> Result<(), String> {
    match step {
        Step::Clock => {
            let before = monotonic_clock::now();
            ensure(before > CLOCK.get(), "the clock goes back")?;
            ensure(monotonic_clock::now() >= before, "the clock goes back")
        }
        Step::WallClock => ensure(wall_clock::now().seconds > 1_700_000_000, "no wall clock"),
        Step::Random(len) => {
            let bytes = random::get_random_bytes(len);
            ensure(bytes.len() as u64 == len, "not as many random bytes")
        }
        Step::Seed => {
            insecure_seed::insecure_seed();
            Ok(())
        }
        Step::TellSeed => Err(format!("{:?}", insecure_seed::insecure_seed())),
        Step::TellStart => Err(START.with(|start| start.get().cloned()).unwrap_or_default()),
        Step::Sleep(milliseconds) => {
            let duration = milliseconds * 1_000_000;
            let end = monotonic_clock::now() + duration;
            let timer = monotonic_clock::subscribe_duration(duration);
            timer.block();
            ensure(timer.ready(), "the timer has ended and is not ready")?;
            ensure(monotonic_clock::now() >= end, "the timer ended early")
        }
        Step::Poll(timers) => {
            let timers: Vec<_> = timers
                .into_iter()
                .map(|milliseconds| monotonic_clock::subscribe_duration(milliseconds * 1_000_000))
                .collect();
            let ready = poll::poll(&timers.iter().collect::<Vec<_>>());
            ensure(ready == [0], "another timer than the first was ready")
        }
        Step::PollNothing => {
            poll::poll(&[]);
            Ok(())
        }
        Step::PollAgain(times) => {
            let timer = monotonic_clock::subscribe_duration(0);
            let ready = poll::poll(&vec![&timer; times]);
            ensure(ready.len() == times, "not every one was ready")
        }
        Step::SubscribeMany(times) => {
            let timers = (0..times).map(|_| monotonic_clock::subscribe_instant(u64::MAX));
            ensure(timers.collect::<Vec<_>>().len() == times as usize, "")
        }
        Step::Hoard(times) => {
            let timers = (0..times).map(|_| monotonic_clock::subscribe_instant(u64::MAX));
            HOARD.with_borrow_mut(|hoard| hoard.extend(timers));
            Ok(())
        }
        Step::Spin(milliseconds) => {
            let end = monotonic_clock::now() + milliseconds * 1_000_000;
            while monotonic_clock::now() < end {}
            Ok(())
        }
        Step::After(milliseconds, steps) => {
            let now = wall_clock::now();
            if now.seconds * 1000 + u64::from(now.nanoseconds / 1_000_000) >= milliseconds {
                steps.into_iter().try_for_each(run)?;
            }
            Ok(())
        }
        Step::Print(text) => {
            let stream = stdout::get_stdout();
            stream.subscribe().block();
            let result = stream
                .check_write()
                .and_then(|_| stream.write(text.as_bytes()))
                .and_then(|()| stream.blocking_flush());
            result.map_err(|error| format!("{error:?}"))
        }
        Step::PrintError(text) => {
            let stream = stderr::get_stderr();
            let result = stream.blocking_write_and_flush(text.as_bytes());
            result.map_err(|error| format!("{error:?}"))
        }
        Step::PrintMany(times) => {
            for index in 0..times {
                run(Step::Print(format!("line {index}\n")))?;
            }
            Ok(())
        }
        Step::PrintNewlines(count) => print_newlines(count),
        Step::PrintZeroes(len) => {
            let result = stdout::get_stdout().blocking_write_zeroes_and_flush(len);
            result.map_err(|error| format!("{error:?}"))
        }
        Step::Grants => grants(),
        Step::Stdin => read_stdin(),
        Step::Exit => {
            exit::exit(Err(()));
            Ok(())
        }
    }
}

fn read_stdin() -> Result<(), String> {
    let stream = stdin::get_stdin();
    stream.subscribe().block();
    let closed = |result| matches!(result, Err(StreamError::Closed));
    ensure(closed(stream.read(1)), "stdin is open")?;
    ensure(closed(stream.blocking_read(1)), "stdin is open")?;
    let spliced = stdout::get_stdout().blocking_splice(&stream, 1);
    ensure(matches!(spliced, Err(StreamError::Closed)), "stdin is open")
}

fn print_newlines(count: usize) -> Result<(), String> {
    let newlines = vec![b'\n'; count];
    let stream = stdout::get_stdout();
    let mut rest = newlines.as_slice();
    while !rest.is_empty() {
        stream.subscribe().block();
        let taken = stream.check_write().map_err(|error| format!("{error:?}"))?;
        let taken = usize::try_from(taken).unwrap_or(usize::MAX);
        let (piece, later) = rest.split_at(taken.min(rest.len()));
        let written = stream.write(piece);
        written.map_err(|error| format!("{error:?}"))?;
        rest = later;
    }
    Ok(())
}

/// Fails if any of the host's resources are visible.
fn grants() -> Result<(), String> {
    ensure(environment::get_environment().is_empty(), "environment")?;
    ensure(environment::get_arguments().is_empty(), "arguments")?;
    ensure(environment::initial_cwd().is_none(), "working directory")?;
    ensure(preopens::get_directories().is_empty(), "directories")?;
    for family in [IpAddressFamily::Ipv4, IpAddressFamily::Ipv6] {
        let tcp = tcp_create_socket::create_tcp_socket(family);
        ensure(matches!(tcp, Err(ErrorCode::AccessDenied)), "TCP")?;
        let udp = udp_create_socket::create_udp_socket(family);
        ensure(matches!(udp, Err(ErrorCode::AccessDenied)), "UDP")?;
    }
    let network = instance_network::instance_network();
    let lookup = ip_name_lookup::resolve_addresses(&network, "localhost");
    ensure(lookup.is_err(), "name look-up")
}

fn ensure(condition: bool, what: &str) -> Result<(), String> {
    if condition {
        Ok(())
    } else {
        Err(what.to_owned())
    }
}
