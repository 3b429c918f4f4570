//! A single DNS question: which servers are queried, how often, and what an answer means.
//!
//! Caches nothing, because a name is queried again only after its TTL. Of hickory, only the
//! transports are used. Its resolver would stop at the first server that refuses. If a search
//! domain follows, it would treat a timeout as a name that does not exist. And it would not follow
//! the alias of a service. Only this file and `resolver` use hickory's types.

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

/// Longest wait for one server's answer. It includes the wait for the answer over TCP if the answer
/// over UDP is truncated.
const MAX_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum number of times that each server is queried.
const MAX_ROUNDS: usize = 2;

/// Longest wait for the answer to one question. It is enough for both rounds of a single server.
///
/// With several servers, each gets an equal part of this time.
const BUDGET: Duration = Duration::from_secs(4);

/// Maximum number of concurrent questions. Further questions wait.
///
/// hickory has buffers for this many questions, and they are few enough not to look like an attack.
const MAX_QUESTIONS: usize = 32;

/// Maximum number of aliases between a name and its records. BIND and Unbound follow about as many.
const MAX_ALIASES: usize = 12;

/// The DNS servers, and the rules for completing names.
pub(super) struct NameServers {
    servers: Vec<Server>,
    /// Index of the server that answered last. The next question goes to it first.
    current: AtomicUsize,
    /// Domains that are appended to names.
    search: Vec<Name>,
    /// Number of dots from which a name is first looked up as it is. Names with fewer dots are
    /// completed first, and looked up as they are last.
    ndots: usize,
    rounds: usize,
    timeout: Duration,
    questions: Semaphore,
}

struct Server {
    address: SocketAddr,
    /// Connections to this server only.
    pool: NameServerPool<TokioRuntimeProvider>,
}

/// Records of one name and type.
#[derive(Debug)]
pub(super) struct Records {
    /// The data of the records; never empty.
    pub(super) data: Vec<RData>,
    /// The smallest TTL of the records and of the aliases that led to them.
    pub(super) ttl: Duration,
    /// Additional records in the same answer.
    pub(super) additionals: Vec<Record>,
}

/// Reason why there are no records.
#[derive(Debug)]
pub(super) enum Failure {
    /// There are no records. This negative answer is valid for the given time, if the server
    /// specifies one.
    Nothing(Option<Duration>),
    /// A server returned an error, or an invalid answer.
    Error(io::Error),
    /// No server has answered.
    TimedOut(io::Error),
}

/// Reason why one server gave no answer.
#[derive(Debug, thiserror::Error)]
enum ServerError {
    #[error("name server {0} answered: {1}")]
    Code(SocketAddr, ResponseCode),
    #[error("name server {0} cannot be queried")]
    Network(SocketAddr, #[source] NetError),
}

impl NameServers {
    /// Creates a client of these servers. It looks up names as they are, without search domains.
    pub(super) fn try_new(addresses: &[SocketAddr]) -> io::Result<NameServers> {
        let timeout = MAX_TIMEOUT;
        NameServers::with(addresses, Vec::new(), 1, MAX_ROUNDS, timeout)
    }

    /// Parses a file in the format of resolv.conf(5).
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
        // On a host without a domain, the search domain is the root.
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

    /// Returns the names to look up, in this order, until one of them has records.
    ///
    /// # Errors
    /// `text` is not a valid DNS name.
    pub(super) fn candidates(&self, text: &str) -> io::Result<Vec<Name>> {
        let name = Name::from_ascii(text).map_err(io::Error::other)?;
        if name.is_fqdn() {
            return Ok(vec![name]);
        }
        let mut absolute = name.clone();
        absolute.set_fqdn(true);
        // If the name is too long with the domain appended, no such name exists.
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

    /// Looks up the records of one type for an absolute name, and follows its aliases.
    pub(super) async fn records(&self, name: &Name, kind: RecordType) -> Result<Records, Failure> {
        let mut name = name.clone();
        let mut ttl = u32::MAX;
        for _ in 0..MAX_ALIASES {
            let message = self.query(&name, kind).await?;
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
            // The server leaves it to the client to look up the rest of the alias chain.
            name = found.name;
        }
        Err(Failure::Error(io::Error::other("too many aliases")))
    }

    /// Queries one server after another, starting with the server that answered last.
    async fn query(&self, name: &Name, kind: RecordType) -> Result<Message, Failure> {
        let _permit = self.questions.acquire().await;
        let query = Query::query(name.clone(), kind);
        let mut failure = None;
        let querying = async {
            for _ in 0..self.rounds {
                let first = self.current.load(Ordering::Relaxed);
                for offset in 0..self.servers.len() {
                    let index = (first + offset) % self.servers.len();
                    let answer = self.servers[index].query(&query, self.timeout).await;
                    if let Err(error @ (Failure::Error(_) | Failure::TimedOut(_))) = answer {
                        // An error is more informative than a timeout.
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
        let answer = timeout(BUDGET, querying).await.ok().flatten();
        answer.unwrap_or_else(|| Err(failure.unwrap_or_else(|| Failure::TimedOut(timed_out()))))
    }
}

impl Server {
    fn try_new(address: SocketAddr, timeout: Duration) -> io::Result<Server> {
        let mut options = ResolverOpts::default();
        options.timeout = timeout;
        options.num_concurrent_reqs = 1;
        // Ports that the kernel chooses are just as random, and collide with no port in use.
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

    async fn query(&self, query: &Query, limit: Duration) -> Result<Message, Failure> {
        let querying = async {
            let answer = self.send(query, Edns::Yes).await;
            match answer {
                // The server does not support EDNS (RFC 6891, section 7).
                Err(NetError::Dns(DnsError::ResponseCode(
                    ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS,
                ))) => self.send(query, Edns::No).await,
                answer => answer,
            }
        };
        match timeout(limit, querying).await {
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

/// Whether a query uses EDNS to announce that long answers over UDP are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edns {
    Yes,
    No,
}

/// Returns the error for a wait that has timed out.
pub(super) fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// The records of one answer.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// The requested name, or the name at the end of its aliases.
    name: Name,
    /// Records of the requested type.
    data: Vec<RData>,
    /// The smallest TTL of the records and the aliases.
    ttl: u32,
}

/// Follows the aliases in an answer, from `name` to records of the requested type.
fn follow(message: &Message, name: &Name, kind: RecordType) -> Found {
    let mut found = Found {
        name: name.clone(),
        data: Vec::new(),
        ttl: u32::MAX,
    };
    // The limit stops a loop of aliases.
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
