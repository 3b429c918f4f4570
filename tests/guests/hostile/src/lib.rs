//! A plugin that misbehaves as its configuration says.
//!
//! An example of a configuration is `{"mode": "trap-unreachable", "value": 0}`. With the mode
//! `modes`, `configure` fails with an error that lists every mode, so that a test can check that
//! each mode has a test.
#![expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "every mode has the same signature"
)]

use std::cell::{Cell, RefCell};
use std::hint::black_box;

use bindings::exports::pointsman::router::plugin::{
    Cacheability, Decision, Fallback, Guest, RequestHead, Response, ServerChoice,
};
use bindings::pointsman::router::{backends, log, questions};
use serde::Deserialize;

mod bindings {
    #![allow(unsafe_code, missing_docs, reason = "generated")]
    #![allow(
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]
    wit_bindgen::generate!({ path: "../../../wit", world: "pointsman:router/router" });
}

#[derive(Deserialize)]
struct Config {
    mode: String,
    /// Parameter of the mode, such as a size, a count or a status.
    #[serde(default)]
    value: usize,
    /// Whether the guest is harmless for requests to `localhost`. The host's own first request is
    /// one of them.
    #[serde(default)]
    spare_probe: bool,
}

/// A way to misbehave in `route`: its name and its function.
type Mode = (
    &'static str,
    fn(RequestHead, usize) -> Result<Decision, String>,
);

/// Modes in which `configure` misbehaves. If it succeeds, `route` is harmless.
const CONFIGURE_MODES: [&str; 4] = [
    "configure-error",
    "configure-grow",
    "configure-spin",
    "configure-trap",
];

const ROUTE_MODES: [Mode; 42] = [
    ("affinity-huge", |request, size| {
        request.set_affinity(&vec![0; size]);
        Ok(Decision::Next)
    }),
    ("append-header", append_header),
    ("ask-undefined", |request, number| {
        request.ask(as_number(number));
        Ok(Decision::Next)
    }),
    ("ask-value-of-number", |request, _| {
        request.ask_value(0);
        Ok(Decision::Next)
    }),
    ("ask-number-of-value", |request, _| {
        request.ask(1);
        Ok(Decision::Next)
    }),
    ("backends-state", backends_state),
    ("by-undefined", |request, _| {
        request.tag_by("a", 2);
        Ok(Decision::Next)
    }),
    ("by-number", |request, _| {
        request.set_affinity_by(0);
        Ok(Decision::Next)
    }),
    ("define-late", |_, _| {
        questions::define_value("host").map(|_| Decision::Next)
    }),
    ("edit-forbidden", edit_forbidden),
    ("edit-invalid", edit_invalid),
    ("error", error),
    ("grow", grow),
    ("harmless", harmless),
    ("invalid-utf8", invalid_utf8),
    ("keep-handles", keep_handles),
    ("log-flood", log_flood),
    ("log-forged", log_forged),
    ("log-huge", log_huge),
    ("read-huge", read_huge),
    ("read-many", read_many),
    ("respond", respond),
    ("respond-body", respond_body),
    ("respond-field-forbidden", |_, index| {
        respond_field(FORBIDDEN[index], b"1")
    }),
    ("respond-field-name", |_, _| respond_field("a b", b"1")),
    ("respond-field-value", |_, _| {
        respond_field("a", b"1\r\nset-cookie: a=b")
    }),
    ("respond-fields", respond_fields),
    ("respond-huge", respond_huge),
    ("respond-then-edit", respond_then_edit),
    ("set-header", set_header),
    ("spin", spin),
    ("tags-many", |request, times| {
        for index in 0..times {
            request.tag(&format!("t{index}"), "");
        }
        Ok(Decision::Next)
    }),
    ("timeout-zero", |request, _| {
        request.set_server_timeout(0);
        Ok(Decision::Next)
    }),
    ("tries", |request, tries| {
        request.set_tries(as_number(tries));
        Ok(Decision::Next)
    }),
    ("stale-handle", stale_handle),
    ("stale-handle-edit", stale_handle_edit),
    ("trap-bounds", trap_bounds),
    ("trap-stack", trap_stack),
    ("trap-unreachable", trap_unreachable),
    ("unknown-backend", unknown_backend),
    ("unknown-server", |_, _| {
        Ok(Decision::Server(ServerChoice {
            backend: "www".to_owned(),
            server: "no\nwhere".to_owned(),
            otherwise: Fallback::AnotherServer,
        }))
    }),
    ("wild-pointer", wild_pointer),
];

/// Fields that only the proxy may set.
const FORBIDDEN: [&str; 14] = [
    "connection",
    "Content-Length",
    "Transfer-Encoding",
    "upgrade",
    "te",
    "trailer",
    "Keep-Alive",
    "proxy-connection",
    "expect",
    "http2-settings",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "Sec-WebSocket-Protocol",
];

thread_local! {
    static MODE: Cell<Option<Mode>> = const { Cell::new(None) };
    static VALUE: Cell<usize> = const { Cell::new(0) };
    static SPARE_PROBE: Cell<bool> = const { Cell::new(false) };
    static KEPT: RefCell<Vec<RequestHead>> = const { RefCell::new(Vec::new()) };
}

struct Hostile;

mod export {
    #![expect(unsafe_code, reason = "generated")]
    use super::Hostile;
    super::bindings::export!(Hostile with_types_in super::bindings);
}

impl Guest for Hostile {
    fn configure(config: String) -> Result<Cacheability, String> {
        let config: Config = serde_json::from_str(&config).map_err(|error| error.to_string())?;
        VALUE.set(config.value);
        SPARE_PROBE.set(config.spare_probe);
        match config.mode.as_str() {
            "modes" => {
                let route = ROUTE_MODES.iter().map(|(name, _)| *name);
                let all: Vec<&str> = CONFIGURE_MODES.into_iter().chain(route).collect();
                return Err(all.join(" "));
            }
            "configure-error" => return Err("a\nb".repeat(config.value)),
            "configure-grow" => exhaust_memory(),
            "configure-spin" => spin_forever(),
            "configure-trap" => std::process::abort(),
            _ => {}
        }
        let mode = ROUTE_MODES
            .into_iter()
            .find(|(name, _)| *name == config.mode)
            .ok_or_else(|| format!("no such mode: {}", config.mode))?;
        if mode.0.starts_with("ask-") || mode.0.starts_with("by-") {
            questions::define_exact("host", false, &[("a.test".to_owned(), 1)])?;
            questions::define_value("host")?;
        }
        MODE.set(Some(mode));
        // The guest's behavior can depend on previous calls, so no call may be answered from the
        // cache.
        Ok(Cacheability::Uncacheable)
    }

    fn route(request: RequestHead) -> Result<Decision, String> {
        let (_, misbehave) = MODE.get().ok_or("not configured")?;
        if SPARE_PROBE.get() && request.header("host") == [b"localhost"] {
            return Ok(Decision::DefaultBackend);
        }
        misbehave(request, VALUE.get())
    }
}

fn as_number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Bytes that a test replaces in the component to get another release.
static RELEASE: [u8; 12] = *b"release: one";

fn harmless(request: RequestHead, _: usize) -> Result<Decision, String> {
    match black_box(&RELEASE) {
        b"release: two" => respond(request, 404),
        b"release: bad" => std::process::abort(),
        _ => Ok(Decision::DefaultBackend),
    }
}

fn append_header(request: RequestHead, times: usize) -> Result<Decision, String> {
    for index in 0..times {
        request
            .append_header("x-line", index.to_string().as_bytes())
            .map_err(|error| format!("{error:?}"))?;
    }
    Ok(Decision::DefaultBackend)
}

fn backends_state(_: RequestHead, _: usize) -> Result<Decision, String> {
    if backends::state("nowhere").is_some() {
        return Err("a backend that is not there has a state".into());
    }
    let state = backends::state("www").ok_or("no state")?;
    Ok(Decision::Backend(format!(
        "{}-{}-{}",
        state.usable_servers, state.active, state.queued
    )))
}

/// Attempts every edit that must be refused. The error names the first one that was not.
fn edit_forbidden(request: RequestHead, _: usize) -> Result<Decision, String> {
    let expect = |what: &str, result: Result<(), String>| match result {
        Err(error) if error.ends_with("is set by the proxy alone") => Ok(()),
        other => Err(format!("{what}: {other:?}")),
    };
    for name in FORBIDDEN {
        expect(name, request.set_header(name, b"1"))?;
        expect(name, request.append_header(name, b"1"))?;
        expect(name, request.remove_header(name))?;
        expect(name, request.set_response_header(name, b"1"))?;
        expect(name, request.append_response_header(name, b"1"))?;
        expect(name, request.remove_response_header(name))?;
    }
    for result in [
        request.set_header("Host", b"a"),
        request.append_header("Host", b"a"),
        request.remove_header("Host"),
    ] {
        if result != Err("the field \"host\" is set by `set-authority`".to_owned()) {
            return Err(format!("host: {result:?}"));
        }
    }
    Ok(Decision::DefaultBackend)
}

fn edit_invalid(request: RequestHead, _: usize) -> Result<Decision, String> {
    let expect = |what: &[u8], result: Result<(), String>| match result {
        Err(_) => Ok(()),
        other => Err(format!("{what:?}: {other:?}")),
    };
    for name in ["", " ", "a b", "a:b", ":path", "a\r\nb", "ä"] {
        expect(name.as_bytes(), request.set_header(name, b"1"))?;
        expect(name.as_bytes(), request.remove_header(name))?;
    }
    for value in [&b"a\r\nb: c"[..], b"\0", b"\x7f", b"\n"] {
        expect(value, request.set_header("x", value))?;
        expect(value, request.append_header("x", value))?;
    }
    for host in [&b""[..], b"a b", b"a,b", b"u@a", b"a/b", b"a:x", b"\xff"] {
        expect(host, request.set_authority(host))?;
    }
    for target in ["", "*", "a", "http://a/", "/a b", "/\r\n", "/#a"] {
        expect(target.as_bytes(), request.set_path_with_query(target))?;
    }
    for part in ["/a?b", "/a b", "/\r\n", "/#a", "ä"] {
        expect(part.as_bytes(), request.replace_path_prefix(1, part))?;
    }
    Ok(Decision::DefaultBackend)
}

fn error(_: RequestHead, size: usize) -> Result<Decision, String> {
    Err("no\u{1b}[2J".repeat(size))
}

fn grow(_: RequestHead, _: usize) -> Result<Decision, String> {
    exhaust_memory()
}

fn exhaust_memory() -> ! {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        kept.push(black_box(vec![1; 1 << 20]));
    }
}

fn invalid_utf8(_: RequestHead, _: usize) -> Result<Decision, String> {
    #[expect(unsafe_code, reason = "a plugin in another language could do this")]
    let name = unsafe { String::from_utf8_unchecked(black_box(vec![0xff, 0xfe])) };
    Ok(Decision::Backend(name))
}

fn keep_handles(request: RequestHead, _: usize) -> Result<Decision, String> {
    KEPT.with_borrow_mut(|kept| kept.push(request));
    Ok(Decision::DefaultBackend)
}

fn log_flood(_: RequestHead, times: usize) -> Result<Decision, String> {
    for index in 0..times {
        log::write(log::Level::Info, &format!("line {index}"));
    }
    Ok(Decision::DefaultBackend)
}

fn log_forged(_: RequestHead, _: usize) -> Result<Decision, String> {
    log::write(
        log::Level::Warn,
        "first\nERROR second\r\u{1b}[31m\0\u{202e}",
    );
    Ok(Decision::DefaultBackend)
}

fn log_huge(_: RequestHead, size: usize) -> Result<Decision, String> {
    log::write(log::Level::Error, &"x".repeat(size));
    Ok(Decision::DefaultBackend)
}

fn read_huge(request: RequestHead, size: usize) -> Result<Decision, String> {
    match request.header(&"x".repeat(size)).len() {
        0 => Ok(Decision::DefaultBackend),
        _ => Err("a field that is not there has lines".into()),
    }
}

fn read_many(request: RequestHead, times: usize) -> Result<Decision, String> {
    for index in 0..times {
        request.header(&format!("x-{index}"));
    }
    Ok(Decision::DefaultBackend)
}

fn respond(_: RequestHead, status: usize) -> Result<Decision, String> {
    let status = u16::try_from(status).map_err(|error| error.to_string())?;
    Ok(Decision::Respond(Response {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    }))
}

fn respond_body(_: RequestHead, status: usize) -> Result<Decision, String> {
    let status = u16::try_from(status).map_err(|error| error.to_string())?;
    Ok(Decision::Respond(Response {
        status,
        headers: vec![("Content-Type".into(), b"text/plain".to_vec())],
        body: b"hello".to_vec(),
    }))
}

fn respond_field(name: &str, value: &[u8]) -> Result<Decision, String> {
    Ok(Decision::Respond(Response {
        status: 200,
        headers: vec![(name.to_owned(), value.to_vec())],
        body: Vec::new(),
    }))
}

fn respond_fields(_: RequestHead, times: usize) -> Result<Decision, String> {
    Ok(Decision::Respond(Response {
        status: 200,
        headers: vec![("x".to_owned(), Vec::new()); times],
        body: Vec::new(),
    }))
}

fn respond_huge(_: RequestHead, size: usize) -> Result<Decision, String> {
    Ok(Decision::Respond(Response {
        status: 200,
        headers: Vec::new(),
        body: vec![b'x'; size],
    }))
}

fn respond_then_edit(request: RequestHead, _: usize) -> Result<Decision, String> {
    request
        .set_header("x", b"1")
        .map_err(|error| format!("{error:?}"))?;
    respond(request, 404)
}

fn set_header(request: RequestHead, size: usize) -> Result<Decision, String> {
    request
        .set_header("x", &vec![b'x'; size])
        .map_err(|error| format!("{error:?}"))?;
    Ok(Decision::DefaultBackend)
}

fn spin(_: RequestHead, _: usize) -> Result<Decision, String> {
    spin_forever()
}

fn spin_forever() -> ! {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

fn stale_handle(request: RequestHead, _: usize) -> Result<Decision, String> {
    with_stale(request, |stale| {
        stale.method();
        Ok(())
    })
}

fn stale_handle_edit(request: RequestHead, _: usize) -> Result<Decision, String> {
    with_stale(request, |stale| stale.set_header("x", b"1"))
}

/// Uses the request handle of the previous call, and keeps the handle of this call.
fn with_stale(
    request: RequestHead,
    use_it: impl FnOnce(&RequestHead) -> Result<(), String>,
) -> Result<Decision, String> {
    KEPT.with_borrow_mut(|kept| {
        if let Some(stale) = kept.last() {
            use_it(stale).map_err(|error| format!("{error:?}"))?;
        }
        kept.push(request);
        Ok(Decision::DefaultBackend)
    })
}

fn trap_bounds(_: RequestHead, _: usize) -> Result<Decision, String> {
    let wild = black_box(usize::MAX - 8) as *const u8;
    #[expect(unsafe_code, reason = "a plugin in another language could do this")]
    let byte = unsafe { wild.read_volatile() };
    Err(byte.to_string())
}

fn trap_stack(_: RequestHead, _: usize) -> Result<Decision, String> {
    fn deeper(depth: u64) -> u64 {
        let frame = black_box([depth; 64]);
        if frame[1] == u64::MAX {
            return 0;
        }
        deeper(depth + 1) + black_box(frame)[1]
    }
    Err(deeper(0).to_string())
}

fn trap_unreachable(_: RequestHead, _: usize) -> Result<Decision, String> {
    std::process::abort()
}

fn unknown_backend(_: RequestHead, size: usize) -> Result<Decision, String> {
    Ok(Decision::Backend("no\nwhere".repeat(size)))
}

fn wild_pointer(_: RequestHead, _: usize) -> Result<Decision, String> {
    let wild = black_box(usize::MAX / 2) as *mut u8;
    let (len, capacity) = (black_box(1 << 20), black_box(1 << 20));
    #[expect(unsafe_code, reason = "a plugin in another language could do this")]
    let name = unsafe { String::from_raw_parts(wild, len, capacity) };
    Ok(Decision::Backend(name))
}
