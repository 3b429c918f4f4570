//! Entry points of the fuzz targets in `proxy/fuzz`. Each one takes arbitrary bytes and must return
//! without a panic. Compiled only with the feature `fuzzing`.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::admin::{self, Access, Admin};
use crate::config::{self, Config};
use crate::connection_limiter::ConnectionLimiter;
use crate::control::{Control, FrontendListeners, Handles, Prepared};
use crate::plugin::{self, Compiler, Environment};
use crate::rollout::backends::ConfiguredBackends;
use crate::rollout::loader::{Load, Loader};
use crate::telemetry::{self, LogFormat, LogSettings, LogTarget, Telemetry};
use crate::worker::DrainState;

/// A configuration whose limits a plugin reaches soon.
const CONFIGURATION: &str = r#"
workers = 1
[log]
level = "error"
[frontend.http]
bind = "127.0.0.1:0"
default_backend = "www"
[frontend.http.router]
plugin = "host-suffix"
watch = false
config.rules = [{ suffix = "io.test.tld", backend = "www" }]
[frontend.http.router.limits]
deadline = "1ms"
configure_deadline = "5ms"
memory = "4MiB"
[backend.www.server.one]
address = "127.0.0.1:9"
"#;

fn configured() -> Config {
    let parsed = config::parse(Path::new("fuzzing.toml"), CONFIGURATION.to_owned());
    parsed.expect("the text is right").0
}

/// Parses a configuration and renders its mistakes.
///
/// # Panics
/// On a finding: the configuration is refused without a reason, or the stored source differs from
/// `text`.
pub fn configuration(text: &str) {
    match config::parse(Path::new("fuzzing.toml"), text.to_owned()) {
        Ok((_, source)) => assert_eq!(source.text(), text),
        Err(errors) => {
            assert!(errors.len() > 0, "refused without a reason");
            assert!(!errors.to_string().is_empty());
        }
    }
}

/// Loads a plugin's file, and creates, configures and calls its instances.
///
/// # Panics
/// On a finding.
pub fn component(file: &[u8]) {
    static PLACE: LazyLock<(Config, Loader)> = LazyLock::new(|| {
        let config = Config {
            // Mutated plugins must not be cached.
            plugin_cache_dir: Some("/dev/null".into()),
            ..configured()
        };
        let loader =
            Loader::try_new(&config, 1, Compiler::InProcess).expect("there is address space");
        (config, loader)
    });
    let (config, loader) = &*PLACE;
    let frontend = &config.frontends[0];
    let stage = frontend.router.first().expect("it is in the text");
    let load = Load {
        frontend: &frontend.name,
        stage,
        plugin: &stage.plugin,
        source: None,
        environment: Environment::new(Arc::new(ConfiguredBackends::new(config)), Arc::default()),
        events: None,
    };
    let file = plugin::Source {
        name: "mutant".to_owned(),
        bytes: Cow::Owned(file.to_vec()),
    };
    match loader.load_file(file, load) {
        Ok(loaded) => assert_eq!(loaded.instances.len(), 1),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// An admin interface that serves one connection at a time, without a worker.
#[derive(Debug)]
pub struct AdminHarness {
    runtime: Runtime,
    control: Control,
    admin: Admin,
}

impl AdminHarness {
    /// Loads a configuration for the admin interface to show.
    ///
    /// # Panics
    /// If no runtime can be created, or on a finding.
    pub fn new() -> AdminHarness {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("there is a runtime");
        let (config, source) = config::parse(Path::new("/dev/null/none"), CONFIGURATION.to_owned())
            .expect("the text is right");
        let prepared =
            Prepared::new(config, source, Compiler::InProcess).expect("the plugin serves");
        let mut listeners = [FrontendListeners::new("http", 1)];
        let (worker, _) = mpsc::unbounded_channel();
        let (drain, _) = watch::channel(DrainState::Serving);
        let handles = Handles {
            workers: vec![worker],
            drain,
            telemetry: Arc::new(quiet()),
            limiter: Arc::new(ConnectionLimiter::new(1, 1)),
        };
        let (control, _) = Control::new(prepared, &mut listeners, handles);
        // The receiver is dropped, so requests that involve the process are refused.
        let (process, _) = mpsc::channel(1);
        let admin = Admin::new(control.clone(), process);
        AdminHarness {
            runtime,
            control,
            admin,
        }
    }

    /// Serves a client that has all rights, sends `bytes` and reads the responses.
    ///
    /// # Panics
    /// On a finding: the interface does not finish.
    pub fn take(&self, bytes: &[u8]) {
        self.control.drain_state().send_replace(DrainState::Serving);
        let answers = self.runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(bytes.len().max(1) + 64 * 1024);
            let served = admin::connection(server, self.admin.clone(), Access::Control);
            let talk = async {
                let _ = client.write_all(bytes).await;
                let _ = client.shutdown().await;
                let mut answers = Vec::new();
                let _ = client.read_to_end(&mut answers).await;
                answers
            };
            // No operation of the interface takes this long here.
            let both = async { tokio::join!(served, talk).1 };
            tokio::time::timeout(Duration::from_secs(20), both).await
        });
        let answers = answers.expect("the interface comes to an end");
        assert!(answers.is_empty() || answers.starts_with(b"HTTP/1."));
    }
}

impl Default for AdminHarness {
    fn default() -> AdminHarness {
        AdminHarness::new()
    }
}

/// Returns a log that discards all lines.
fn quiet() -> Telemetry {
    let settings = LogSettings {
        level: tracing::Level::ERROR,
        format: LogFormat::Text,
        target: LogTarget::File("/dev/null".into()),
    };
    telemetry::install(&settings, None).expect("it is the first")
}
