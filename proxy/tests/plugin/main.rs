//! The plugin host with real guests: those in `tests/guests`, built by `cargo xtask plugins`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bundled;
mod cache;
mod definitions;
mod hostile;
mod load;
mod memory;
mod pool;
mod scripted;
mod snapshot;
mod wasi;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use pointsman::config::StageId;
use pointsman::http::head::{Client, TlsFacts};
use pointsman::http::message::{RequestHead, Version};
use pointsman::plugin::{
    Answers, BackendName, BackendState, Backends, BodyPrefix, Compiler, Decision, Engine,
    EngineLimits, Environment, Fault, Instance, Plugin, Reads, Request, ServerState, Settings,
    Source,
};
use tracing_subscriber::fmt::MakeWriter;

/// One engine for all tests, as in the proxy.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    Engine::try_new(EngineLimits::default(), Compiler::InProcess).expect("the engine starts")
});

/// Reads the file of a guest.
fn guest(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("POINTSMAN_GUESTS").map_or_else(
        || {
            let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
            let target = std::env::var_os("CARGO_TARGET_DIR")
                .map_or_else(|| workspace.join("target"), PathBuf::from);
            target.join("guests")
        },
        PathBuf::from,
    );
    let file = folder.join(format!("{name}.wasm"));
    std::fs::read(&file).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; run `cargo xtask plugins` first",
            file.display()
        )
    })
}

/// Returns a guest, compiled once for all tests.
fn plugin(name: &str) -> Plugin {
    static PLUGINS: LazyLock<Mutex<HashMap<String, Plugin>>> = LazyLock::new(Mutex::default);
    let mut plugins = PLUGINS.lock().unwrap_or_else(PoisonError::into_inner);
    plugins
        .entry(name.to_owned())
        .or_insert_with(|| {
            let source = Source {
                name: name.to_owned(),
                bytes: guest(name).into(),
            };
            Plugin::load(&ENGINE, &source, None).expect("the guest loads")
        })
        .clone()
}

/// A configuration with two backends, one of which can be made unusable.
#[derive(Debug)]
struct TwoBackends {
    is_usable: AtomicBool,
}

impl Default for TwoBackends {
    fn default() -> Self {
        TwoBackends {
            is_usable: AtomicBool::new(true),
        }
    }
}

impl Backends for TwoBackends {
    fn names(&self) -> Vec<BackendName> {
        ["3-2-1", "www"].map(BackendName::from).to_vec()
    }

    fn find(&self, name: &str) -> Option<BackendName> {
        self.names().into_iter().find(|known| **known == *name)
    }

    fn is_usable(&self, name: &str) -> bool {
        name == "www" && self.is_usable.load(Ordering::Relaxed)
    }

    fn state(&self, name: &str) -> Option<BackendState> {
        (name == "www").then_some(BackendState {
            usable_servers: 3,
            active: 2,
            queued: 1,
        })
    }

    fn servers(&self, name: &str) -> Option<Vec<ServerState>> {
        let server = ServerState {
            usable: false,
            active: 2,
            latency: Some(1500),
            ..ServerState::idle("s1".into(), 5, Some(10))
        };
        (name == "www").then(|| vec![server])
    }

    fn configured(&self, name: &str) -> Option<Vec<ServerState>> {
        let names = ["s1", "s2", "s3", "s4"];
        let servers = names.map(|name| ServerState::idle(name.into(), 1, None));
        (name == "www").then(|| servers.to_vec())
    }
}

/// Returns settings with deadlines that are long enough for a busy machine.
fn settings(config: impl Into<String>) -> Settings {
    Settings {
        config: config.into(),
        deadline: Duration::from_secs(20),
        configure_deadline: Duration::from_secs(20),
        host_memory: 4 << 20,
        max_response: 1 << 20,
        stage: StageId::new("front", "stage"),
        ..Settings::default()
    }
}

fn instantiate(name: &str, settings: &Settings) -> Result<Instance, Fault> {
    plugin(name).instantiate(settings, &environment(), None)
}

/// Returns the environment of the plugins under test.
fn environment() -> Environment {
    Environment::new(Arc::new(TwoBackends::default()), Arc::default())
}

/// A request in the form that a plugin receives.
#[derive(Debug)]
struct Asked {
    head: RequestHead,
    client: Arc<Client>,
    tls: Option<Arc<TlsFacts>>,
    body: Option<BodyPrefix>,
    attempt: u32,
    answers: Answers,
}

impl Asked {
    fn request(&mut self) -> Request<'_> {
        Request {
            head: &mut self.head,
            client: &self.client,
            tls: self.tls.as_ref(),
            body: self.body.as_ref(),
            attempt: self.attempt,
            answers: &mut self.answers,
            id: Some(0x4f1c),
        }
    }
}

fn asked(fields: &[(&str, &[u8])]) -> Asked {
    let mut head = RequestHead::default();
    head.start(b"GET", b"/a?b=c", Version::Http11);
    for (name, value) in fields {
        head.fields_mut().push(name.as_bytes(), value);
    }
    Asked {
        head,
        client: Arc::new(Client {
            address: "192.0.2.1".into(),
            port: 4711,
        }),
        tls: None,
        body: None,
        attempt: 0,
        answers: Answers::default(),
    }
}

/// Routes a plain request. Ignores the reads.
fn route(instance: &mut Instance) -> Result<Decision, Fault> {
    let before = asked(&[("host", b"a.test"), ("x-a", b"1"), ("X-A", b"\xff")]);
    let mut after = asked(&[("host", b"a.test"), ("x-a", b"1"), ("X-A", b"\xff")]);
    let result = instance.route(&mut after.request(), &mut Reads::default());
    let shown = |asked: &Asked| format!("{:?}", asked.head);
    assert_eq!(
        shown(&after),
        shown(&before),
        "the head comes back as it was"
    );
    result
}

/// Returns what was logged while `action` ran on this thread, one line per event.
fn logged<T>(action: impl FnOnce() -> T) -> (T, Vec<String>) {
    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Buffer {
        type Writer = Buffer;

        fn make_writer(&self) -> Buffer {
            self.clone()
        }
    }

    let buffer = Buffer::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_writer(buffer.clone())
        .finish();
    let value = tracing::subscriber::with_default(subscriber, action);
    let bytes = std::mem::take(&mut *buffer.0.lock().unwrap());
    let text = String::from_utf8(bytes).expect("the log is text");
    (value, text.lines().map(str::to_owned).collect())
}
