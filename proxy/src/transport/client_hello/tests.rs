//! Handwritten `ClientHello` messages, and those of rustls, whose own parser must agree.

use std::sync::Arc;

use proptest::prelude::*;
use rustls::server::Acceptor;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::*;

/// The usual extensions.
const NAME: (u16, &[u8]) = (0, b"\0\x07\0\0\x04Io.a");
const PROTOCOLS: (u16, &[u8]) = (16, b"\0\x0c\x02h2\x08http/1.1");

fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes(), bytes].concat()
}

/// Builds a handshake message with these extensions.
fn message(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(b"\x01s\0\x02\x13\x01\x01\0");
    let extensions = extensions.iter();
    let extensions = extensions.flat_map(|(kind, data)| {
        let kind = kind.to_be_bytes();
        kind.into_iter().chain(prefixed(data))
    });
    body.extend(prefixed(&extensions.collect::<Vec<u8>>()));
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1], &length[1..], &body].concat()
}

/// Splits a message into records of at most `fragment` bytes.
fn records(message: &[u8], fragment: usize) -> Vec<u8> {
    let fragments = message.chunks(fragment);
    let records = fragments.flat_map(|fragment| {
        let header = [22, 3, 1].into_iter();
        header.chain(prefixed(fragment))
    });
    records.collect()
}

fn complete(bytes: &[u8]) -> ClientHello {
    match parse(bytes) {
        Ok(Parsed::Complete(hello)) => hello,
        other => panic!("{other:?}"),
    }
}

fn names(hello: &ClientHello) -> Vec<&[u8]> {
    hello.alpn.iter().collect()
}

#[test]
fn the_name_and_protocols_are_found() {
    let hello = complete(&records(
        &message(&[(10, b"x"), NAME, (1, b""), PROTOCOLS]),
        64,
    ));
    assert_eq!(hello.server_name.as_deref(), Some("io.a"));
    assert_eq!(names(&hello), [&b"h2"[..], b"http/1.1"]);
    assert!(hello.alpn.contains(b"http/1.1") && !hello.alpn.contains(b"http/1.0"));

    assert_eq!(
        complete(&records(&message(&[]), 64)),
        ClientHello::default()
    );
    // TLS 1.2 allows leaving out the list of extensions.
    let mut bare = message(&[]);
    bare.truncate(bare.len() - 2);
    bare[3] -= 2;
    assert_eq!(complete(&records(&bare, 64)), ClientHello::default());
}

#[test]
fn names_are_checked() {
    let check = |name: &str, expected: Result<Option<&str>, ClientHelloError>| {
        let entry = [&[0], &*prefixed(name.as_bytes())].concat();
        let hello = records(&message(&[(0, &prefixed(&entry))]), 1 << 14);
        let found = match parse(&hello) {
            Ok(Parsed::Complete(hello)) => Ok(hello.server_name),
            Ok(Parsed::Partial) => panic!("{name}: incomplete"),
            Err(error) => Err(error),
        };
        assert_eq!(
            found,
            expected.map(|name| name.map(str::to_owned)),
            "{name}"
        );
    };
    check("WWW.Test.TLD", Ok(Some("www.test.tld")));
    check("www.test.tld.", Ok(Some("www.test.tld")));
    check("a_b.test", Ok(Some("a_b.test")));
    check("192.0.2.1", Ok(None));
    check("2001:db8::1", Ok(None));
    for bad in [
        "", ".", "a..b", "a b", "a\0", "*.a", "a/b", "-a", "é.test", "a:443",
    ] {
        check(bad, Err(ClientHelloError::ServerName));
    }
    check(&"a".repeat(64), Err(ClientHelloError::ServerName));
    check(&"a.".repeat(127), Err(ClientHelloError::ServerName));
}

#[test]
fn malformed() {
    use ClientHelloError::{Malformed, ServerName};
    let check = |extensions: &[(u16, &[u8])], expected| {
        let found = parse(&records(&message(extensions), 1 << 14));
        assert_eq!(found, Err(expected), "{extensions:?}");
    };
    check(&[NAME, NAME], Malformed);
    check(&[PROTOCOLS, PROTOCOLS], Malformed);
    check(&[(0, b"")], Malformed);
    check(&[(0, b"\0\0")], Malformed);
    check(&[(0, b"\0\x07\0\0\x05a.b")], Malformed);
    check(&[(0, b"\0\x06\0\0\x03a.b!")], Malformed);
    check(&[(0, b"\0\x0c\0\0\x03a.b\0\0\x03c.d")], ServerName);
    check(&[(0, b"\0\x02\x01x")], ServerName);
    check(&[(16, b"")], Malformed);
    check(&[(16, b"\0\0")], Malformed);
    check(&[(16, b"\0\x01\0")], Malformed);
    check(&[(16, b"\0\x03\x03h2")], Malformed);
    check(&[(16, b"\0\x03\x02h2!")], Malformed);

    // Makes one length in the message wrong at a time.
    let right = message(&[NAME]);
    for at in [38, 40, 44, 46, 47, 50] {
        let mut wrong = right.clone();
        wrong[at] = wrong[at].wrapping_add(1);
        assert_eq!(parse(&records(&wrong, 99)), Err(Malformed), "byte {at}");
    }
}

#[test]
fn other_protocols_are_found_out_at_once() {
    let check = |bytes: &[u8]| {
        let last = bytes.len() - 1;
        assert_eq!(parse(&bytes[..last]), Ok(Parsed::Partial), "{bytes:?}");
        assert_eq!(parse(bytes), Err(ClientHelloError::NotTls), "{bytes:?}");
    };
    check(b"G");
    check(b"\x15");
    check(b"\x80");
    check(b"\x16\x02");
    check(b"\x16\x03\x01\0\0");
    check(b"\x16\x03\x01\x40\x01");
    check(b"\x16\x03\x01\0\x04\x02");
    check(b"\x16\x03\x01\0\x01\x01\x17");
}

#[test]
fn too_large() {
    let largest = MAX_FRAGMENT - HANDSHAKE_HEADER;
    let hello = |padding: usize| message(&[NAME, (21, &vec![0; padding])]);
    let rest = hello(0).len() - HANDSHAKE_HEADER;
    let fits = records(&hello(largest - rest), MAX_FRAGMENT);
    assert_eq!(fits.len(), MAX_CLIENT_HELLO);
    assert_eq!(complete(&fits).server_name.as_deref(), Some("io.a"));
    let early = parse(&records(&hello(largest - rest + 1), MAX_FRAGMENT)[..9]);
    assert_eq!(early, Err(ClientHelloError::TooLarge));
    // With one byte in each record, the limit also counts a record header for each byte.
    let split = records(&hello(4000), 1);
    let within = parse(&split[..MAX_CLIENT_HELLO - 1]);
    assert_eq!(within, Ok(Parsed::Partial));
    assert_eq!(parse(&split), Err(ClientHelloError::TooLarge));
}

/// Returns the first flight of a rustls client.
fn rustls_hello(
    name: &str,
    alpn: &[Vec<u8>],
    versions: &[&'static SupportedProtocolVersion],
    fragment: Option<usize>,
) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.to_vec();
    config.max_fragment_size = fragment;
    let name = name.to_owned().try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut sent = Vec::new();
    client.write_tls(&mut sent).unwrap();
    sent
}

/// Parses a hello with rustls. Returns `None` while rustls needs more bytes.
fn accepted(acceptor: &mut Acceptor, mut bytes: &[u8]) -> Result<Option<ClientHello>, ()> {
    while !bytes.is_empty() {
        acceptor.read_tls(&mut bytes).map_err(drop)?;
    }
    let accepted = acceptor.accept().map_err(drop)?;
    Ok(accepted.map(|accepted| {
        let hello = accepted.client_hello();
        let trim = |name: &str| name.strip_suffix('.').unwrap_or(name).to_owned();
        let alpn = hello.alpn().into_iter().flatten();
        let entry = |name: &[u8]| [&[u8::try_from(name.len()).unwrap()], name].concat();
        ClientHello {
            server_name: hello.server_name().map(trim),
            alpn: AlpnProtocols {
                list: alpn.flat_map(entry).collect(),
            },
        }
    }))
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z0-9_]{1,20}(\\.[a-z0-9]{1,20}){0,5}\\.[A-Za-z]{1,9}",
        1 => Just("192.0.2.7".to_owned()),
        1 => Just("2001:db8::7".to_owned()),
    ]
}

static TLS12: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
static TLS13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

fn any_versions() -> impl Strategy<Value = &'static [&'static SupportedProtocolVersion]> {
    prop_oneof![
        Just(rustls::ALL_VERSIONS),
        Just(&TLS12[..]),
        Just(&TLS13[..]),
    ]
}

fn any_alpn() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let protocol = proptest::collection::vec(any::<u8>(), 1..20);
    proptest::collection::vec(protocol, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Both parsers agree after every byte, with records of any size.
    #[test]
    fn rustls_reads_the_same(
        name in any_name(),
        alpn in any_alpn(),
        versions in any_versions(),
        fragment in proptest::option::of(32..300usize),
    ) {
        let sent = rustls_hello(&name, &alpn, versions, fragment);
        let mut acceptor = Acceptor::default();
        prop_assert_eq!(parse(b""), Ok(Parsed::Partial));
        for end in 1..=sent.len() {
            let theirs = accepted(&mut acceptor, &sent[end - 1..end]).unwrap();
            prop_assert_eq!(theirs.is_some(), end == sent.len());
            let theirs = theirs.map_or(Parsed::Partial, Parsed::Complete);
            prop_assert_eq!(parse(&sent[..end]), Ok(theirs));
        }
        let hello = complete(&sent);
        prop_assert_eq!(names(&hello), alpn);
    }

    /// If rustls accepts a damaged hello, this parser reads it in the same way.
    #[test]
    fn rustls_accepts_nothing_else(
        name in any_name(),
        alpn in any_alpn(),
        versions in any_versions(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut sent = rustls_hello(&name, &alpn, versions, None);
        for (at, byte) in damage {
            let at = at.index(sent.len());
            sent[at] = byte;
        }
        if let Ok(Some(theirs)) = accepted(&mut Acceptor::default(), &sent) {
            prop_assert_eq!(parse(&sent), Ok(Parsed::Complete(theirs)));
        }
    }
}
