//! `pointsman demo`: a first demonstration for new users.
//!
//! Owns two small backends on loopback, a page and a WebSocket notifier, and the configuration file
//! of the proxy in front of them. Does not route anything itself: the requests that the page shows
//! have passed through the real proxy and its real plugin. Called by `cli`.

mod backend;
mod feed;
mod notifier;
mod page;
mod policy;

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use self::feed::Feed;
use self::policy::{ConfigFile, Servers};

/// Default port of the proxy; `--port` overrides it.
pub const DEFAULT_PORT: u16 = 8080;

/// Interval between ticks, which show that the WebSocket is alive.
const TICK: Duration = Duration::from_secs(3);

/// Reason why the demo could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the demo")]
pub struct DemoError(#[source] io::Error);

/// The two backends, each on a free loopback port, and the proxy's configuration file. Dropping
/// this value stops the backends and removes the file.
#[derive(Debug)]
pub struct Demo {
    servers: Servers,
    config: Arc<ConfigFile>,
    /// Dropping the sender ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Demo {
    /// Starts both backends on a dedicated thread, so that they do not occupy the proxy's workers.
    /// Writes the configuration of a proxy on `port`.
    ///
    /// # Errors
    /// No port, thread or temporary folder is available.
    pub fn start(feed: Feed, port: u16) -> Result<Self, DemoError> {
        // The signal that an operator sends after changing the configuration.
        let reload = || kill(Pid::this(), Signal::SIGHUP).map_err(io::Error::from);
        Self::start_with(feed, port, TICK, reload).map_err(DemoError)
    }

    fn start_with(
        feed: Feed,
        port: u16,
        tick: Duration,
        reload: fn() -> io::Result<()>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (page, notifier) = {
            let _entered = runtime.enter();
            (listen()?, listen()?)
        };
        let servers = Servers {
            port,
            page: page.local_addr()?,
            notifier: notifier.local_addr()?,
        };
        let config = Arc::new(ConfigFile::create(servers, reload)?);
        let swapped = Arc::clone(&config);
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("demo".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = page::run(page, port, swapped) => {}
                        () = notifier::run(notifier, feed, tick) => {}
                        // The demo was stopped, or the `Demo` was dropped.
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            servers,
            config,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Returns the path of the proxy's configuration file, in a temporary folder.
    pub fn config(&self) -> &Path {
        self.config.path()
    }

    /// Returns the message that the terminal shows once the proxy listens.
    pub fn banner(&self) -> String {
        let Servers {
            port,
            page,
            notifier,
        } = self.servers;
        let config = self.config().display();
        format!(
            "
  Pointsman demo: a browser, the proxy with its plugin, and two backends

    open      http://www.localhost:{port}/

    every Host that ends in io.localhost  ->  node_backend  {notifier}
    every other Host                      ->  www_backend   {page}

    try       curl http://io.localhost:{port}/whoami
    look      pointsman ctl -c {config} plugins
    stop      Ctrl-C

"
        )
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If the thread panicked, the panic has already been printed.
            let _ = thread.join();
        }
    }
}

/// Binds a free loopback port.
fn listen() -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests;
