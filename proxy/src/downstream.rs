//! The clients' side: accepted connections, and HTTP on them.
//!
//! A connection holds facts alone; what a request needs is in its `request::context`.

pub mod http1;
pub mod http2;
pub mod listener;
pub mod resources;

mod accept;
mod heads;
mod linger;
mod response;
mod tunnel;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use crate::config::Bind;
use crate::frontend::Frontend;
use crate::http::forwarded::Trust;
use crate::http::head::Client;
use crate::request::context::ConnectionFacts;
use crate::shutdown::Shutdown;
use crate::tunnel::Scratch;
use resources::Resources;

/// The peer of an accepted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over a Unix socket.
    Unix,
}

/// A connection, as its protocol sees it. Shared by nothing but its own task.
#[derive(Debug)]
pub struct Connection {
    /// Where it was accepted.
    pub frontend: Rc<Frontend>,
    /// Of its client.
    pub facts: Rc<ConnectionFacts>,
    /// Of the worker.
    pub resources: Rc<Resources>,
    /// Tells it to stop.
    pub shutdown: Shutdown,
    /// For the tunnel that it may become.
    pub scratch: Scratch,
}

impl Connection {
    /// Takes note of who has connected.
    pub fn new(
        frontend: Rc<Frontend>,
        peer: &Peer,
        bind: &Bind,
        resources: Rc<Resources>,
        shutdown: Shutdown,
        scratch: Scratch,
    ) -> Connection {
        Connection {
            facts: Rc::new(facts(&frontend, peer, bind)),
            frontend,
            resources,
            shutdown,
            scratch,
        }
    }
}

impl Connection {
    /// Takes note of the client that a proxy before this one speaks for: from now on that is the
    /// peer.
    fn set_peer(&mut self, peer: &Peer, bind: &Bind) {
        self.facts = Rc::new(facts(&self.frontend, peer, bind));
    }
}

fn facts(frontend: &Frontend, peer: &Peer, bind: &Bind) -> ConnectionFacts {
    let name = Rc::clone(&frontend.name);
    let Peer::Tcp(address) = peer else {
        return ConnectionFacts {
            frontend: name,
            client: Arc::new(Client {
                address: String::new(),
                port: 0,
            }),
            forwarded_for: None,
            trust: Trust::Untrusted,
            redirect: bind.redirect,
        };
    };
    // An IPv4 client of a dual-stack socket is an IPv4 client.
    let ip: IpAddr = address.ip().to_canonical();
    let rules = frontend.rules();
    let mut trusted = rules.config.forwarded.trusted_proxies.iter();
    let trust = if trusted.any(|network| network.contains(&ip)) {
        Trust::Trusted
    } else {
        Trust::Untrusted
    };
    let text = ip.to_string();
    ConnectionFacts {
        frontend: name,
        forwarded_for: Some(text.as_bytes().into()),
        client: Arc::new(Client {
            address: text,
            port: address.port(),
        }),
        trust,
        redirect: bind.redirect,
    }
}
