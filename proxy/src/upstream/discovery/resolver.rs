//! Resolves the configured address of a server to its targets.
//!
//! This module interprets an answer: it determines which records count, their order, their weights
//! and the TTL. Between two lookups it keeps nothing but the parsed system files. It is called on
//! the thread for lookups; workers never resolve names.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::time::timeout;

use super::hosts::{self, Hosts};
use super::name_servers::{Failure, NameServers, Records, timed_out};
pub(crate) use super::preference::Preference;
use super::preference::preferences;
use super::watched::Watched;
use crate::config::ServerAddress;

/// Maximum number of targets of one name.
///
/// An answer over TCP has room for about this many addresses, which is far more than a backend has
/// servers.
pub(crate) const MAX_TARGETS: usize = 4096;

/// Time limit for a lookup, including all queries that follow from the first.
const MAX_LOOKUP: Duration = Duration::from_secs(5);

/// Maximum weight of a target, the same as that of a server in the configuration.
const MAX_WEIGHT: u16 = 256;

/// TTL of addresses from `/etc/hosts`. It determines how soon a change to that file is noticed.
const HOSTS_TTL: Duration = Duration::from_secs(5);

/// Maximum TTL of an answer that is incomplete because a server has failed.
const PARTIAL_TTL: Duration = Duration::from_secs(10);

/// Maximum number of concurrent address lookups for the targets of one service.
const MAX_CONCURRENT: usize = 8;

/// One target of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// Address to connect to.
    pub address: SocketAddr,
    /// Weight, 1 to 256. For an SRV record it is the weight of the record, scaled down if a weight
    /// of the same priority exceeds 256. Otherwise 1.
    pub weight: u16,
    /// Priority of an SRV record: targets with the lowest number are used before the others.
    /// Otherwise 0.
    pub priority: u16,
    /// Preference for the address's family among the addresses of the same host.
    pub preference: Preference,
}

/// The targets of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Targets sorted by priority and address, each address once, so that two answers that differ
    /// only in their order are equal. Not empty.
    pub targets: Vec<Target>,
    /// The smallest TTL of all records used; [`Duration::MAX`] if no records were used.
    pub ttl: Duration,
}

/// Reason why a name has no targets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// The name does not exist, or has no address.
    #[error("no such name, or no address for it")]
    NoSuchName {
        /// How long this negative answer is valid, if the server specifies it.
        ttl: Option<Duration>,
    },
    /// The lookup failed: no server answered, or all returned errors.
    #[error("the name could not be looked up")]
    Failed(#[source] io::Error),
    /// The name has at least this number of targets, which is more than [`MAX_TARGETS`].
    #[error("{0} targets are too many: at most {MAX_TARGETS} are allowed")]
    TooMany(usize),
}

/// A resolver of names that uses the configured DNS servers or those of the system.
///
/// Clones share all state. The connections belong to the runtime of the first lookup.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<Shared>);

struct Shared {
    servers: Source,
    hosts: Watched<Arc<Hosts>>,
}

/// Source of the DNS servers.
enum Source {
    Configured(Arc<NameServers>),
    System(Watched<Result<Arc<NameServers>, String>>),
}

/// The addresses of one host.
#[derive(Debug, PartialEq, Eq)]
struct Addresses {
    addresses: Vec<IpAddr>,
    ttl: Duration,
}

impl Resolver {
    /// Creates a resolver for these DNS servers. If `nameservers` is empty, the resolver uses the
    /// servers in `/etc/resolv.conf`, with its search domains and options. That file and
    /// `/etc/hosts` are read again when they change.
    ///
    /// # Errors
    /// The system's errors. A missing `/etc/resolv.conf` is not an error here: lookups that need it
    /// fail.
    pub(crate) fn try_new(nameservers: &[SocketAddr]) -> io::Result<Resolver> {
        let servers = if nameservers.is_empty() {
            Source::System(Watched::new("/etc/resolv.conf", |text| {
                let servers = NameServers::parse(text).map(Arc::new);
                servers.map_err(|error| error.to_string())
            }))
        } else {
            Source::Configured(Arc::new(NameServers::try_new(nameservers)?))
        };
        let hosts = Watched::new("/etc/hosts", |text| Arc::new(Hosts::parse(text)));
        Ok(Resolver(Arc::new(Shared { servers, hosts })))
    }

    /// Looks up the current targets of `address`.
    ///
    /// An IP address needs no I/O. `/etc/hosts` takes precedence over DNS. The lookup takes at most
    /// 5 s.
    ///
    /// # Errors
    /// [`ResolveError`]. A Unix socket always yields an error, since it has no name.
    ///
    /// # Cancel safety
    /// Safe: dropping the future aborts the queries.
    pub(crate) async fn lookup(&self, address: &ServerAddress) -> Result<Answer, ResolveError> {
        let looking_up = async {
            match address {
                ServerAddress::Tcp { host, port } => self.lookup_host(host, *port).await,
                ServerAddress::Srv(name) => self.lookup_service(name).await,
                ServerAddress::Unix(_) => {
                    let text = "a Unix socket has no name";
                    let error = io::Error::new(io::ErrorKind::InvalidInput, text);
                    Err(ResolveError::Failed(error))
                }
            }
        };
        let result = timeout(MAX_LOOKUP, looking_up).await;
        result.unwrap_or_else(|_| Err(ResolveError::Failed(timed_out())))
    }

    async fn lookup_host(&self, host: &str, port: u16) -> Result<Answer, ResolveError> {
        let found = self.addresses(host).await?;
        let record = Service {
            port,
            weight: 1,
            priority: 0,
        };
        answer(targets(record, &found.addresses), found.ttl)
    }

    async fn lookup_service(&self, name: &str) -> Result<Answer, ResolveError> {
        let servers = self.servers()?;
        let find = async |name| servers.records(&name, RecordType::SRV).await;
        let records = first(servers.candidates(name), find).await?;
        if records.data.len() > MAX_TARGETS {
            return Err(ResolveError::TooMany(records.data.len()));
        }
        let services = services(&records.data);
        let mut hosts = stream::iter(services)
            .map(|(record, host)| {
                let additionals = &records.additionals;
                async move { (record, self.service_addresses(&host, additionals).await) }
            })
            .buffer_unordered(MAX_CONCURRENT);
        let (mut found, mut ttl, mut failed) = (Vec::new(), records.ttl, None);
        while let Some((record, addresses)) = hosts.next().await {
            match addresses {
                Ok(host) => {
                    ttl = ttl.min(host.ttl);
                    found.extend(targets(record, &host.addresses));
                    if found.len() > MAX_TARGETS {
                        return Err(ResolveError::TooMany(found.len()));
                    }
                    // Yields, so that other tasks get a turn even if there are many targets.
                    tokio::task::yield_now().await;
                }
                Err(ResolveError::NoSuchName { .. }) => {}
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if found.is_empty() => Err(error),
            Some(_) => answer(found, ttl.min(PARTIAL_TTL)),
            None if found.is_empty() => Err(ResolveError::NoSuchName { ttl: Some(ttl) }),
            None => answer(found, ttl),
        }
    }

    /// Returns the addresses of the host that an SRV record names: those in the additional records,
    /// or the result of a lookup.
    async fn service_addresses(
        &self,
        host: &Name,
        additionals: &[Record],
    ) -> Result<Addresses, ResolveError> {
        if let Some(addresses) = sent_along(host, additionals) {
            return Ok(addresses);
        }
        self.addresses(&host.to_ascii()).await
    }

    /// Looks up the addresses of a host, which is a name or an IP address.
    async fn addresses(&self, host: &str) -> Result<Addresses, ResolveError> {
        if let Ok(address) = host.parse() {
            return Ok(Addresses {
                addresses: vec![address],
                ttl: Duration::MAX,
            });
        }
        // If the file does not exist, it is treated as empty.
        let hosts = self.0.hosts.current().unwrap_or_default();
        let mut addresses = hosts.addresses(host).to_vec();
        if let (true, Some(loopback)) = (addresses.is_empty(), hosts::loopback(host)) {
            addresses.extend(loopback);
        }
        if !addresses.is_empty() {
            let ttl = HOSTS_TTL;
            return Ok(Addresses { addresses, ttl });
        }
        let servers = self.servers()?;
        let find = async |name| {
            let (ipv4, ipv6) = tokio::join!(
                servers.records(&name, RecordType::A),
                servers.records(&name, RecordType::AAAA),
            );
            both(ipv4, ipv6)
        };
        first(servers.candidates(host), find).await
    }

    fn servers(&self) -> Result<Arc<NameServers>, ResolveError> {
        let file = match &self.0.servers {
            Source::Configured(servers) => return Ok(Arc::clone(servers)),
            Source::System(file) => file,
        };
        let problem = match file.current() {
            Ok(Ok(servers)) => return Ok(servers),
            Ok(Err(text)) => text,
            Err(error) => error.to_string(),
        };
        let text = format!("no DNS server is known, as /etc/resolv.conf cannot be used: {problem}");
        Err(ResolveError::Failed(io::Error::other(text)))
    }
}

/// Returns the first successful result of `find` for these names.
async fn first<T>(
    names: io::Result<Vec<Name>>,
    find: impl AsyncFn(Name) -> Result<T, Failure>,
) -> Result<T, ResolveError> {
    let (mut failed, mut ttl): (_, Option<Duration>) = (None, None);
    for name in names.map_err(ResolveError::Failed)? {
        match find(name).await {
            Ok(found) => return Ok(found),
            Err(Failure::Nothing(of)) => ttl = ttl.into_iter().chain(of).min(),
            // If the servers of one search domain are broken, the other domains are still tried.
            Err(Failure::Error(error)) => failed = Some(error),
            // The servers do not respond, so they would not answer for the next name either.
            Err(Failure::TimedOut(error)) => return Err(ResolveError::Failed(error)),
        }
    }
    // The result is "no such name" only if a negative answer has arrived for every name.
    Err(match failed {
        Some(error) => ResolveError::Failed(error),
        None => ResolveError::NoSuchName { ttl },
    })
}

/// Combines the addresses of both families. The addresses of one family are enough if the other
/// family has none or cannot be looked up.
fn both(
    ipv4: Result<Records, Failure>,
    ipv6: Result<Records, Failure>,
) -> Result<Addresses, Failure> {
    use Failure::Nothing;
    let (records, max_ttl) = match (ipv4, ipv6) {
        (Ok(ipv4), Ok(ipv6)) => (vec![ipv4, ipv6], Duration::MAX),
        (Ok(one), Err(Nothing(_))) | (Err(Nothing(_)), Ok(one)) => (vec![one], Duration::MAX),
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => (vec![one], PARTIAL_TTL),
        (Err(Nothing(one)), Err(Nothing(other))) => {
            return Err(Nothing(one.into_iter().chain(other).min()));
        }
        (Err(Nothing(_)), Err(failure)) | (Err(failure), Err(_)) => return Err(failure),
    };
    let ttls = records.iter().map(|records| records.ttl);
    let ttl = ttls.fold(max_ttl, Duration::min);
    let data = records.iter().flat_map(|records| &records.data);
    Ok(Addresses {
        addresses: data.filter_map(RData::ip_addr).collect(),
        ttl,
    })
}

/// Returns the addresses of `host` among the additional records of an SRV answer.
///
/// The addresses are assumed to be complete: if a server sends addresses of only one family, the
/// host usually has no others.
fn sent_along(host: &Name, additionals: &[Record]) -> Option<Addresses> {
    let mut addresses = Vec::new();
    let mut ttl = u32::MAX;
    for record in additionals.iter().filter(|record| record.name == *host) {
        if let Some(address) = record.data.ip_addr() {
            addresses.push(address);
            ttl = ttl.min(record.ttl);
        }
    }
    let ttl = Duration::from_secs(ttl.into());
    (!addresses.is_empty()).then_some(Addresses { addresses, ttl })
}

/// An SRV record, without its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Service {
    port: u16,
    weight: u16,
    priority: u16,
}

/// Returns the usable SRV records with their hosts. The weights are scaled to the range of a
/// server's weight.
fn services(data: &[RData]) -> Vec<(Service, Name)> {
    let records: Vec<&SRV> = data
        .iter()
        .filter_map(|data| match data {
            // A target of `.` means that the service does not exist (RFC 2782), and nothing listens
            // on port 0.
            RData::SRV(record) if !record.target.is_root() && record.port != 0 => Some(record),
            _ => None,
        })
        .collect();
    let mut greatest: HashMap<u16, u16> = HashMap::new();
    for record in &records {
        let weight = greatest.entry(record.priority).or_default();
        *weight = record.weight.max(*weight);
    }
    let service = |record: &&SRV| {
        let service = Service {
            port: record.port,
            weight: scale(record.weight, greatest[&record.priority]),
            priority: record.priority,
        };
        (service, record.target.clone())
    };
    records.iter().map(service).collect()
}

/// Scales a weight so that the weight `greatest` would become at most [`MAX_WEIGHT`]. The result is
/// at least 1.
fn scale(weight: u16, greatest: u16) -> u16 {
    if greatest <= MAX_WEIGHT {
        return weight.max(1);
    }
    let product = u32::from(weight) * u32::from(MAX_WEIGHT);
    let rounded = (product + u32::from(greatest) / 2) / u32::from(greatest);
    u16::try_from(rounded).map_or(MAX_WEIGHT, |weight| weight.clamp(1, MAX_WEIGHT))
}

/// Returns the targets of one host.
fn targets(service: Service, addresses: &[IpAddr]) -> Vec<Target> {
    let families = preferences(addresses);
    let target = |address: &IpAddr| Target {
        address: SocketAddr::new(*address, service.port),
        weight: service.weight,
        priority: service.priority,
        preference: families.of(*address),
    };
    addresses.iter().map(target).collect()
}

/// Sorts targets, and keeps only the best entry of each address.
fn answer(mut targets: Vec<Target>, ttl: Duration) -> Result<Answer, ResolveError> {
    targets.sort_by_key(|target| {
        let is_fallback = target.preference == Preference::Fallback;
        let weight = Reverse(target.weight);
        (target.priority, target.address, weight, is_fallback)
    });
    let mut seen = HashSet::new();
    targets.retain(|target| seen.insert(target.address));
    if targets.len() > MAX_TARGETS {
        return Err(ResolveError::TooMany(targets.len()));
    }
    Ok(Answer { targets, ttl })
}

#[cfg(test)]
mod tests;
