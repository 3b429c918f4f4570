//! Clients and schemes: table tests and property tests.

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::http::message::{RequestHead, Version};

const TRUSTED: &[&str] = &["10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1/32"];

fn is_trusted(address: &IpAddr) -> bool {
    let mut networks = TRUSTED.iter().map(|network| network.parse::<IpNet>());
    networks.any(|network| network.unwrap().contains(address))
}

fn head(lines: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::default();
    head.start(b"GET", b"/", Version::Http11);
    for (name, value) in lines {
        head.fields_mut().push(name.as_bytes(), value.as_bytes());
    }
    head
}

fn origin(lines: &[(&str, &str)]) -> Origin {
    Origin::of(head(lines).fields(), is_trusted)
}

#[track_caller]
fn client(lines: &[(&str, &str)], expected: Option<&str>) {
    let found = origin(lines).client.map(|address| address.to_string());
    assert_eq!(found.as_deref(), expected, "{lines:?}");
}

#[test]
fn the_rightmost_untrusted_address() {
    let check = |value, expected| client(&[("X-Forwarded-For", value)], expected);
    check("192.0.2.1", Some("192.0.2.1"));
    check("6.6.6.6, 192.0.2.1", Some("192.0.2.1"));
    check("6.6.6.6, 192.0.2.1, 10.0.0.1", Some("192.0.2.1"));
    check("6.6.6.6,192.0.2.1:4711,10.0.0.1:80", Some("192.0.2.1"));
    check("::ffff:192.0.2.1, 2001:db8:1::1", Some("192.0.2.1"));
    check("192.0.2.1, ::ffff:10.0.0.1", Some("192.0.2.1"));
    // If all are trusted, the leftmost wins.
    check("10.0.0.3, 10.0.0.2, 10.0.0.1", Some("10.0.0.3"));
    // The first entry that is not an address ends the list.
    check("192.0.2.1, unknown, 10.0.0.1", Some("10.0.0.1"));
    check("192.0.2.1, _hidden", None);
    check("garbage", None);
    check("10.0.0.1 10.0.0.2", None);
    // No address is given.
    check("", None);
    check(" , ,", None);
    check("192.0.2.1, , 10.0.0.1,", Some("192.0.2.1"));
}

#[test]
fn several_lines_are_one_list() {
    let line = |value| ("x-forwarded-for", value);
    client(&[line("6.6.6.6"), line("192.0.2.1")], Some("192.0.2.1"));
    client(&[line("192.0.2.1"), line("10.0.0.1")], Some("192.0.2.1"));
    client(
        &[line("192.0.2.1"), line("?"), line("10.0.0.1")],
        Some("10.0.0.1"),
    );
}

#[test]
fn forwarded_counts_if_there_are_no_other_fields() {
    let check = |value, expected: (Option<&str>, Option<Scheme>)| {
        let found = origin(&[("Forwarded", value)]);
        let address = found.client.map(|address| address.to_string());
        assert_eq!((address.as_deref(), found.scheme), expected, "{value}");
    };
    let (plain, secure) = (Some(Scheme::Http), Some(Scheme::Https));
    check("for=192.0.2.1", (Some("192.0.2.1"), None));
    check(
        "for=6.6.6.6;proto=http, for=192.0.2.1;proto=https, for=10.0.0.1;proto=http",
        (Some("192.0.2.1"), secure),
    );
    check(
        "for=192.0.2.1, for=\"[2001:db8:1::1]:1\";proto=http",
        (Some("192.0.2.1"), plain),
    );
    check("for=192.0.2.1;proto=https, for=_x", (None, None));
    check(
        "for=unknown;proto=https, for=10.0.0.1",
        (Some("10.0.0.1"), secure),
    );
    check("for=\", for=192.0.2.1", (Some("192.0.2.1"), None));
    check("for=192.0.2.1;proto=https, proto=http", (None, plain));
    check("garbage", (None, None));

    let both = [
        ("Forwarded", "for=6.6.6.6"),
        ("X-Forwarded-For", "192.0.2.1"),
    ];
    client(&both, Some("192.0.2.1"));
    let scheme_only = [("Forwarded", "for=6.6.6.6"), ("X-Forwarded-Proto", "https")];
    client(&scheme_only, None);
    assert_eq!(origin(&scheme_only).scheme, secure);
}

#[test]
fn the_last_scheme() {
    let check = |values: &[&str], expected| {
        let lines: Vec<_> = values
            .iter()
            .map(|value| ("X-Forwarded-Proto", *value))
            .collect();
        assert_eq!(origin(&lines).scheme, expected, "{values:?}");
    };
    check(&["https"], Some(Scheme::Https));
    check(&["https, http"], Some(Scheme::Http));
    check(&["http", "HTTPS"], Some(Scheme::Https));
    check(&["wss"], Some(Scheme::Https));
    check(&["https,"], Some(Scheme::Https));
    check(&["https, on"], None);
    check(&[""], None);
}

/// Generates a forged field value, before a proxy adds to it: any valid value.
fn claim() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("10.0.0.1".to_owned()),
        Just("for=6.6.6.6".to_owned()),
        Just("for=\"[::1]".to_owned()),
        Just("6.6.6.6".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just(",".to_owned()),
        Just(";".to_owned()),
        "[ -~]{0,6}",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().trim().to_owned())
}

fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = any::<[u8; 4]>().prop_map(IpAddr::from);
    let v6 = any::<[u16; 8]>().prop_map(IpAddr::from);
    prop_oneof![v4, v6].prop_filter("a stranger", |address| {
        !is_trusted(address) && address.to_canonical() == *address
    })
}

fn node(address: &IpAddr, port: Option<u16>) -> String {
    match (address, port) {
        (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
        (address, Some(port)) => format!("{address}:{port}"),
        (address, None) => address.to_string(),
    }
}

proptest! {
    /// Forged entries never change the address that trusted proxies have added.
    #[test]
    fn no_client_chooses_its_address(
        claims in proptest::collection::vec(claim(), 0..3),
        stranger in address(),
        port in proptest::option::of(any::<u16>()),
        proxies in 0u8..4,
        is_new_line: bool,
        is_forwarded: bool,
    ) {
        let name = if is_forwarded { "Forwarded" } else { "X-Forwarded-For" };
        let said = |address: &IpAddr| match (is_forwarded, address, port) {
            (true, IpAddr::V6(address), None) => format!("for=\"[{address}]\";proto=https"),
            (true, ..) => format!("for=\"{}\";proto=https", node(address, port)),
            (false, ..) => node(address, port),
        };
        let mut lines = claims;
        let proxies = (0..proxies).map(|index| IpAddr::from([10, 0, 0, index]));
        for address in [stranger].into_iter().chain(proxies) {
            match lines.last_mut() {
                Some(last) if !is_new_line => {
                    last.push_str(", ");
                    last.push_str(&said(&address));
                }
                _ => lines.push(said(&address)),
            }
        }
        let lines: Vec<_> = lines.iter().map(|line| (name, line.as_str())).collect();
        let origin = origin(&lines);
        prop_assert_eq!(origin.client, Some(stranger), "{:?}", lines);
        prop_assert_eq!(origin.scheme, is_forwarded.then_some(Scheme::Https));
    }

    /// No bytes cause a panic, and every resulting address is canonical.
    #[test]
    fn any_bytes(value in proptest::collection::vec(any::<u8>(), 0..200), is_forwarded: bool) {
        let mut fields = Fields::default();
        let kind = if is_forwarded { FieldKind::Forwarded } else { FieldKind::XForwardedFor };
        fields.push_kind(kind, &value);
        if let Some(address) = Origin::of(&fields, is_trusted).client {
            prop_assert_eq!(address.to_canonical(), address);
        }
    }
}
