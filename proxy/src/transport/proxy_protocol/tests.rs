//! Tests of both versions: tables of headers, and headers that are written and read back.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::v2::SIGNATURE;
use super::*;

fn tcp(address: &str) -> Address<'static> {
    Address::Tcp(address.parse().unwrap())
}

fn proxied<'a>(
    source: Address<'a>,
    destination: Address<'a>,
    extensions: Extensions<'a>,
) -> Header<'a> {
    Header::Proxied {
        source,
        destination,
        extensions,
    }
}

fn plain(source: &str, destination: &str) -> Header<'static> {
    proxied(tcp(source), tcp(destination), Extensions::default())
}

/// Checks that the bytes parse as this header, that fewer bytes are incomplete, and that bytes
/// after the header are ignored.
#[track_caller]
fn check(bytes: &[u8], expected: &Header<'_>) {
    for end in 0..bytes.len() {
        assert_eq!(parse(&bytes[..end]), Ok(Parsed::Partial), "first {end}");
    }
    let complete = Parsed::Complete {
        consumed: bytes.len(),
        header: *expected,
    };
    assert_eq!(parse(bytes), Ok(complete));
    assert_eq!(parse(&[bytes, b"\r\nGET"].concat()), Ok(complete));
}

#[test]
fn lines() {
    let check = |line: &str, expected| check(line.as_bytes(), &expected);
    check(
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
        plain("192.168.0.1:56324", "192.168.0.11:443"),
    );
    check(
        "PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n",
        plain("255.255.255.255:65535", "255.255.255.255:0"),
    );
    check(
        "PROXY TCP6 2001:DB8::1 2001:0db8:0:0:0:0:0:2 1 2\r\n",
        plain("[2001:db8::1]:1", "[2001:db8::2]:2"),
    );
    check(
        "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 1 2\r\n",
        plain("192.0.2.1:1", "192.0.2.2:2"),
    );
    check("PROXY UNKNOWN\r\n", Header::Local);
    check("PROXY UNKNOWN \r\n", Header::Local);
    check("PROXY UNKNOWN \u{ff} TCP4 \0 4 5 6 7\r\n", Header::Local);
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 16));
    assert_eq!(longest.len(), MAX_V1_LENGTH);
    check(&longest, Header::Local);
}

#[test]
fn bad_lines() {
    use ProxyProtocolError::{Address, Family, Fields, LineEnd, LineTooLong, NoSignature, Port};
    let check = |line: &str, expected| {
        assert_eq!(parse(line.as_bytes()), Err(expected), "{line:?}");
    };
    for other in ["G", "p", "PROXZ", "PROXY\t", "PROXY\r\n", "\x16\x03", "\n"] {
        check(other, NoSignature);
    }
    check("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", LineEnd);
    check("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rG", LineEnd);
    check("PROXY UNKNOWN \n", LineEnd);
    for line in [
        "TCP4",
        "TCP4 192.0.2.1 192.0.2.2 1",
        "TCP4 192.0.2.1 192.0.2.2 1 2 ",
        "TCP4 192.0.2.1 192.0.2.2 1 2 3",
        "TCP4 192.0.2.1  192.0.2.2 1 2",
        "TCP4 \u{e9} 192.0.2.2 1 2 3",
    ] {
        check(&format!("PROXY {line}\r\n"), Fields);
    }
    for line in [
        "", " TCP4", "UNKNOWNS", "unknown", "tcp4 1", "UDP4 1", "TCP5 1", "TCP\t4",
    ] {
        check(&format!("PROXY {line}\r\n"), Family);
    }
    for source in [
        "192.0.2.01",
        "192.0.2",
        "192.0.2.256",
        "0xc0.0.2.1",
        "+192.0.2.1",
        "::1",
        "",
        "a.b",
    ] {
        check(&format!("PROXY TCP4 {source} 192.0.2.2 1 2\r\n"), Address);
        check(&format!("PROXY TCP4 192.0.2.2 {source} 1 2\r\n"), Address);
    }
    for source in [
        "192.0.2.1",
        "::1%1",
        "[::1]",
        "1::2::3",
        ":::",
        "1:2:3:4:5:6:7",
        "00001::",
    ] {
        check(&format!("PROXY TCP6 {source} ::2 1 2\r\n"), Address);
    }
    for port in [
        "",
        "01",
        "00",
        "+1",
        "-1",
        "65536",
        "1.0",
        "0x1",
        "99999999999",
    ] {
        check(
            &format!("PROXY TCP4 192.0.2.1 192.0.2.2 {port} 2\r\n"),
            Port,
        );
        check(&format!("PROXY TCP6 ::1 ::2 2 {port}\r\n"), Port);
    }
    let long = format!("PROXY UNKNOWN {}", "f".repeat(200));
    check(&long, LineTooLong);
    check(&long[..MAX_V1_LENGTH], LineTooLong);
    check(&format!("{}\r\n", &long[..MAX_V1_LENGTH - 1]), LineTooLong);
}

/// Builds a header of version 2.
fn v2(command: u8, family: u8, rest: &[&[u8]]) -> Vec<u8> {
    let rest = rest.concat();
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family][..], &length, &rest].concat()
}

const INET: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 187];

fn inet(extensions: Extensions<'_>) -> Header<'_> {
    proxied(tcp("192.0.2.1:56324"), tcp("192.0.2.2:443"), extensions)
}

#[test]
fn binary_addresses() {
    let none = Extensions::default();
    check(&v2(0x21, 0x11, &[INET]), &inet(none));
    let inet6 = [&[0x20; 15][..], &[1], &[0x20; 15], &[2, 0, 80, 1, 187]].concat();
    check(
        &v2(0x21, 0x21, &[&inet6]),
        &plain(
            "[2020:2020:2020:2020:2020:2020:2020:2001]:80",
            "[2020:2020:2020:2020:2020:2020:2020:2002]:443",
        ),
    );
    let mut unix = [0; 216];
    unix[..5].copy_from_slice(b"/a\0bc");
    unix[108..112].copy_from_slice(b"\0d\0e");
    let expected = proxied(Address::Unix(b"/a"), Address::Unix(b"\0d\0e"), none);
    check(&v2(0x21, 0x31, &[&unix]), &expected);
    let unnamed = proxied(Address::Unix(&[b'x'; 108]), Address::Unix(b""), none);
    check(&v2(0x21, 0x31, &[&[b'x'; 108], &[0; 108]]), &unnamed);
}

#[test]
fn binary_headers_without_a_client() {
    check(&v2(0x20, 0x00, &[]), &Header::Local);
    // The rest of the header must be skipped.
    check(&v2(0x20, 0xff, &[b"anything"]), &Header::Local);
    check(
        &v2(0x20, 0x11, &[INET, &[3, 0, 4, 1, 2, 3, 4]]),
        &Header::Local,
    );
    check(&v2(0x21, 0x00, &[b"anything"]), &Header::Local);
    check(&v2(0x21, 0x01, &[]), &Header::Local);
    check(&v2(0x21, 0x10, &[INET]), &Header::Local);
    check(&v2(0x21, 0x12, &[INET]), &Header::Local);
    check(&v2(0x20, 0x00, &[&[0; MAX_V2_LENGTH]]), &Header::Local);
}

#[test]
fn extensions() {
    let tlvs: &[&[u8]] = &[
        INET,
        b"\x01\0\x02h2",
        b"\x04\0\0",
        b"\x02\0\x04io.a",
        b"\x05\0\x02\xff\0",
        b"\xe0\0\x01x",
        b"\x20\0\x1f\x03\0\0\0\0",
        b"\x21\0\x07TLSv1.3\x22\0\x06J. Doe\x23\0\x04AEAD",
    ];
    let certificate = ClientCertificate {
        presented: Presented::OnConnection,
        is_verified: true,
        common_name: Some("J. Doe"),
    };
    let expected = Extensions {
        alpn: Some(b"h2"),
        authority: Some("io.a"),
        unique_id: Some(b"\xff\0"),
        tls: Some(Tls {
            version: Some("TLSv1.3"),
            certificate: Some(certificate),
        }),
    };
    check(&v2(0x21, 0x11, tlvs), &inet(expected));

    let check_tls = |value: &[u8], expected| {
        let bytes = v2(
            0x21,
            0x11,
            &[INET, &[0x20, 0, u8::try_from(value.len()).unwrap()], value],
        );
        let tls = Extensions {
            tls: expected,
            ..Extensions::default()
        };
        check(&bytes, &inet(tls));
    };
    check_tls(b"\0\0\0\0\0\x21\0\x01x", None);
    check_tls(b"\x01\0\0\0\0\x22\0\x01x", Some(Tls::default()));
    let resumed = ClientCertificate {
        presented: Presented::InSession,
        is_verified: false,
        common_name: None,
    };
    let tls = Tls {
        version: None,
        certificate: Some(resumed),
    };
    check_tls(b"\x05\0\0\0\x01", Some(tls));
}

#[test]
fn bad_binary_headers() {
    use ProxyProtocolError::{
        Checksum, Command, DuplicateTlv, Family, NoSignature, Tlv, TooLarge, TooShort, Version,
    };
    let check = |bytes: &[u8], expected| assert_eq!(parse(bytes), Err(expected), "{bytes:?}");
    check(b"\r\n\r\n\0\r\nQUIX", NoSignature);
    // Rejected before the rest has arrived.
    let start = |rest: &[u8]| [&SIGNATURE[..], rest].concat();
    check(&start(&[0x11]), Version);
    check(&start(&[0x31]), Version);
    check(&start(&[0x22]), Command);
    check(&start(&[0x21, 0x41]), Family);
    check(&start(&[0x21, 0x13]), Family);
    check(&start(&[0x21, 0x11, 0x10, 0x01]), TooLarge);
    check(&start(&[0x20, 0x00, 0xff, 0xff]), TooLarge);

    check(&v2(0x21, 0x11, &[&INET[1..]]), TooShort);
    check(&v2(0x21, 0x21, &[INET]), TooShort);
    check(&v2(0x21, 0x31, &[&[0; 215]]), TooShort);
    let check = |tlvs: &[u8], expected| check(&v2(0x21, 0x11, &[INET, tlvs]), expected);
    check(b"\xe0", Tlv(0xe0));
    check(b"\x04\0", Tlv(4));
    check(b"\x04\0\x02x", Tlv(4));
    check(b"\x02\0\x01\xff", Tlv(2));
    check(&[&[2, 1, 0][..], &[b'a'; 256]].concat(), Tlv(2));
    check(&[&[5, 0, 129][..], &[0; 129]].concat(), Tlv(5));
    check(b"\x20\0\x04\x01\0\0\0", Tlv(0x20));
    check(b"\x20\0\x08\x01\0\0\0\0\x21\0\x01", Tlv(0x21));
    check(b"\x20\0\x09\x01\0\0\0\0\x22\0\x01\xff", Tlv(0x22));
    check(b"\x01\0\x01a\x01\0\x01a", DuplicateTlv(1));
    check(b"\x02\0\x01a\x02\0\x01a", DuplicateTlv(2));
    check(
        b"\x20\0\x05\0\0\0\0\0\x20\0\x05\0\0\0\0\0",
        DuplicateTlv(0x20),
    );
    check(
        b"\x20\0\x0d\x01\0\0\0\0\x21\0\x01a\x21\0\x01a",
        DuplicateTlv(0x21),
    );
    check(b"\x03\0\x03\0\0\0", Tlv(3));
    check(b"\x03\0\x04\0\0\0\0", Checksum);
}

#[test]
fn checksums() {
    let mut written = Vec::new();
    push_v2(
        &plain("192.0.2.1:1", "192.0.2.2:2"),
        Checksum::Include,
        &mut written,
    );
    check(&written, &plain("192.0.2.1:1", "192.0.2.2:2"));
    for at in V2_FIXED_LENGTH..written.len() {
        // Changing the TLV's type or length removes the checksum or makes it another TLV.
        if (28..31).contains(&at) {
            continue;
        }
        written[at] ^= 1;
        assert_eq!(parse(&written), Err(ProxyProtocolError::Checksum), "{at}");
        written[at] ^= 1;
    }
}

#[test]
fn written() {
    let check = |header: &Header<'_>, line: &str, binary: &[u8]| {
        let (mut first, mut second) = (b"before".to_vec(), b"before".to_vec());
        push_v1(header, &mut first);
        push_v2(header, Checksum::Omit, &mut second);
        assert_eq!(first, format!("before{line}\r\n").as_bytes());
        assert_eq!(second, [b"before", binary].concat());
    };
    check(&Header::Local, "PROXY UNKNOWN", &v2(0x20, 0x00, &[]));
    check(
        &plain("192.0.2.1:56324", "[::ffff:192.0.2.2]:443"),
        "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443",
        &v2(0x21, 0x11, &[INET]),
    );
    let mapped = [&[0; 10][..], &[255, 255, 192, 0, 2, 1]].concat();
    let other = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1, 0, 7, 0, 8]].concat();
    check(
        &plain("192.0.2.1:7", "[2001:db8::1]:8"),
        "PROXY TCP6 ::ffff:c000:201 2001:db8::1 7 8",
        &v2(0x21, 0x21, &[&mapped, &other]),
    );
    let none = Extensions::default();
    check(
        &proxied(tcp("192.0.2.1:7"), Address::Unix(b"/a"), none),
        "PROXY UNKNOWN",
        &v2(0x21, 0x00, &[]),
    );
    let padded = [&b"/a"[..], &[0; 106]].concat();
    check(
        &proxied(Address::Unix(&[b'x'; 109]), Address::Unix(b"/a"), none),
        "PROXY UNKNOWN",
        &v2(0x21, 0x31, &[&[0; 108], &padded]),
    );
}

#[test]
fn extensions_without_room_are_left_out() {
    let (long, id) = ("x".repeat(MAX_V2_LENGTH), [7; MAX_UNIQUE_ID + 1]);
    let tls = Tls {
        version: Some("TLSv1.2"),
        certificate: Some(ClientCertificate {
            presented: Presented::InSession,
            is_verified: true,
            common_name: Some(&long),
        }),
    };
    let header = inet(Extensions {
        alpn: Some(long.as_bytes()),
        authority: Some(&long[..=MAX_AUTHORITY]),
        unique_id: Some(&id),
        tls: Some(tls),
    });
    let mut written = Vec::new();
    push_v2(&header, Checksum::Include, &mut written);
    let certificate = ClientCertificate {
        presented: Presented::InSession,
        is_verified: true,
        common_name: None,
    };
    let kept = Extensions {
        tls: Some(Tls {
            version: Some("TLSv1.2"),
            certificate: Some(certificate),
        }),
        ..Extensions::default()
    };
    check(&written, &inet(kept));
}

/// Generates TCP addresses. IPv4 addresses are in canonical form, as in parsed headers.
fn any_tcp() -> impl Strategy<Value = Address<'static>> {
    any::<(IpAddr, u16)>()
        .prop_map(|(ip, port)| Address::Tcp(SocketAddr::new(ip.to_canonical(), port)))
}

/// Generates paths, abstract names and empty names.
fn any_path() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(1..=u8::MAX, 0..108).prop_flat_map(|name| {
        let abstract_name = [&[0], &*name].concat();
        let is_abstract = !name.is_empty();
        prop_oneof![
            Just(name),
            Just(if is_abstract {
                abstract_name
            } else {
                Vec::new()
            }),
        ]
    })
}

fn any_certificate() -> impl Strategy<Value = (Presented, bool, Option<String>)> {
    let presented = prop_oneof![Just(Presented::OnConnection), Just(Presented::InSession)];
    (presented, any::<bool>(), proptest::option::of(".{0,99}"))
}

proptest! {
    #[test]
    fn written_lines_are_read_again(source in any_tcp(), destination in any_tcp()) {
        let mut written = Vec::new();
        let header = proxied(source, destination, Extensions::default());
        push_v1(&header, &mut written);
        prop_assert!(written.len() <= MAX_V1_LENGTH);
        check(&written, &header);
    }

    #[test]
    fn written_binary_headers_are_read_again(
        addresses in (any_tcp(), any_tcp()),
        paths in proptest::option::of((any_path(), any_path())),
        alpn in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..99)),
        authority in proptest::option::of(".{0,60}"),
        unique_id in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..=MAX_UNIQUE_ID)),
        tls in proptest::option::of((
            proptest::option::of("TLSv1\\.[0-3]"),
            proptest::option::of(any_certificate()),
        )),
        checksum in prop_oneof![Just(Checksum::Omit), Just(Checksum::Include)],
    ) {
        let tls = tls.as_ref().map(|(version, certificate)| Tls {
            version: version.as_deref(),
            certificate: certificate.as_ref().map(|certificate| ClientCertificate {
                presented: certificate.0,
                is_verified: certificate.1,
                common_name: certificate.2.as_deref(),
            }),
        });
        let extensions = Extensions {
            alpn: alpn.as_deref(),
            authority: authority.as_deref(),
            unique_id: unique_id.as_deref(),
            tls,
        };
        let (source, destination) = match &paths {
            Some((source, destination)) => (Address::Unix(source), Address::Unix(destination)),
            None => addresses,
        };
        let header = proxied(source, destination, extensions);
        let mut written = Vec::new();
        push_v2(&header, checksum, &mut written);
        check(&written, &header);
    }

    #[test]
    fn any_bytes_behind_a_signature(
        signature in prop_oneof![Just(&b"PROXY "[..]), Just(&SIGNATURE[..])],
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [signature, &rest].concat();
        if let Ok(Parsed::Complete { consumed, .. }) = parse(&bytes) {
            prop_assert!(consumed <= bytes.len());
        }
    }
}
