//! Pointsman and a real `HAProxy` choose the same backend for generated Host values. The only
//! exceptions are values that break RFC 9112, which Pointsman always refuses.

use anyhow::Context;
use pointsman_tests::Proxy;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::routing::{Backends, Outcome, outcome};

/// Number of cases: enough for some hundreds of each kind of value, within a few seconds.
const CASES: usize = 1500;

#[tokio::test]
async fn same_backend_as_haproxy() -> anyhow::Result<()> {
    let backends = Backends::start().await?;
    let haproxy = backends.haproxy()?;
    let pointsman = backends.pointsman().await?;

    // Every run has the same values, so that a failure can be reproduced.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let hosts = host();
    let mut wrong = Vec::new();
    let mut seen = [0; 3];
    for _ in 0..CASES {
        let host = hosts
            .new_tree(&mut runner)
            .map_err(|reason| anyhow::anyhow!("no value generated: {reason}"))?
            .current();
        let theirs = send(&haproxy, &host).await?;
        let ours = send(&pointsman, &host).await?;
        let expected = if is_strictly_refused(&host) {
            Outcome::Refused
        } else {
            theirs
        };
        seen[ours as usize] += 1;
        if ours != expected {
            wrong.push(format!(
                "Host: {}: HAProxy {theirs:?}, Pointsman {ours:?}, expected {expected:?}",
                host.escape_ascii()
            ));
        }
    }
    anyhow::ensure!(
        wrong.is_empty(),
        "{} of {CASES}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // Each outcome must be frequent; otherwise the comparison would prove little.
    assert!(
        seen.iter().all(|count| *count > CASES / 20),
        "outcomes [node, www, refused]: {seen:?}"
    );
    Ok(())
}

async fn send(proxy: &Proxy, host: &[u8]) -> anyhow::Result<Outcome> {
    let request = [b"GET / HTTP/1.1\r\nHost: ", host, b"\r\n\r\n"].concat();
    outcome(proxy.address(), &request)
        .await
        .with_context(|| format!("Host: {}", host.escape_ascii()))
}

/// Generates values similar to those that the rule matches: names whose suffix is whole, cut,
/// extended or in another case, with ports and blanks, and now and then any octet.
fn host() -> impl Strategy<Value = Vec<u8>> {
    let label = prop_oneof![
        16 => "[a-z0-9-]{1,8}",
        1 => "[A-Z_~!$&'()*+;=]{1,6}",
        1 => "%[0-9a-fA-F]{2}",
        1 => "%[0-9g-z]{0,2}",
    ];
    let suffix = prop_oneof![
        6 => Just("io.test.tld".to_owned()),
        2 => Just("Io.tEst.TLD".to_owned()),
        1 => Just("o.test.tld".to_owned()),
        1 => Just("test.tld".to_owned()),
        2 => "[a-z]{1,6}\\.tld",
        1 => Just(String::new()),
    ];
    let tail = prop_oneof![
        16 => Just(String::new()),
        4 => ":[0-9]{0,5}",
        2 => Just(".".to_owned()),
        2 => Just(" \t".to_owned()),
        1 => ":[a-z]{1,3}",
        1 => "[@/?#,\\[\\]<>\"\\\\^`{|}]",
        2 => "\\.[a-z]{1,5}",
    ];
    let name = (
        prop::collection::vec(label, 0..3),
        prop_oneof![16 => Just("."), 1 => Just(""), 1 => Just(","), 1 => Just("@"), 1 => Just(" ")],
        suffix,
        tail,
    )
        .prop_map(|(labels, joint, suffix, tail)| {
            let start = labels.join(".");
            let joint = if start.is_empty() { "" } else { joint };
            format!("{start}{joint}{suffix}{tail}").into_bytes()
        });
    let address = prop_oneof![
        "[0-9]{1,3}(\\.[0-9]{1,3}){3}",
        "\\[[0-9a-f:]{2,12}\\]",
        "\\[[0-9a-f:]{2,12}\\]:[0-9]{1,4}",
        Just("[::1]".to_owned()),
        Just("[2001:db8::1]:80".to_owned()),
        Just("[v1.a:b]".to_owned()),
    ]
    .prop_map(String::into_bytes);
    // CR, LF and NUL cannot be part of a field value.
    let octet =
        any::<u8>().prop_filter("part of a line", |byte| !matches!(byte, 0 | b'\r' | b'\n'));
    let odd = (name.clone(), octet, any::<prop::sample::Index>()).prop_map(
        |(mut name, octet, at): (Vec<u8>, u8, prop::sample::Index)| {
            name.insert(at.index(name.len() + 1), octet);
            name
        },
    );
    prop_oneof![12 => name, 1 => address, 2 => odd]
}

/// Reports whether the value breaks RFC 9112, section 3.2, `Host = uri-host [ ":" port ]`.
/// Pointsman responds to such a value with 400, whatever `HAProxy` does.
fn is_strictly_refused(value: &[u8]) -> bool {
    let value = trim_blanks(value);
    let (host, port) = if let [b'[', rest @ ..] = value {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else {
            return true;
        };
        if !is_ip_literal(&rest[..end]) {
            return true;
        }
        (&b""[..], &rest[end + 1..])
    } else {
        let end = value.iter().position(|byte| *byte == b':');
        value.split_at(end.unwrap_or(value.len()))
    };
    // Any number of digits: the grammar has no largest port.
    let port_is_valid = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    !port_is_valid || !is_reg_name(host)
}

/// Trims the optional blanks around a value, which are not part of it (RFC 9110, section 5.5).
fn trim_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Reports whether `name` matches RFC 3986, section 3.2.2, which also covers IPv4 addresses.
fn is_reg_name(name: &[u8]) -> bool {
    let mut rest = name;
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'%', [high, low, tail @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                tail
            }
            _ if first.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(first) => {
                // A comma is a sub-delim, but it makes the field a list. Pointsman refuses it, as
                // it refuses two hosts.
                if *first == b',' {
                    return false;
                }
                tail
            }
            _ => return false,
        };
    }
    true
}

/// Reports whether the text between the brackets is an IPv6 address, or has the form of an address
/// of a later IP version.
fn is_ip_literal(literal: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(literal) else {
        return false;
    };
    let is_future = || {
        let (version, address) = text.strip_prefix(['v', 'V'])?.split_once('.')?;
        let valid = !version.is_empty()
            && version.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !address.is_empty()
            && address.bytes().all(|byte| {
                byte == b':' || byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
            });
        valid.then_some(())
    };
    text.parse::<std::net::Ipv6Addr>().is_ok() || is_future().is_some()
}
