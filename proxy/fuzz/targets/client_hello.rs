//! Bytes from any client as a `ClientHello`: if rustls accepts a message, this proxy's parser reads
//! it in the same way.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::transport::client_hello::{
    ClientHello, ClientHelloError, MAX_CLIENT_HELLO, Parsed, parse,
};
use rustls::server::{Accepted, Acceptor};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    pieces(bytes, &whole);
    if whole == Ok(Parsed::Partial) {
        assert!(bytes.len() < MAX_CLIENT_HELLO);
    }
    if let Ok(Parsed::Complete(hello)) = &whole {
        checked(hello);
    }
    if let Some(accepted) = accepted(bytes) {
        match whole {
            Ok(Parsed::Complete(hello)) => same(&hello, &accepted),
            // rustls accepts messages of up to 64 KiB.
            Err(ClientHelloError::TooLarge) => {}
            other => panic!("rustls accepts {other:?}"),
        }
    }
});

/// Checks that bytes that arrive in parts are read as if they had arrived at once.
fn pieces(bytes: &[u8], whole: &Result<Parsed, ClientHelloError>) {
    let mut prefixes = (0..=bytes.len()).map(|end| parse(&bytes[..end]));
    let decided = prefixes.find(|parsed| *parsed != Ok(Parsed::Partial));
    assert_eq!(decided.as_ref().unwrap_or(&Ok(Parsed::Partial)), whole);
}

fn checked(hello: &ClientHello) {
    if let Some(name) = &hello.server_name {
        assert!(!name.is_empty() && name.len() <= 253);
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase()));
    }
    assert!(hello.alpn.iter().all(|protocol| !protocol.is_empty()));
}

/// Returns `None` if rustls needs more bytes or rejects them.
fn accepted(mut bytes: &[u8]) -> Option<Accepted> {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        acceptor.read_tls(&mut bytes).ok()?;
        if let Some(accepted) = acceptor.accept().ok()? {
            return Some(accepted);
        }
    }
    None
}

fn same(ours: &ClientHello, theirs: &Accepted) {
    let theirs = theirs.client_hello();
    let name = theirs.server_name();
    let name = name.map(|name| name.strip_suffix('.').unwrap_or(name));
    assert_eq!(ours.server_name.as_deref(), name);
    let protocols = theirs.alpn().into_iter().flatten();
    assert!(ours.alpn.iter().eq(protocols));
}
