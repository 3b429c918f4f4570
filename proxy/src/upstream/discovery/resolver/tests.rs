//! Tests of how an answer is composed, without a DNS server.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_resolver::proto::rr::rdata::{A, AAAA};

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn srv(priority: u16, weight: u16, port: u16, host: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, name(host)))
}

fn target(address: &str, priority: u16, weight: u16) -> Target {
    Target {
        address: address.parse().unwrap(),
        weight,
        priority,
        preference: Preference::Preferred,
    }
}

fn records(data: &[&str], ttl: u64) -> Records {
    let data = data.iter().map(|text| match text.parse().unwrap() {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    });
    Records {
        data: data.collect(),
        ttl: Duration::from_secs(ttl),
        additionals: Vec::new(),
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn answers_in_another_order_are_equal() {
    let sorted = [
        target("10.0.0.2:80", 0, 1),
        target("10.0.0.10:80", 0, 1),
        target("[fd00::1]:80", 0, 1),
        target("10.0.0.1:80", 1, 1),
    ];
    let check = |order: [usize; 4]| {
        let targets = order.map(|index| sorted[index]).to_vec();
        assert_eq!(answer(targets, secs(1)).unwrap().targets, sorted);
    };
    check([0, 1, 2, 3]);
    check([3, 2, 1, 0]);
    check([2, 0, 3, 1]);
}

#[test]
fn an_address_appears_once_with_its_best_priority() {
    let targets = vec![
        target("10.0.0.1:80", 2, 200),
        target("10.0.0.1:80", 1, 5),
        target("10.0.0.1:80", 1, 9),
        target("10.0.0.1:81", 1, 1),
    ];
    let expected = [target("10.0.0.1:80", 1, 9), target("10.0.0.1:81", 1, 1)];
    assert_eq!(answer(targets, secs(1)).unwrap().targets, expected);
}

#[test]
fn the_number_of_addresses_is_limited() {
    let targets = |count: usize| {
        let address = |port| SocketAddr::from(([10, 0, 0, 1], port));
        (0..count)
            .map(|port| Target {
                address: address(u16::try_from(port).unwrap()),
                ..target("10.0.0.1:80", 0, 1)
            })
            .collect::<Vec<_>>()
    };
    assert!(answer(targets(MAX_TARGETS), secs(1)).is_ok());
    let error = answer(targets(MAX_TARGETS + 1), secs(1)).unwrap_err();
    assert!(matches!(error, ResolveError::TooMany(count) if count == MAX_TARGETS + 1));
}

#[test]
fn weights_are_those_of_servers() {
    for (weight, greatest, expected) in [
        (0, 0, 1),
        (0, 10, 1),
        (1, 256, 1),
        (10, 10, 10),
        (256, 256, 256),
        (257, 257, 256),
        (0, 1000, 1),
        (500, 1000, 128),
        (1000, 1000, 256),
        (1, u16::MAX, 1),
        (u16::MAX / 2, u16::MAX, 128),
        (u16::MAX, u16::MAX, 256),
    ] {
        assert_eq!(scale(weight, greatest), expected, "{weight} of {greatest}");
    }
}

#[test]
fn a_service_is_its_usable_records() {
    let data = [
        srv(0, 1000, 80, "one.test.tld."),
        srv(0, 500, 80, "two.test.tld."),
        // This weight is scaled by the greatest weight of the same priority.
        srv(1, 100, 81, "three.test.tld."),
        srv(0, 0, 80, "."),
        srv(0, 0, 0, "four.test.tld."),
        RData::A(A(Ipv4Addr::LOCALHOST)),
    ];
    let service = |priority, weight, port, host| {
        let service = Service {
            port,
            weight,
            priority,
        };
        (service, name(host))
    };
    let expected = [
        service(0, 256, 80, "one.test.tld."),
        service(0, 128, 80, "two.test.tld."),
        service(1, 100, 81, "three.test.tld."),
    ];
    assert_eq!(services(&data), expected);
}

#[test]
fn addresses_may_be_sent_along() {
    let address = |host, ttl, last: u8| {
        let address = RData::A(A(Ipv4Addr::new(10, 0, 0, last)));
        Record::from_rdata(name(host), ttl, address)
    };
    let additionals = [
        address("one.test.tld.", 60, 1),
        address("two.test.tld.", 5, 2),
        address("ONE.test.tld.", 30, 3),
        Record::from_rdata(
            name("one.test.tld."),
            90,
            RData::AAAA(AAAA(Ipv6Addr::LOCALHOST)),
        ),
    ];
    let expected = Addresses {
        addresses: ["10.0.0.1", "10.0.0.3", "::1"]
            .map(|it| it.parse().unwrap())
            .to_vec(),
        ttl: secs(30),
    };
    assert_eq!(
        sent_along(&name("one.test.tld."), &additionals),
        Some(expected)
    );
    assert_eq!(sent_along(&name("three.test.tld."), &additionals), None);
}

#[test]
fn families_are_joined() {
    let nothing = |ttl: Option<u64>| Err(Failure::Nothing(ttl.map(secs)));
    let failed = || Err(Failure::Error(io::Error::other("refused")));
    let check = |ipv4, ipv6, expected: &[&str], ttl| {
        let found = both(ipv4, ipv6).unwrap();
        let addresses: Vec<IpAddr> = expected.iter().map(|it| it.parse().unwrap()).collect();
        assert_eq!((found.addresses, found.ttl), (addresses, secs(ttl)));
    };
    let (one, two) = (["10.0.0.1"], ["fd00::1", "fd00::2"]);
    check(
        Ok(records(&one, 60)),
        Ok(records(&two, 30)),
        &["10.0.0.1", "fd00::1", "fd00::2"],
        30,
    );
    check(Ok(records(&one, 60)), nothing(Some(1)), &one, 60);
    check(nothing(None), Ok(records(&two, 60)), &two, 60);
    // The name is looked up again soon, because by then the other family may have an answer.
    check(Ok(records(&one, 60)), failed(), &one, 10);
    check(failed(), Ok(records(&two, 5)), &two, 5);

    let error = both(nothing(Some(9)), nothing(Some(7))).unwrap_err();
    assert!(matches!(error, Failure::Nothing(Some(ttl)) if ttl == secs(7)));
    // The lookup of one family failed, so it is unknown whether the name has an address.
    for (ipv4, ipv6) in [(nothing(None), failed()), (failed(), nothing(None))] {
        assert!(matches!(both(ipv4, ipv6), Err(Failure::Error(_))));
    }
}

#[tokio::test]
async fn the_first_name_with_records_counts() {
    let check = async |outcomes: &[&str], expected: &str| {
        let names = outcomes.iter().map(|outcome| name(outcome)).collect();
        let find = async |name: Name| match name.to_ascii().as_str() {
            "nothing" => Err(Failure::Nothing(Some(secs(9)))),
            "briefly" => Err(Failure::Nothing(Some(secs(3)))),
            "broken" => Err(Failure::Error(io::Error::other("broken"))),
            "silent" => Err(Failure::TimedOut(io::Error::other("silent"))),
            found => Ok(found.to_owned()),
        };
        let result = match first(Ok(names), find).await {
            Ok(found) => found,
            Err(ResolveError::NoSuchName { ttl }) => format!("none for {ttl:?}"),
            Err(ResolveError::Failed(error)) => error.to_string(),
            Err(ResolveError::TooMany(_)) => "too many".to_owned(),
        };
        assert_eq!(result, expected, "{outcomes:?}");
    };
    check(&["one", "two"], "one").await;
    check(&["nothing", "two"], "two").await;
    check(&["broken", "two"], "two").await;
    check(&["silent", "two"], "silent").await;
    check(&["broken", "nothing"], "broken").await;
    check(&["nothing", "briefly"], "none for Some(3s)").await;
    check(&[], "none for None").await;
}

#[tokio::test]
async fn an_address_needs_no_server() {
    // This server is never queried.
    let server = SocketAddr::from(([127, 0, 0, 1], 1));
    let resolver = Resolver::try_new(&[server]).unwrap();
    let check = async |host: &str, expected: &str| {
        let address = ServerAddress::Tcp {
            host: host.to_owned(),
            port: 80,
        };
        let answer = resolver.lookup(&address).await.unwrap();
        assert_eq!(answer.targets, [target(expected, 0, 1)]);
        assert_eq!(answer.ttl, Duration::MAX);
    };
    check("10.0.0.1", "10.0.0.1:80").await;
    check("fd00::1", "[fd00::1]:80").await;
    let unix = ServerAddress::Unix("/run/socket".into());
    let result = resolver.lookup(&unix).await;
    assert!(matches!(result, Err(ResolveError::Failed(_))));
}

#[tokio::test]
async fn this_host_needs_no_server() {
    let resolver = Resolver::try_new(&[SocketAddr::from(([127, 0, 0, 1], 1))]).unwrap();
    let address = ServerAddress::Tcp {
        host: "www.localhost".to_owned(),
        port: 80,
    };
    let answer = resolver.lookup(&address).await.unwrap();
    let addresses: Vec<_> = answer.targets.iter().map(|it| it.address).collect();
    let expected = ["127.0.0.1:80", "[::1]:80"].map(|it| it.parse().unwrap());
    assert_eq!(addresses, expected);
    let preferred = |target: &&Target| target.preference == Preference::Preferred;
    assert_eq!(answer.targets.iter().filter(preferred).count(), 1);
}

#[test]
fn is_shared_between_threads() {
    fn check<T: Clone + Send + Sync + 'static>() {}
    check::<Resolver>();
}
