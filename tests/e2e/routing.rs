//! The routing of the how-to (see `scenario`) in the configurations of Pointsman and `HAProxy`. All
//! tests that compare the two use it.

use std::net::SocketAddr;

use pointsman_tests::{Origin, Proxy, Wire};

/// Destination of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// `node_backend`.
    Node,
    /// `www_backend`.
    Www,
    /// A 400 from the proxy.
    Refused,
}

/// Returns Pointsman's configuration, which corresponds line by line to that of [`haproxy`].
///
/// `extra` is added at the top level: `user` and `group`, if the test can change to them.
pub(crate) fn pointsman(extra: &str, www: SocketAddr, node: SocketAddr) -> String {
    format!(
        r#"
max_connections = 4096
{extra}

[log]

[frontend.http-in]
bind = "127.0.0.1:0"
timeout.client = "24h"
default_backend = "www_backend"
router.plugin = "host-suffix"
router.config.rules = [{{ suffix = "io.test.tld", backend = "node_backend" }}]

[backend.www_backend]
timeout.server = "24h"
timeout.connect = "5s"
server.www_test = "localhost:{www}"

[backend.node_backend]
timeout.server = "24h"
timeout.connect = "5s"
server.node_test = "localhost:{node}"
"#,
        www = www.port(),
        node = node.port(),
    )
}

/// Returns the how-to's configuration with two exceptions: the port, and `mode http`, which the
/// how-to leaves to the defaults of its distribution.
pub(crate) fn haproxy(global: &str, www: SocketAddr, node: SocketAddr) -> String {
    format!(
        "
global
    maxconn 4096
    log stderr format raw local0 notice
    {global}

defaults
    mode http
    log global

frontend http-in
    bind fd@0
    timeout client 86400000
    default_backend www_backend
    acl websocket hdr_end(host) -i io.test.tld
    use_backend node_backend if websocket

backend www_backend
    timeout server 86400000
    timeout connect 5000
    server www_test localhost:{www}

backend node_backend
    timeout server 86400000
    timeout connect 5000
    server node_test localhost:{node}
",
        www = www.port(),
        node = node.port(),
    )
}

/// The two backends of the how-to, which respond with their names.
pub(crate) struct Backends {
    pub(crate) www: Origin,
    pub(crate) node: Origin,
}

impl Backends {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Ok(Self {
            www: Origin::with_name("www").await?,
            node: Origin::with_name("node").await?,
        })
    }

    pub(crate) async fn pointsman(&self) -> anyhow::Result<Proxy> {
        Proxy::pointsman(&pointsman("", self.www.address(), self.node.address())).await
    }

    pub(crate) fn haproxy(&self) -> anyhow::Result<Proxy> {
        Proxy::haproxy(&haproxy("", self.www.address(), self.node.address()))
    }
}

/// Sends a request on a new connection, and returns its destination.
pub(crate) async fn outcome(proxy: SocketAddr, request: &[u8]) -> anyhow::Result<Outcome> {
    let mut client = Wire::connect(proxy).await?;
    let response = client.exchange(request).await?;
    let status = response.head.status()?;
    match (status, response.body.as_slice()) {
        (200, b"node") => Ok(Outcome::Node),
        (200, b"www") => Ok(Outcome::Www),
        (400, _) => Ok(Outcome::Refused),
        (_, body) => anyhow::bail!(
            "neither backend's answer nor 400: {:?} {:?}",
            response.head.start_line,
            String::from_utf8_lossy(body)
        ),
    }
}
