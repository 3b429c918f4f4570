//! The simplest configuration: one frontend, one backend, no router. Tests add keys to it.
//!
//! It has one worker unless a test sets more. With one worker, a test can predict which pooled
//! connection a request uses.

use std::net::SocketAddr;

use crate::proxy::Proxy;

/// Builder of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    workers: Option<u8>,
    top: String,
    frontend: String,
    backend: String,
}

impl Setup {
    /// Creates a configuration that sends requests to these servers in turn.
    pub fn before(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut setup = Self::default();
        for (number, server) in servers.into_iter().enumerate() {
            setup = setup.backend(&format!("server.s{number} = \"{server}\""));
        }
        setup
    }

    /// Adds a line to the top of the file.
    #[must_use]
    pub fn top(mut self, line: &str) -> Self {
        add(&mut self.top, line);
        self
    }

    /// Adds a line to the frontend's table.
    #[must_use]
    pub fn frontend(mut self, line: &str) -> Self {
        add(&mut self.frontend, line);
        self
    }

    /// Adds a line to the backend's table.
    #[must_use]
    pub fn backend(mut self, line: &str) -> Self {
        add(&mut self.backend, line);
        self
    }

    /// Sets the number of workers, which is one by default.
    #[must_use]
    pub fn workers(mut self, workers: u8) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Returns the text of the configuration.
    pub fn config(&self) -> String {
        format!(
            "workers = {}\n{}\n[frontend.http-in]\nbind = \"127.0.0.1:0\"\n\
             default_backend = \"www\"\n{}\n[backend.www]\n{}",
            self.workers.unwrap_or(1),
            self.top,
            self.frontend,
            self.backend
        )
    }

    /// Starts Pointsman with this configuration.
    ///
    /// # Errors
    /// As [`Proxy::pointsman`].
    pub async fn start(&self) -> anyhow::Result<Proxy> {
        Proxy::pointsman(&self.config()).await
    }
}

fn add(table: &mut String, line: &str) {
    table.push_str(line);
    table.push('\n');
}
