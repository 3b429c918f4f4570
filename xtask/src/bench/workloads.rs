//! The load on the proxies: a table of workloads.
//!
//! Owns their names and sizes, and the proxies that each is for. Must not run them. Called by
//! `session`, `run`, `selection` and `report`.

use std::time::Duration;

use serde::Serialize;

use super::guests::{self, Guest};
use super::peers::Peer;

/// One way of using a proxy.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) kind: Kind,
}

/// The kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Requests one after another on each connection, by wrk.
    Requests(Requests),
    /// Messages that come back, one after another in each tunnel.
    Messages { size: usize, tunnels: usize },
    /// Requests for which each proxy writes an access log record to a file.
    Logged(Requests),
    /// Tunnels without traffic.
    Idle { tunnels: usize },
    /// Connections kept alive after one request each.
    KeptAlive { connections: usize },
    /// Bodies that stop in the middle, because one side does not read.
    Stalled { transfers: usize, side: Side },
    /// One request whose body comes in this number of chunks of one byte.
    Chunks(usize),
    /// Requests at a constant rate, whether or not they get responses.
    Half { connections: usize },
    /// The time from the start of the process to its first response.
    Start,
    /// Requests, while the plugin is replaced at this interval.
    Swaps(Requests, Duration),
    /// Requests, while a hostile plugin is active on another frontend.
    Hostile(Requests),
}

/// The side that does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// The load that wrk makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Requests {
    pub(crate) path: &'static str,
    pub(crate) connections: usize,
    pub(crate) shape: Shape,
}

/// The special property of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// No special property.
    Plain,
    /// Each request is the last one on its connection.
    Close,
    /// The response has this number of bytes.
    Download(usize),
    /// The request has this number of bytes.
    Upload(usize),
    /// Each request has another host, so that no earlier decision applies.
    FreshHosts,
}

/// Unit of the main figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    MicrosecondsPerRequest,
    MicrosecondsPerMessage,
    MillisecondsPerGib,
    MillisecondsPerMillionChunks,
    BytesPerTunnel,
    BytesPerConnection,
    BytesPerTransfer,
    MillisecondsToStart,
}

/// One row of a workload: a proxy, and how it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowSpec {
    pub(crate) name: &'static str,
    pub(crate) peer: Peer,
    pub(crate) variant: Variant,
}

/// Difficulty of a row, compared with others of its proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// The workload as intended.
    Plain,
    /// Without the difficulty of the workload: one host instead of new ones, one plugin instead of
    /// replacements, or no access log records.
    Baseline,
    /// With plugins that are new to this machine, so that each has to be compiled.
    Compiling,
    /// With this plugin on another frontend.
    WithGuest(&'static Guest),
}

/// Connections that a proxy must allow in addition to those that do nothing.
const SPARE_CONNECTIONS: usize = 500;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Name of the row that [`Shape::FreshHosts`] is compared with.
pub(crate) const CACHED: &str = "pointsman-cached";
/// Name of the row that [`Kind::Logged`] is compared with.
pub(crate) const QUIET: &str = "pointsman-quiet";
/// Name of the row that [`Kind::Swaps`] is compared with.
pub(crate) const CALM: &str = "pointsman-calm";
/// Name of the row of [`Kind::Swaps`] with components that have to be compiled.
const COMPILING: &str = "pointsman-compiling";

/// Name of the row that [`Kind::Hostile`] is compared with: a spinner in place of the plugin.
pub(crate) const SPINNER: &str = "idle-spinner";

/// All workloads, in the order in which they are run and shown.
pub(crate) const ALL: &[Workload] = &[
    Workload {
        name: "get",
        about: "small GET with a dozen header fields, as a browser sends them, 64 connections kept alive",
        kind: Kind::Requests(Requests {
            path: "/",
            connections: 64,
            shape: Shape::Plain,
        }),
    },
    Workload {
        name: "miss",
        about: "the same, each request with a Host that no request had before",
        kind: Kind::Requests(Requests {
            path: "/",
            connections: 64,
            shape: Shape::FreshHosts,
        }),
    },
    Workload {
        name: "connect",
        about: "the same, each request on a separate connection (Connection: close)",
        kind: Kind::Requests(Requests {
            path: "/",
            connections: 64,
            shape: Shape::Close,
        }),
    },
    Workload {
        name: "log",
        about: "the GET of `get`, with an access log record of each in a file, and without",
        kind: Kind::Logged(Requests {
            path: "/",
            connections: 64,
            shape: Shape::Plain,
        }),
    },
    Workload {
        name: "body-64k-down",
        about: "GET of 64 KiB, 32 connections",
        kind: Kind::Requests(Requests {
            path: "/64k",
            connections: 32,
            shape: Shape::Download(64 * KIB),
        }),
    },
    Workload {
        name: "body-64k-up",
        about: "POST of 64 KiB, 32 connections",
        kind: Kind::Requests(Requests {
            path: "/up",
            connections: 32,
            shape: Shape::Upload(64 * KIB),
        }),
    },
    Workload {
        name: "body-10m-down",
        about: "GET of 10 MiB, 8 connections",
        kind: Kind::Requests(Requests {
            path: "/10m",
            connections: 8,
            shape: Shape::Download(10 * MIB),
        }),
    },
    Workload {
        name: "body-10m-up",
        about: "POST of 10 MiB, 8 connections",
        kind: Kind::Requests(Requests {
            path: "/up",
            connections: 8,
            shape: Shape::Upload(10 * MIB),
        }),
    },
    Workload {
        name: "chunks-up",
        about: "a body of 1,000,000 chunks of one byte: CPU, and the bytes that reach the server",
        kind: Kind::Chunks(1_000_000),
    },
    Workload {
        name: "stalled-down",
        about: "200 downloads of 10 MiB whose client stops reading: private memory of each",
        kind: Kind::Stalled {
            transfers: 200,
            side: Side::Client,
        },
    },
    Workload {
        name: "stalled-up",
        about: "200 uploads of 64 MiB whose server does not read: private memory of each",
        kind: Kind::Stalled {
            transfers: 200,
            side: Side::Server,
        },
    },
    Workload {
        name: "kept-alive",
        about: "10,000 connections idle after a request: private memory that came with each",
        kind: Kind::KeptAlive {
            connections: 10_000,
        },
    },
    Workload {
        name: "ws-small",
        about: "WebSocket messages of 64 bytes, echoed, 64 tunnels",
        kind: Kind::Messages {
            size: 64,
            tunnels: 64,
        },
    },
    Workload {
        name: "ws-large",
        about: "WebSocket messages of 1 MiB, echoed, 8 tunnels; a GiB counts both ways",
        kind: Kind::Messages {
            size: MIB,
            tunnels: 8,
        },
    },
    Workload {
        name: "ws-idle",
        about: "8,000 idle WebSockets: private memory that came with each",
        kind: Kind::Idle { tunnels: 8000 },
    },
    Workload {
        name: "half",
        about: "small GET at half of the highest load of HAProxy, else of the slowest: latency",
        kind: Kind::Half { connections: 64 },
    },
    Workload {
        name: "start",
        about: "start to first response, with compiled plugins cached",
        kind: Kind::Start,
    },
    Workload {
        name: "swap",
        about: "a plugin replaced every 200 ms under load, by one of a few whose compiled code is cached",
        kind: Kind::Swaps(
            Requests {
                path: "/",
                connections: 64,
                shape: Shape::Plain,
            },
            Duration::from_millis(200),
        ),
    },
    Workload {
        name: "hostile",
        about: "the GET of `get` while a hostile plugin runs on another frontend of the process, \
                or next to a busy loop of the lowest priority",
        kind: Kind::Hostile(Requests {
            path: "/",
            connections: 64,
            shape: Shape::Plain,
        }),
    },
];

impl Workload {
    /// Returns the unit of the workload's main figure.
    pub(crate) fn unit(&self) -> Unit {
        match self.kind {
            Kind::Requests(requests) => match requests.shape {
                Shape::Download(_) | Shape::Upload(_) => Unit::MillisecondsPerGib,
                Shape::Plain | Shape::Close | Shape::FreshHosts => Unit::MicrosecondsPerRequest,
            },
            Kind::Half { .. } | Kind::Swaps(..) | Kind::Logged(_) | Kind::Hostile(_) => {
                Unit::MicrosecondsPerRequest
            }
            Kind::Chunks(_) => Unit::MillisecondsPerMillionChunks,
            Kind::Stalled { .. } => Unit::BytesPerTransfer,
            Kind::KeptAlive { .. } => Unit::BytesPerConnection,
            Kind::Messages { size, .. } if size >= MIB => Unit::MillisecondsPerGib,
            Kind::Messages { .. } => Unit::MicrosecondsPerMessage,
            Kind::Idle { .. } => Unit::BytesPerTunnel,
            Kind::Start => Unit::MillisecondsToStart,
        }
    }

    /// Returns the rows of this workload, for the chosen peers.
    pub(crate) fn specs(&self, chosen: &[Peer]) -> Vec<RowSpec> {
        let spec = |peer: Peer| RowSpec {
            name: peer.name(),
            peer,
            variant: Variant::Plain,
        };
        let mut specs: Vec<RowSpec> = chosen.iter().copied().map(spec).collect();
        match self.kind {
            Kind::Logged(_) => return logged(&specs),
            Kind::Hostile(_) => return hostile(&specs),
            _ => {}
        }
        let easy = match self.kind {
            Kind::Requests(requests) if requests.shape == Shape::FreshHosts => CACHED,
            Kind::Swaps(..) => {
                // This workload replaces only Pointsman's plugins.
                specs.retain(|spec| spec.peer == Peer::Pointsman);
                let compiling = |spec: &RowSpec| RowSpec {
                    name: COMPILING,
                    variant: Variant::Compiling,
                    ..*spec
                };
                specs.extend(specs.first().map(compiling));
                CALM
            }
            _ => return specs,
        };
        if chosen.contains(&Peer::Pointsman) {
            specs.insert(
                1,
                RowSpec {
                    name: easy,
                    peer: Peer::Pointsman,
                    variant: Variant::Baseline,
                },
            );
        }
        specs
    }

    /// Returns the number of bytes that one request or message moves, or 0 if they are not counted.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = match self.kind {
            Kind::Requests(Requests {
                shape: Shape::Download(size) | Shape::Upload(size),
                ..
            }) => size,
            Kind::Messages { size, .. } => 2 * size,
            _ => 0,
        };
        bytes as u64
    }

    /// Returns the number of chunks of one request, or 0 if they are not counted.
    pub(crate) fn chunks(&self) -> u64 {
        match self.kind {
            Kind::Chunks(chunks) => chunks as u64,
            _ => 0,
        }
    }

    /// Returns the number of connections that do nothing. Tunnels and kept-alive connections are no
    /// more than a process with this number of descriptors can have.
    pub(crate) fn idle(&self, descriptors: usize) -> usize {
        // A proxy reserves two descriptors for each connection, and some for itself.
        let most = (descriptors / 2).saturating_sub(SPARE_CONNECTIONS + 200);
        match self.kind {
            Kind::Idle { tunnels } => tunnels.min(most),
            Kind::KeptAlive { connections } => connections.min(most),
            Kind::Stalled { transfers, .. } => transfers,
            _ => 0,
        }
    }

    /// Returns the number of client connections that a proxy must allow.
    pub(crate) fn connections(&self, descriptors: usize) -> usize {
        // As in README.md's example, unless the workload needs more.
        (self.idle(descriptors) + SPARE_CONNECTIONS).max(4096)
    }
}

/// Returns a row with and a row without access log records for each proxy that can write them.
fn logged(specs: &[RowSpec]) -> Vec<RowSpec> {
    let mut rows = Vec::new();
    for spec in specs {
        let quiet = match spec.peer {
            Peer::Pointsman => QUIET,
            Peer::Haproxy => "haproxy-quiet",
            Peer::Nginx => "nginx-quiet",
            _ => continue,
        };
        let easy = RowSpec {
            name: quiet,
            variant: Variant::Baseline,
            ..*spec
        };
        rows.extend([*spec, easy]);
    }
    rows
}

/// Returns rows of Pointsman with a spinner, and with each hostile plugin.
fn hostile(specs: &[RowSpec]) -> Vec<RowSpec> {
    let Some(spec) = specs.iter().find(|spec| spec.peer == Peer::Pointsman) else {
        return Vec::new();
    };
    let spinner = RowSpec {
        name: SPINNER,
        variant: Variant::Baseline,
        ..*spec
    };
    let guests = guests::ALL.iter().map(|guest| RowSpec {
        name: guest.name,
        variant: Variant::WithGuest(guest),
        ..*spec
    });
    std::iter::once(spinner).chain(guests).collect()
}

impl Unit {
    /// Returns the unit as a heading.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::MicrosecondsPerRequest => "CPU µs per request",
            Self::MicrosecondsPerMessage => "CPU µs per message",
            Self::MillisecondsPerGib => "CPU ms per GiB",
            Self::MillisecondsPerMillionChunks => "CPU ms per million chunks",
            Self::BytesPerTunnel => "private bytes per tunnel",
            Self::BytesPerConnection => "private bytes per connection",
            Self::BytesPerTransfer => "private bytes per transfer",
            Self::MillisecondsToStart => "ms to first answer",
        }
    }

    /// Returns whether the figure is CPU time, which has a user and a system part.
    pub(crate) fn is_cpu(self) -> bool {
        !self.is_memory() && self != Self::MillisecondsToStart
    }

    /// Returns whether the figure is memory, which is measured in a fresh process.
    pub(crate) fn is_memory(self) -> bool {
        matches!(
            self,
            Self::BytesPerTunnel | Self::BytesPerConnection | Self::BytesPerTransfer
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs() {
        let peers = [Peer::Pointsman, Peer::Nginx];
        let names = |workload: &str| -> Vec<&str> {
            let workload = ALL.iter().find(|one| one.name == workload).unwrap();
            workload
                .specs(&peers)
                .iter()
                .map(|spec| spec.name)
                .collect()
        };
        assert_eq!(names("get"), ["pointsman", "nginx"]);
        assert_eq!(names("miss"), ["pointsman", CACHED, "nginx"]);
        assert_eq!(names("swap"), ["pointsman", CALM, COMPILING]);
        assert_eq!(names("hostile")[..2], [SPINNER, "spinner"]);
        assert_eq!(names("log"), ["pointsman", QUIET, "nginx", "nginx-quiet"]);
    }
}
