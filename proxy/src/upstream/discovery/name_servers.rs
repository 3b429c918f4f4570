//! One question to the DNS servers: which of them is asked, how often, and what an answer says.
//!
//! Caches nothing: a name is asked for again only after its TTL. Builds on the transports of
//! hickory alone, because its resolver would give up at the first server that refuses, take a
//! timeout for a name that does not exist if a search domain follows, and not follow the alias
//! of a service. No type of hickory leaves this file and `resolver`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::DnsHandle as _;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig, system_conf};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longest wait for one server's answer, over TCP too if the one over UDP is truncated.
const MAX_TIMEOUT: Duration = Duration::from_secs(2);

/// How often every server is asked.
const MAX_ROUNDS: usize = 2;

/// Longest wait for an answer to one question: both rounds of a single server.
///
/// Of several, each gets its part of the first half.
const BUDGET: Duration = Duration::from_secs(4);

/// Most questions at once; the others wait for their turn.
///
/// As many as hickory has buffers for, and few enough not to look like an attack.
const MAX_QUESTIONS: usize = 32;

/// Most aliases from a name to its records: what BIND and Unbound follow, rounded.
const MAX_ALIASES: usize = 12;

/// The DNS servers, and how names are completed for them.
pub(super) struct NameServers {
    servers: Vec<Server>,
    /// The one that has answered last; the next question goes there first.
    current: AtomicUsize,
    /// Domains that are added to names.
    search: Vec<Name>,
    /// Names with fewer dots are completed first, and asked for as they are last.
    ndots: usize,
    rounds: usize,
    timeout: Duration,
    questions: Semaphore,
}

struct Server {
    address: SocketAddr,
    /// Of this server alone.
    pool: NameServerPool<TokioRuntimeProvider>,
}

/// Records of one name and type.
#[derive(Debug)]
pub(super) struct Records {
    /// What the records hold; never empty.
    pub(super) data: Vec<RData>,
    /// The least of the records and of the aliases that led there.
    pub(super) ttl: Duration,
    /// Other records that the server sent along.
    pub(super) additionals: Vec<Record>,
}

/// Why there are no records.
#[derive(Debug)]
pub(super) enum Failure {
    /// There are none, which is true for so long, if the server says so.
    Nothing(Option<Duration>),
    /// A server has answered with an error, or something that makes no sense.
    Error(io::Error),
    /// No server has answered.
    TimedOut(io::Error),
}

/// Why one server has given no answer.
#[derive(Debug, thiserror::Error)]
enum ServerError {
    #[error("name server {0} answers: {1}")]
    Code(SocketAddr, ResponseCode),
    #[error("name server {0} cannot be asked")]
    Network(SocketAddr, #[source] NetError),
}

impl NameServers {
    /// Asks these servers for names as they are.
    pub(super) fn try_new(addresses: &[SocketAddr]) -> io::Result<NameServers> {
        let timeout = MAX_TIMEOUT;
        NameServers::with(addresses, Vec::new(), 1, MAX_ROUNDS, timeout)
    }

    /// Reads resolv.conf(5).
    pub(super) fn parse(text: &[u8]) -> io::Result<NameServers> {
        let (config, options) = system_conf::parse_resolv_conf(text).map_err(io::Error::other)?;
        let addresses: Vec<_> = config
            .name_servers()
            .iter()
            .map(|server| SocketAddr::new(server.ip, 53))
            .collect();
        let mut search: Vec<_> = config.search().to_vec();
        if search.is_empty() {
            search.extend(config.domain().cloned());
        }
        // The domain of a host that has none.
        search.retain(|domain| !domain.is_root());
        NameServers::with(
            &addresses,
            search,
            options.ndots,
            options.attempts,
            options.timeout,
        )
    }

    fn with(
        addresses: &[SocketAddr],
        search: Vec<Name>,
        ndots: usize,
        rounds: usize,
        timeout: Duration,
    ) -> io::Result<NameServers> {
        let count = u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let timeout = timeout.min(MAX_TIMEOUT).min(BUDGET / count);
        let servers = addresses
            .iter()
            .map(|address| Server::try_new(*address, timeout));
        Ok(NameServers {
            servers: servers.collect::<io::Result<_>>()?,
            current: AtomicUsize::new(0),
            search,
            ndots,
            rounds: rounds.clamp(1, MAX_ROUNDS),
            timeout,
            questions: Semaphore::new(MAX_QUESTIONS),
        })
    }

    /// The names to ask for, in order, until one has records.
    ///
    /// # Errors
    /// No name that DNS could hold.
    pub(super) fn candidates(&self, text: &str) -> io::Result<Vec<Name>> {
        let name = Name::from_ascii(text).map_err(io::Error::other)?;
        if name.is_fqdn() {
            return Ok(vec![name]);
        }
        let mut absolute = name.clone();
        absolute.set_fqdn(true);
        // Too long with some domains: there is no such name.
        let completed = |domain| name.clone().append_domain(domain).ok();
        let mut names: Vec<_> = self.search.iter().filter_map(completed).collect();
        for name in &mut names {
            name.set_fqdn(true);
        }
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let place = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(place, absolute);
        Ok(names)
    }

    /// The records of one type of an absolute name, through its aliases.
    pub(super) async fn records(&self, name: &Name, kind: RecordType) -> Result<Records, Failure> {
        let mut name = name.clone();
        let mut ttl = u32::MAX;
        for _ in 0..MAX_ALIASES {
            let message = self.ask(&name, kind).await?;
            let found = follow(&message, &name, kind);
            ttl = ttl.min(found.ttl);
            if !found.data.is_empty() {
                return Ok(Records {
                    data: found.data,
                    ttl: Duration::from_secs(ttl.into()),
                    additionals: message.additionals,
                });
            }
            let is_alias = found.name != name;
            if !is_alias || message.response_code == ResponseCode::NXDomain {
                return Err(Failure::Nothing(None));
            }
            // The server leaves the rest of the way to us.
            name = found.name;
        }
        Err(Failure::Error(io::Error::other("too many aliases")))
    }

    /// Asks one server after another, beginning with the last that answered.
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Message, Failure> {
        let _permit = self.questions.acquire().await;
        let query = Query::query(name.clone(), kind);
        let mut failure = None;
        let asking = async {
            for _ in 0..self.rounds {
                let first = self.current.load(Ordering::Relaxed);
                for offset in 0..self.servers.len() {
                    let index = (first + offset) % self.servers.len();
                    let answer = self.servers[index].ask(&query, self.timeout).await;
                    if let Err(error @ (Failure::Error(_) | Failure::TimedOut(_))) = answer {
                        // An error says more than silence.
                        if !matches!(failure, Some(Failure::Error(_))) {
                            failure = Some(error);
                        }
                        continue;
                    }
                    self.current.store(index, Ordering::Relaxed);
                    return Some(answer);
                }
            }
            None
        };
        let answer = timeout(BUDGET, asking).await.ok().flatten();
        answer.unwrap_or_else(|| Err(failure.unwrap_or_else(|| Failure::TimedOut(timed_out()))))
    }
}

impl Server {
    fn try_new(address: SocketAddr, timeout: Duration) -> io::Result<Server> {
        let mut options = ResolverOpts::default();
        options.timeout = timeout;
        options.num_concurrent_reqs = 1;
        // The kernel's are as random, and collide with nobody's.
        options.os_port_selection = true;
        let tls = TlsConfig::new().map_err(io::Error::other)?;
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        for connection in &mut connections {
            connection.port = address.port();
        }
        let config = NameServerConfig::new(address.ip(), true, connections);
        let context = Arc::new(PoolContext::new(options, tls));
        let provider = TokioRuntimeProvider::default();
        Ok(Server {
            address,
            pool: NameServerPool::from_config([config], context, provider),
        })
    }

    async fn ask(&self, query: &Query, limit: Duration) -> Result<Message, Failure> {
        let asking = async {
            let answer = self.send(query, Edns::Yes).await;
            match answer {
                // Knows no EDNS (RFC 6891, section 7).
                Err(NetError::Dns(DnsError::ResponseCode(
                    ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS,
                ))) => self.send(query, Edns::No).await,
                answer => answer,
            }
        };
        match timeout(limit, asking).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(negative)))) => {
                let ttl = negative.negative_ttl;
                let ttl = ttl.map(|seconds| Duration::from_secs(seconds.into()));
                Err(Failure::Nothing(ttl))
            }
            Ok(Err(NetError::Timeout)) | Err(_) => Err(Failure::TimedOut(self.silent())),
            Ok(Err(error)) => {
                let error = match error {
                    NetError::Dns(DnsError::ResponseCode(code)) => {
                        ServerError::Code(self.address, code)
                    }
                    error => ServerError::Network(self.address, error),
                };
                Err(Failure::Error(io::Error::other(error)))
            }
        }
    }

    async fn send(&self, query: &Query, edns: Edns) -> Result<Message, NetError> {
        let mut options = DnsRequestOptions::default();
        options.use_edns = edns == Edns::Yes;
        let answer = self.pool.lookup(query.clone(), options).next().await;
        match answer {
            Some(answer) => {
                let answer = DnsError::from_response(answer?)?;
                if answer.truncation {
                    return Err(NetError::Truncated);
                }
                Ok(answer.into_message())
            }
            None => Err(NetError::NoConnections),
        }
    }

    fn silent(&self) -> io::Error {
        let text = format!("name server {} does not answer", self.address);
        io::Error::new(io::ErrorKind::TimedOut, text)
    }
}

/// Whether a question says that it takes long answers over UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edns {
    Yes,
    No,
}

/// The error of a wait that has taken too long.
pub(super) fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// How far one answer leads.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// The name itself or that which it is an alias of.
    name: Name,
    /// Its records of the type.
    data: Vec<RData>,
    /// The least of the records and the aliases.
    ttl: u32,
}

/// Follows the aliases of an answer from `name` to records of the type.
fn follow(message: &Message, name: &Name, kind: RecordType) -> Found {
    let mut found = Found {
        name: name.clone(),
        data: Vec::new(),
        ttl: u32::MAX,
    };
    // Bounds a circle.
    for _ in 0..MAX_ALIASES {
        let mut alias = None;
        for record in message.answers.iter().filter(|it| it.name == found.name) {
            if record.record_type() == kind {
                found.ttl = found.ttl.min(record.ttl);
                found.data.push(record.data.clone());
            } else if let RData::CNAME(target) = &record.data {
                alias = Some((target.0.clone(), record.ttl));
            }
        }
        match alias {
            Some((target, ttl)) if found.data.is_empty() => {
                found.name = target;
                found.ttl = found.ttl.min(ttl);
            }
            _ => break,
        }
    }
    found
}

#[cfg(test)]
mod tests;
