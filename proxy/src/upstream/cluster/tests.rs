//! Tests of the state that survives a configuration change.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;

const WORKERS: usize = 2;

/// Parses a list, separated by spaces, of `name=address` or `name=address*max_requests`. Addresses
/// separated by commas belong to one server.
fn backend(servers: &str) -> config::Backend {
    let server = |server: &str| {
        let (name, address) = server.split_once('=').unwrap();
        let (address, limit) = address.split_once('*').unwrap_or((address, "0"));
        config::Server {
            max_requests: NonZeroU32::new(limit.parse().unwrap()),
            ..config::Server::new(name, ServerAddress::Srv(address.to_owned()))
        }
    };
    config::Backend::new("b", servers.split_whitespace().map(server).collect())
}

fn found(addresses: &str) -> Vec<Found> {
    let addresses = addresses.split(',').filter(|address| *address != "none");
    addresses
        .map(|address| Found::new(Address::Unix(address.into())))
        .collect()
}

fn prepare(servers: &str, before: Option<&Arc<Cluster>>) -> ClusterConfig {
    let backend = backend(servers);
    let mut resolve = |address: &ServerAddress| {
        let ServerAddress::Srv(addresses) = address else {
            unreachable!("only names here")
        };
        Ok(found(addresses))
    };
    let (file_servers, wake) = (FileServers::default(), Wake::default());
    ClusterConfig::prepare(
        &backend,
        &file_servers,
        &mut resolve,
        before,
        WORKERS,
        &wake,
    )
    .unwrap()
}

fn publish(servers: &str, before: Option<&Arc<Cluster>>) -> ClusterConfig {
    let mut config = prepare(servers, before);
    config.publish();
    config
}

/// Lists the addresses of a set, each with its server.
fn addresses(set: &EndpointSet) -> String {
    let entries = set.endpoints().iter().map(|entry| {
        let Address::Unix(path) = entry.endpoint.address() else {
            unreachable!("only paths here")
        };
        format!("{}={}", entry.endpoint.server().name(), path.display())
    });
    entries.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_reload_keeps_what_has_not_changed() {
    // Arguments: the servers before and after the change, then whether the last of the new servers
    // keeps its `Server` and its endpoint.
    let check = |before, after, server, endpoint| {
        let first = publish(before, None);
        let second = prepare(after, Some(&first.cluster));
        assert!(Arc::ptr_eq(&first.cluster, &second.cluster));
        let last = second.endpoints.endpoints().last().unwrap();
        let mut old = first.endpoints.servers().iter();
        let is_kept = old.any(|old| Arc::ptr_eq(old.server(), last.endpoint.server()));
        assert_eq!(is_kept, server, "server: {before} -> {after}");
        let mut old = first.endpoints.endpoints().iter();
        let is_kept = old.any(|old| Arc::ptr_eq(&old.endpoint, &last.endpoint));
        assert_eq!(is_kept, endpoint, "endpoint: {before} -> {after}");
    };
    check("a=1", "a=1", true, true);
    check("a=1", "a=1*5", true, true);
    check("a=1", "b=2 a=1", true, true);
    check("a=1", "a=2", false, false);
    check("a=1", "b=1", false, false);
    // Two names that share an address belong to the same machine.
    check("a=1", "a=2,1", true, true);
    check("a=1,2", "a=2", true, true);
}

#[test]
fn a_limit_changes_when_it_is_published() {
    let first = publish("a=1*1", None);
    let endpoint = Arc::clone(&first.endpoints.endpoints()[0].endpoint);
    let held = endpoint.try_permit().unwrap();
    // Plugins see the number of servers that are up, whether or not those servers have a free slot.
    assert_eq!(first.cluster.usable_servers(), 1);
    let mut second = prepare("a=1*2 b=2", Some(&first.cluster));
    assert_eq!(first.cluster.server_count(), 1);
    assert!(endpoint.try_permit().is_none());
    second.publish();
    assert_eq!(first.cluster.server_count(), 2);
    let another = endpoint.try_permit().unwrap();
    assert!(endpoint.try_permit().is_none());
    drop((held, another));
}

#[test]
fn servers_that_plugins_count() {
    let config = publish("a=1 b=2 c=3,4", None);
    let cluster = &config.cluster;
    let set_state = |server, state| {
        let server_override = ServerOverride {
            state: Some(state),
            weight: None,
        };
        cluster.set_override(server, server_override).unwrap();
    };
    assert_eq!(cluster.usable_servers(), 3);
    set_state("a", ServerState::Drain);
    set_state("b", ServerState::Maintenance);
    assert_eq!(cluster.usable_servers(), 1);
    let set = cluster.endpoints();
    set.of("c")[0].endpoint.unreachable(&"a test");
    assert_eq!(cluster.usable_servers(), 1);
    set.of("c")[1].endpoint.unreachable(&"a test");
    assert_eq!(cluster.usable_servers(), 0);
    set_state("a", ServerState::Ready);
    assert_eq!(cluster.usable_servers(), 1);
}

#[test]
fn overrides_stay_until_the_configuration_changes() {
    let config = publish("a=1 b=2", None);
    let cluster = &config.cluster;
    let drain = ServerOverride {
        state: Some(ServerState::Drain),
        weight: Some(7),
    };
    assert_eq!(cluster.set_override("c", drain), None);
    cluster.set_override("a", drain).unwrap();
    let check = |servers: config::Backend, expected| {
        let wake = Wake::default();
        let mut resolve = |address: &ServerAddress| {
            let ServerAddress::Srv(addresses) = address else {
                unreachable!("only names here")
            };
            Ok(found(addresses))
        };
        let before = Some(cluster);
        let file_servers = FileServers::default();
        let prepared = ClusterConfig::prepare(
            &servers,
            &file_servers,
            &mut resolve,
            before,
            WORKERS,
            &wake,
        );
        prepared.unwrap().publish();
        let set = cluster.endpoints();
        let a = set.server("a").unwrap();
        assert_eq!((a.server().state(), a.weight()), expected);
    };
    check(backend("a=1 b=2"), (ServerState::Drain, 7));
    // The override is kept even if the name now belongs to another machine.
    check(backend("a=9 b=2"), (ServerState::Drain, 7));
    let mut other = backend("a=9 b=2");
    other.servers[0].weight = 3;
    check(other, (ServerState::Drain, 3));
    check(backend("a=9 b=2"), (ServerState::Drain, 1));
    let mut other = backend("a=9 b=2");
    other.servers[0].state = ServerState::Maintenance;
    check(other, (ServerState::Maintenance, 1));
    check(backend("a=9 b=2"), (ServerState::Ready, 1));
}

#[test]
fn new_addresses_leave_other_servers_unchanged() {
    let config = publish("a=1,2 b=3", None);
    let cluster = &config.cluster;
    let before = cluster.endpoints();
    let name = |name: &str| ServerAddress::Srv(name.to_owned());
    assert!(!cluster.set_found(&name("1,2"), found("1,2")));
    assert!(!cluster.set_found(&name("other"), found("1,2")));
    assert!(Arc::ptr_eq(&before, &cluster.endpoints()));
    assert!(cluster.set_found(&name("1,2"), found("2,5")));
    let after = cluster.endpoints();
    assert_eq!(addresses(&after), "a=2 a=5 b=3");
    assert!(Arc::ptr_eq(
        &before.of("a")[1].endpoint,
        &after.of("a")[0].endpoint
    ));
    assert!(Arc::ptr_eq(
        &before.of("b")[0].endpoint,
        &after.of("b")[0].endpoint
    ));
    // A server whose name has no address has no endpoints.
    assert!(cluster.set_found(&name("1,2"), found("none")));
    assert_eq!(addresses(&cluster.endpoints()), "b=3");
    assert_eq!(cluster.server_count(), 2);
}

#[test]
fn addresses_found_during_a_reload_are_newer() {
    let config = publish("a=1", None);
    let mut reload = prepare("a=1 b=2", Some(&config.cluster));
    let name = ServerAddress::Srv("1".to_owned());
    assert!(config.cluster.set_found(&name, found("7")));
    reload.publish();
    assert_eq!(addresses(&reload.endpoints), "a=7 b=2");
}

#[test]
fn retired_sets_are_freed_once_no_worker_has_them() {
    let config = publish("a=1", None);
    let cluster = &config.cluster;
    let worker = cluster.current();
    let name = ServerAddress::Srv("1".to_owned());
    cluster.set_found(&name, found("2"));
    cluster.set_found(&name, found("3"));
    drop(config.endpoints);
    assert_eq!(
        cluster.sources().retired.len(),
        1,
        "the one that a worker has"
    );
    drop(worker);
    cluster.free_retired();
    assert!(cluster.sources().retired.is_empty());
}

#[test]
fn an_address_that_was_not_known_is_taken_from_a_reload() {
    let config = publish("a=none", None);
    assert_eq!(addresses(&config.endpoints), "");
    let backend = backend("a=none");
    let (file_servers, wake) = (FileServers::default(), Wake::default());
    let before = Some(&config.cluster);
    // Meanwhile the name has an address.
    let mut resolve = |_: &ServerAddress| Ok(found("5"));
    let reload = ClusterConfig::prepare(
        &backend,
        &file_servers,
        &mut resolve,
        before,
        WORKERS,
        &wake,
    );
    let mut reload = reload.unwrap();
    reload.publish();
    assert_eq!(addresses(&reload.endpoints), "a=5");
}

/// Prepares the configuration of a backend whose servers file contains `file_servers`.
fn with_file(servers: &str, file_servers: &str, before: Option<&Arc<Cluster>>) -> ClusterConfig {
    let mut config = backend(servers);
    config.servers_file = Some("servers.json".into());
    let file_servers = list(file_servers);
    let wake = Wake::default();
    let mut resolve = |address: &ServerAddress| {
        let ServerAddress::Srv(addresses) = address else {
            unreachable!("only names here")
        };
        Ok(found(addresses))
    };
    ClusterConfig::prepare(&config, &file_servers, &mut resolve, before, WORKERS, &wake).unwrap()
}

/// Returns the contents of a servers file that is read now. The addresses are literal.
fn list(servers: &str) -> FileServers {
    let generation = FileGeneration::begin();
    let server =
        |(name, path): (&str, &str)| config::Server::new(name, ServerAddress::Unix(path.into()));
    let servers = servers.split_whitespace();
    let servers = servers.map(|one| server(one.split_once('=').unwrap()));
    FileServers {
        servers: servers.collect(),
        generation,
    }
}

#[test]
fn a_file_that_changes_during_a_reload_stays_in_force() {
    let file = Path::new("servers.json");
    let mut first = with_file("a=1", "x=7", None);
    first.publish();
    let cluster = Arc::clone(&first.cluster);
    assert_eq!(addresses(&cluster.endpoints()), "a=1 x=7");
    let mut reload = with_file("a=1 b=2", "x=7", Some(&cluster));
    let newer = list("x=8 y=9");
    assert_eq!(
        cluster.set_file_servers(file, &newer).unwrap(),
        FileServersOutcome::InForce
    );
    assert_eq!(addresses(&cluster.endpoints()), "a=1 x=8 y=9");
    reload.publish();
    assert_eq!(addresses(&cluster.endpoints()), "a=1 b=2 x=8 y=9");
    // A file that was read earlier is ignored, and so is a file of another name.
    assert_eq!(
        cluster.set_file_servers(file, &newer).unwrap(),
        FileServersOutcome::Overtaken
    );
    let other = cluster.set_file_servers(Path::new("other.json"), &list("z=1"));
    assert_eq!(other.unwrap(), FileServersOutcome::Overtaken);
    // If a reload configures a server with the same name as a server of the newer file, the
    // configured server is kept.
    let mut clash = with_file("a=1 y=3", "x=8", Some(&cluster));
    cluster.set_file_servers(file, &list("x=8 y=9")).unwrap();
    clash.publish();
    assert_eq!(addresses(&cluster.endpoints()), "a=1 y=3 x=8");
}

#[test]
fn overrides_end_with_their_servers() {
    let mut first = with_file("a=1", "x=7", None);
    first.publish();
    let cluster = &first.cluster;
    let drain = ServerOverride {
        state: Some(ServerState::Drain),
        weight: None,
    };
    cluster.set_override("x", drain).unwrap();
    let state = || cluster.endpoints().server("x").map(|x| x.server().state());
    let file = Path::new("servers.json");
    cluster.set_file_servers(file, &list("x=7 y=8")).unwrap();
    assert_eq!(state(), Some(ServerState::Drain));
    cluster.set_file_servers(file, &list("y=8")).unwrap();
    cluster.set_file_servers(file, &list("x=7 y=8")).unwrap();
    assert_eq!(state(), Some(ServerState::Ready));
}

#[test]
fn an_address_that_comes_back_has_the_slots_that_it_had() {
    let config = publish("a=1*1 b=2", None);
    let cluster = &config.cluster;
    let name = ServerAddress::Srv("1".to_owned());
    let endpoint = Arc::clone(&cluster.endpoints().of("a")[0].endpoint);
    let held = endpoint.try_permit().unwrap();
    cluster.set_found(&name, found("9"));
    cluster.set_found(&name, found("1"));
    let back = Arc::clone(&cluster.endpoints().of("a")[0].endpoint);
    assert!(Arc::ptr_eq(&endpoint, &back));
    assert!(back.try_permit().is_none());
    drop(held);
    assert!(back.try_permit().is_some());
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Take,
    GiveBackOldest,
    GiveBackNewest,
    /// Makes the name resolve to these addresses.
    Move(&'static str),
    /// Sets the maximum number of requests at each address.
    Limit(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Take),
        2 => Just(Step::GiveBackOldest),
        1 => Just(Step::GiveBackNewest),
        2 => prop::sample::select(vec!["1", "2", "1,2", "none"]).prop_map(Step::Move),
        1 => (1..4_u32).prop_map(Step::Limit),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #[test]
    fn no_address_has_more_requests_than_slots(steps in steps()) {
        let servers = |limit| format!("a=name*{limit}");
        let name = ServerAddress::Srv("name".to_owned());
        let mut limit = 2;
        let config = publish(&servers(limit), None);
        let cluster = &config.cluster;
        cluster.set_found(&name, found("1,2"));
        let mut held: VecDeque<(Address, crate::upstream::endpoint::Permit)> = VecDeque::new();
        for step in steps {
            match step {
                Step::Take => {
                    for entry in cluster.endpoints().endpoints() {
                        let address = entry.endpoint.address().clone();
                        let count = held.iter().filter(|(one, _)| *one == address).count();
                        let permit = entry.endpoint.try_permit();
                        // A permit is granted if and only if a slot is free.
                        prop_assert_eq!(permit.is_some(), count < limit as usize);
                        held.extend(permit.map(|permit| (address, permit)));
                    }
                }
                Step::GiveBackOldest => drop(held.pop_front()),
                Step::GiveBackNewest => drop(held.pop_back()),
                Step::Move(addresses) => {
                    cluster.set_found(&name, found(addresses));
                }
                Step::Limit(other) => {
                    limit = other;
                    publish(&servers(limit), Some(cluster));
                }
            }
        }
    }
}
