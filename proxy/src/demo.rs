//! `pointsman demo`: what a newcomer sees first.
//!
//! Owns two small backends on loopback, a page and a WebSocket notifier, and the text of the
//! configuration that puts the proxy between them. Routes nothing itself: the requests that
//! the page shows went through the real proxy and its real plugin. `cli` calls it.

mod backend;
mod feed;
mod notifier;
mod page;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use self::feed::Feed;

/// The port that browsers are sent to, unless `--port` says otherwise.
pub const DEFAULT_PORT: u16 = 8080;

/// Often enough to show that the connection lives, seldom enough to stay calm.
const TICK: Duration = Duration::from_secs(3);

/// Why the demo could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the demo's backends")]
pub struct DemoError(#[source] io::Error);

/// The two backends, each on a port of loopback that was free. Dropping it ends both.
#[derive(Debug)]
pub struct Demo {
    page: SocketAddr,
    notifier: SocketAddr,
    /// Held by this value alone; dropping it wakes the thread, which ends.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Demo {
    /// Starts both backends on a thread of their own, so that they take no time from the
    /// proxy's workers. `port` is the proxy's, for the page to name.
    ///
    /// # Errors
    /// Where no port or no thread can be had.
    pub fn start(feed: Feed, port: u16) -> Result<Self, DemoError> {
        Self::start_ticking(feed, port, TICK).map_err(DemoError)
    }

    fn start_ticking(feed: Feed, port: u16, tick: Duration) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (page, notifier) = {
            let _entered = runtime.enter();
            (listen()?, listen()?)
        };
        let (page_address, notifier_address) = (page.local_addr()?, notifier.local_addr()?);
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("demo".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = page::run(page, port) => {}
                        () = notifier::run(notifier, feed, tick) => {}
                        // Told to, or the `Demo` is gone: the end either way.
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            page: page_address,
            notifier: notifier_address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where `www_backend`, the page, listens.
    pub fn page(&self) -> SocketAddr {
        self.page
    }

    /// Where `node_backend`, the notifier, listens.
    pub fn notifier(&self) -> SocketAddr {
        self.notifier
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say; a panic in it was printed when it happened.
            let _ = thread.join();
        }
    }
}

/// Binds a free port of loopback, without waiting: the caller may be in a runtime itself.
fn listen() -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// The configuration of the proxy between browser and backends, as a user would write it.
pub fn config_text(port: u16, page: SocketAddr, notifier: SocketAddr) -> String {
    format!(
        r#"# What `pointsman demo` runs.
timeout.drain = "1s"

[frontend.http-in]
bind = "127.0.0.1:{port}"
default_backend = "www_backend"
router.plugin = "host-suffix"
router.config.rules = [
  {{ suffix = "io.localhost", ignore_port = true, backend = "node_backend" }},
]

[backend.www_backend]
server.page = "{page}"

[backend.node_backend]
timeout.tunnel = "1h"
server.notifier = "{notifier}"
"#
    )
}

/// What the terminal shows once the proxy listens.
pub fn banner(port: u16, page: SocketAddr, notifier: SocketAddr) -> String {
    format!(
        "
  Pointsman demo: a browser, the proxy with its plugin, and two backends

    open      http://www.localhost:{port}/

    io.localhost and all that ends with it  ->  node_backend  {notifier}
    every other Host                        ->  www_backend   {page}

    try       curl http://io.localhost:{port}/whoami
    end       Ctrl-C

"
    )
}

#[cfg(test)]
mod tests;
