//! Bytes from any peer as a PROXY protocol header: rejected, or read in one way only.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::transport::proxy_protocol::{
    Address, Checksum, Header, MAX_HEADER_LENGTH, Parsed, ProxyProtocolError, parse, push_v1,
    push_v2,
};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    pieces(bytes, whole);
    match whole {
        Ok(Parsed::Partial) => assert!(bytes.len() < MAX_HEADER_LENGTH),
        Ok(Parsed::Complete { consumed, header }) => {
            assert!(consumed <= bytes.len().min(MAX_HEADER_LENGTH));
            written(&header);
        }
        Err(_) => {}
    }
});

/// Checks that bytes that arrive one by one are read as if they had arrived at once.
fn pieces(bytes: &[u8], whole: Result<Parsed<'_>, ProxyProtocolError>) {
    let mut prefixes = (0..=bytes.len().min(MAX_HEADER_LENGTH)).map(|end| parse(&bytes[..end]));
    let decided = prefixes.find(|parsed| *parsed != Ok(Parsed::Partial));
    assert_eq!(decided.unwrap_or(Ok(Parsed::Partial)), whole);
}

/// Checks that the next hop's parser reads an accepted header in the same way, whether it is
/// written in version 1 or 2.
fn written(header: &Header<'_>) {
    for checksum in [Checksum::Omit, Checksum::Include] {
        let mut bytes = Vec::new();
        push_v2(header, checksum, &mut bytes);
        let again = complete(&bytes);
        match checksum {
            Checksum::Omit => assert_eq!(again, *header),
            // The checksum can take the space of another TLV.
            Checksum::Include => assert_eq!(addresses(&again), addresses(header)),
        }
    }
    let mut line = Vec::new();
    push_v1(header, &mut line);
    let again = complete(&line);
    if let Some((Address::Tcp(_), _)) = addresses(header) {
        assert_eq!(addresses(&again), addresses(header));
    } else {
        assert_eq!(again, Header::Local);
    }
}

fn complete(bytes: &[u8]) -> Header<'_> {
    match parse(bytes) {
        Ok(Parsed::Complete { consumed, header }) => {
            assert_eq!(consumed, bytes.len());
            header
        }
        other => panic!("{other:?}"),
    }
}

fn addresses<'a>(header: &Header<'a>) -> Option<(Address<'a>, Address<'a>)> {
    match *header {
        Header::Local => None,
        Header::Proxied {
            source,
            destination,
            ..
        } => Some((source, destination)),
    }
}
