//! The client side: accepted connections, and HTTP on them.
//!
//! A connection stores no per-request state: each request has its own `request::context`.

pub mod http1;
pub mod http2;
pub mod listener;
pub mod resources;

mod accept;
mod heads;
mod linger;
mod response;
mod tcp;
mod tunnel;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::{Bind, RedirectToHttps};
use crate::frontend::Frontend;
use crate::http::forwarded::Trust;
use crate::http::head::{Client, TlsFacts};
use crate::http::message::Scheme;
use crate::request::context::ConnectionFacts;
use crate::shutdown::Shutdown;
use crate::transport::io::Io;
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

/// A client connection, as the code for its protocol uses it. Used by a single task.
#[derive(Debug)]
pub struct Connection {
    /// The frontend that accepted the connection.
    pub frontend: Rc<Frontend>,
    /// Facts about the client and the connection.
    pub facts: Rc<ConnectionFacts>,
    /// Resources of the worker.
    pub resources: Rc<Resources>,
    /// Signals that the worker is stopping.
    pub shutdown: Shutdown,
    /// Buffers for the tunnel that the connection may become.
    pub scratch: Scratch,
}

impl Connection {
    /// Creates a connection and records its peer.
    pub fn new(
        frontend: Rc<Frontend>,
        peer: &Peer,
        bind: &Bind,
        resources: Rc<Resources>,
        shutdown: Shutdown,
        scratch: Scratch,
    ) -> Connection {
        Connection {
            facts: Rc::new(facts(&frontend, peer, Scheme::Http, bind.redirect)),
            frontend,
            resources,
            shutdown,
            scratch,
        }
    }
}

impl Connection {
    /// Records the address that the peer connected to, for requests that have no access to the
    /// socket.
    fn note_destination(&mut self, io: &Io) {
        if let Some(facts) = Rc::get_mut(&mut self.facts)
            && facts.destination.is_none()
        {
            facts.destination = io.local_address().map(Box::new);
        }
    }

    /// Records the client on whose behalf a proxy in front of this one connects, with the scheme
    /// and destination that the client used. From then on, that client is the peer.
    fn set_peer(&mut self, peer: &Peer, scheme: Scheme, destination: Option<SocketAddr>) {
        let redirect = self.facts.redirect;
        self.facts = Rc::new(ConnectionFacts {
            destination: destination.map(Box::new),
            ..facts(&self.frontend, peer, scheme, redirect)
        });
    }

    /// Records the facts of the connection's TLS session.
    fn set_tls(&mut self, tls: TlsFacts) {
        let facts = Rc::get_mut(&mut self.facts).expect("no request has begun");
        facts.scheme = Scheme::Https;
        facts.tls = Some(Arc::new(tls));
    }
}

fn facts(
    frontend: &Frontend,
    peer: &Peer,
    scheme: Scheme,
    redirect: Option<RedirectToHttps>,
) -> ConnectionFacts {
    let rules = frontend.rules();
    let trusted = &rules.config.forwarded.trusted_proxies;
    let (peer, is_trusted) = match *peer {
        Peer::Tcp(address) => {
            let is_trusted = trusted.contains(&address.ip().to_canonical());
            (Client::from(address), is_trusted)
        }
        Peer::Unix => (Client::default(), trusted.unix),
    };
    ConnectionFacts {
        frontend: Rc::clone(&frontend.name),
        peer: Arc::new(peer),
        scheme,
        tls: None,
        trust: if is_trusted {
            Trust::Trusted
        } else {
            Trust::Untrusted
        },
        destination: None,
        redirect,
    }
}
