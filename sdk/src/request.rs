//! The request whose route is being decided, as plugins see it.
//!
//! Owns the typed reads and edits over a head that lies in the proxy, or in memory under
//! test. Each read of a field crosses the sandbox; method, target, host and cookies cross once.

use std::cell::OnceCell;
use std::net::IpAddr;

use crate::head::Head;
use crate::{EditError, syntax};

/// A request head, read lazily: only what is asked for crosses into the sandbox.
///
/// Field values are octets, which need not be UTF-8 (RFC 9110, section 5.5). Edits apply
/// to what the chosen backend receives, in the order made, and are dropped where the
/// decision is a response; reads keep telling what the client sent.
pub struct Request {
    head: Head,
    method: OnceCell<String>,
    target: OnceCell<String>,
    host: OnceCell<Option<Vec<u8>>>,
    cookies: OnceCell<Vec<Vec<u8>>>,
}

/// The client of a request: the peer, or the address given by PROXY protocol or by a trusted proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Text form of RFC 5952; IPv4-mapped IPv6 as IPv4; no zone. Empty for a client on a Unix socket.
    pub address: String,
    /// Port of the peer, which differs for each connection; 0 for a Unix socket, and for a client that
    /// a trusted proxy named.
    pub port: u16,
}

impl Client {
    /// The address, an IPv4 one where it is an IPv6 one that stands for it (`::ffff:192.0.2.1`);
    /// none for a Unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        let address: IpAddr = self.address.parse().ok()?;
        Some(address.to_canonical())
    }
}

/// Facts of the TLS session of the client's own connection to the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Server name that the client asked for (SNI), in lower case.
    pub server_name: Option<String>,
    /// Protocol agreed by ALPN, as in `h2`.
    pub alpn: Option<String>,
}

impl Request {
    pub(crate) fn new(head: Head) -> Self {
        Self {
            head,
            method: OnceCell::new(),
            target: OnceCell::new(),
            host: OnceCell::new(),
            cookies: OnceCell::new(),
        }
    }

    /// The method as sent, as in `GET` (RFC 9110, section 9).
    pub fn method(&self) -> &str {
        self.method.get_or_init(|| self.head.method())
    }

    /// `http` or `https`; a trusted proxy's word counts.
    pub fn scheme(&self) -> String {
        self.head.scheme()
    }

    /// The version of HTTP: `1.0`, `1.1` or `2`; empty for a connection without HTTP.
    pub fn version(&self) -> String {
        self.head.version()
    }

    /// The target in origin form, as in `/a?b=c`; `*` for `OPTIONS *` (RFC 9112, section 3.2).
    pub fn path_with_query(&self) -> &str {
        self.target.get_or_init(|| self.head.path_with_query())
    }

    /// The target up to its first `?`, as in `/a`. Nothing is decoded.
    pub fn path(&self) -> &str {
        let target = self.path_with_query();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// What follows the first `?` of the target, as in `b=c`. Nothing is decoded.
    pub fn query(&self) -> Option<&str> {
        self.path_with_query()
            .split_once('?')
            .map(|(_, query)| query)
    }

    /// The value of the first parameter `name` of the query, as forms write it: `+` is a blank and
    /// `%41` an `A`, in names, too. An escape that is none is left as it is.
    pub fn query_param(&self, name: &str) -> Option<Vec<u8>> {
        self.query()?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key) == name.as_bytes()).then(|| decoded(value))
        })
    }

    /// The host that the request is for, with its port where it has one: the field
    /// `host`, or `:authority` of HTTP/2. None where the client sent neither (HTTP/1.0).
    pub fn host(&self) -> Option<&[u8]> {
        self.host.get_or_init(|| self.header("host")).as_deref()
    }

    /// [`host`](Self::host) without its port: `a` of `a:80`, `[::1]` of `[::1]:80`. An address such
    /// as `::1`, which must have brackets to be followed by a port, is left as it is.
    pub fn hostname(&self) -> Option<&[u8]> {
        self.host().map(syntax::without_port)
    }

    /// The value of the first line of the field `name`, which matches in any case.
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.header_lines(name).into_iter().next()
    }

    /// The value of the first line of the field `name` as text; none where there is no
    /// such line, or its value is not UTF-8.
    pub fn header_str(&self, name: &str) -> Option<String> {
        self.header(name)
            .and_then(|value| String::from_utf8(value).ok())
    }

    /// The value of every line of the field `name`, in the order received.
    pub fn header_lines(&self, name: &str) -> Vec<Vec<u8>> {
        self.head.header(name)
    }

    /// Every field line, names in lower case. Lines of one name are together, in the order
    /// received; the order of the names is not that of the request.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.head.headers()
    }

    /// The value of the first cookie `name`, whose case counts (RFC 6265, section 4.2).
    pub fn cookie(&self, name: &str) -> Option<Vec<u8>> {
        let lines = self.cookies.get_or_init(|| self.header_lines("cookie"));
        lines
            .iter()
            .flat_map(|line| line.split(|&octet| octet == b';'))
            .find_map(|pair| {
                let pair = pair.trim_ascii();
                let (key, value) = pair.split_at_checked(name.len())?;
                let value = value.strip_prefix(b"=")?;
                (key == name.as_bytes()).then(|| value.to_vec())
            })
    }

    /// The client: the peer, or the one that a trusted proxy named.
    pub fn client(&self) -> Client {
        self.head.client()
    }

    /// Facts of the TLS session; none for a request in the clear, such as one from a proxy that ends
    /// TLS, though [`scheme`](Self::scheme) may be `https` then.
    pub fn tls(&self) -> Option<Tls> {
        self.head.tls()
    }

    /// Subject of the verified client certificate, a distinguished name (RFC 4514), as in
    /// `CN=example.com,O=Example`. None without TLS, or if the client presented no certificate.
    pub fn client_certificate_subject(&self) -> Option<String> {
        self.head.client_certificate_subject()
    }

    /// Issuer of the client certificate, a distinguished name. None as for
    /// [`client_certificate_subject`](Self::client_certificate_subject).
    pub fn client_certificate_issuer(&self) -> Option<String> {
        self.head.client_certificate_issuer()
    }

    /// DNS names in lower case, addresses and URIs (SPIFFE, for example) of the client certificate, in
    /// its order. Empty without a certificate.
    pub fn client_certificate_names(&self) -> Vec<String> {
        self.head.client_certificate_names()
    }

    /// Serial number of the client certificate: hex, lower case, without leading zeros. None as for
    /// [`client_certificate_subject`](Self::client_certificate_subject).
    pub fn client_certificate_serial(&self) -> Option<String> {
        self.head.client_certificate_serial()
    }

    /// SHA-256 of the client certificate: hex, lower case. None as for
    /// [`client_certificate_subject`](Self::client_certificate_subject).
    pub fn client_certificate_sha256(&self) -> Option<String> {
        self.head.client_certificate_sha256()
    }

    /// Until when the client certificate is valid, in seconds since 1970. None as for
    /// [`client_certificate_subject`](Self::client_certificate_subject).
    pub fn client_certificate_not_after(&self) -> Option<u64> {
        self.head.client_certificate_not_after()
    }

    /// How many backends were tried before this call: 0 on the first.
    pub fn attempt(&self) -> u32 {
        self.head.attempt()
    }

    /// Replaces every line of the field `name` by one with this value.
    ///
    /// # Errors
    /// HTTP forbids the name or the value, or only the proxy may set the field.
    pub fn set_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.head.set_header(name, value.as_ref())
    }

    /// Adds one line, after those that are there.
    ///
    /// # Errors
    /// As [`set_header`](Self::set_header); `host`, of which a request has one, is forbidden.
    pub fn append_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.head.append_header(name, value.as_ref())
    }

    /// Removes every line of the field `name`, where there are any.
    ///
    /// # Errors
    /// As [`append_header`](Self::append_header).
    pub fn remove_header(&self, name: &str) -> Result<(), EditError> {
        self.head.remove_header(name)
    }

    /// Sets the target, in origin form.
    ///
    /// # Errors
    /// HTTP forbids the target, or it is longer than 8 KiB. A client can send such targets: where
    /// the new one is made of the old one, answer with a response rather than by `?`.
    pub fn set_path_with_query(&self, value: &str) -> Result<(), EditError> {
        self.head.set_path_with_query(value)
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }
}

/// What a form wrote (application/x-www-form-urlencoded).
fn decoded(text: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'+', _) => octets.push(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    octets.push(high << 4 | low);
                    rest = after;
                }
                _ => octets.push(first),
            },
            _ => octets.push(first),
        }
    }
    octets
}

/// The value of a hexadecimal digit.
fn digit(octet: u8) -> Option<u8> {
    let value = char::from(octet).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::Tls;
    use crate::testing::{ClientCertificate, RequestBuilder};

    #[test]
    fn the_target_splits_at_its_first_question_mark() {
        for (target, path, query) in [
            ("/", "/", None),
            ("/a?b=c", "/a", Some("b=c")),
            ("/a?", "/a", Some("")),
            ("/?a?b", "/", Some("a?b")),
            ("*", "*", None),
        ] {
            let request = RequestBuilder::get(target).build();
            assert_eq!((request.path(), request.query()), (path, query));
        }
    }

    #[test]
    fn a_client_has_an_address_unless_it_is_a_socket() {
        for (text, address) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("", None),
        ] {
            let request = RequestBuilder::get("/").client(text, 0).build();
            let expected = address.map(|address| address.parse().unwrap());
            assert_eq!(request.client().ip(), expected, "{text}");
        }
    }

    #[test]
    fn a_request_without_tls_has_no_certificate() {
        let request = RequestBuilder::get("/").build();
        assert_eq!((&*request.version(), &*request.scheme()), ("1.1", "http"));
        assert_eq!(request.tls(), None);
        assert_eq!(request.client_certificate_subject(), None);
        assert_eq!(request.client_certificate_not_after(), None);
        assert!(request.client_certificate_names().is_empty());
    }

    #[test]
    fn a_certificate_is_read_part_by_part() {
        let tls = Tls {
            server_name: Some("a.test".to_owned()),
            alpn: Some("h2".to_owned()),
        };
        let certificate = ClientCertificate {
            subject: "CN=a".to_owned(),
            issuer: "CN=b".to_owned(),
            names: vec!["a.test".to_owned(), "spiffe://b".to_owned()],
            serial: "1f".to_owned(),
            sha256: "abcd".to_owned(),
            not_after: 7,
        };
        let request = RequestBuilder::get("/")
            .version("2")
            .tls(tls.clone())
            .client_certificate(certificate)
            .build();
        assert_eq!((&*request.version(), &*request.scheme()), ("2", "https"));
        assert_eq!(request.tls(), Some(tls));
        let text = |value: Option<String>| value.unwrap();
        assert_eq!(text(request.client_certificate_subject()), "CN=a");
        assert_eq!(text(request.client_certificate_issuer()), "CN=b");
        assert_eq!(request.client_certificate_names(), ["a.test", "spiffe://b"]);
        assert_eq!(text(request.client_certificate_serial()), "1f");
        assert_eq!(text(request.client_certificate_sha256()), "abcd");
        assert_eq!(request.client_certificate_not_after(), Some(7));
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let request = RequestBuilder::get("/")
            .header("cookie", "ab=1; a=2;a=3")
            .header("Cookie", b"b=\xff; =x;c ; d=")
            .build();
        for (name, value) in [
            ("a", Some(&b"2"[..])),
            ("ab", Some(b"1")),
            ("A", None),
            ("b", Some(b"\xff")),
            ("c", None),
            ("d", Some(b"")),
            ("cookie", None),
        ] {
            assert_eq!(request.cookie(name).as_deref(), value, "{name}");
        }
    }

    #[test]
    fn a_field_is_read_in_any_case_and_as_octets() {
        let request = RequestBuilder::get("/")
            .header("Host", b"\xff.test")
            .header("X-A", "1")
            .header("x-a", "2")
            .build();
        assert_eq!(request.host(), Some(&b"\xff.test"[..]));
        assert_eq!(request.header_str("host"), None);
        assert_eq!(request.header_str("x-A").as_deref(), Some("1"));
        assert_eq!(request.header_lines("X-a"), [b"1", b"2"]);
        assert!(request.header_lines("y").is_empty());
    }

    #[test]
    fn a_port_is_no_part_of_a_hostname() {
        for (host, hostname) in [
            ("a", "a"),
            ("a:80", "a"),
            ("a:", "a"),
            (":80", ""),
            ("", ""),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("[::1]x", "[::1]x"),
            ("[::1", "[::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            let request = RequestBuilder::get("/").header("host", host).build();
            assert_eq!(request.hostname(), Some(hostname.as_bytes()), "{host}");
        }
        assert_eq!(RequestBuilder::get("/").build().hostname(), None);
    }

    #[test]
    fn a_parameter_is_decoded() {
        let request =
            RequestBuilder::get("/?a=1&b+c=d%20e&a=2&%66=%zz%4&g&=h&i=%e4%C3%9f&j==").build();
        for (name, value) in [
            ("a", Some(&b"1"[..])),
            ("b c", Some(b"d e")),
            ("f", Some(b"%zz%4")),
            ("g", Some(b"")),
            ("", Some(b"h")),
            ("i", Some(b"\xe4\xc3\x9f")),
            ("j", Some(b"=")),
            ("k", None),
            ("A", None),
        ] {
            assert_eq!(request.query_param(name).as_deref(), value, "{name}");
        }
        assert_eq!(RequestBuilder::get("/a").build().query_param("a"), None);
    }

    proptest! {
        /// Whatever a client sends: reads answer, and no one panics.
        #[test]
        fn any_octets_can_be_read(
            target in "[ -~]{0,40}",
            lines in proptest::collection::vec(
                ("(host|cookie|x-a)", proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
            name in "[ -~]{0,4}",
        ) {
            let mut request = RequestBuilder::get(&target);
            for (field, value) in &lines {
                request = request.header(field, value);
            }
            let request = request.build();
            prop_assert!(request.path().len() <= target.len());
            let _ = (request.query(), request.query_param(&name), request.cookie(&name));
            let first = lines.iter().find(|(field, _)| field == "host");
            prop_assert_eq!(request.host(), first.map(|(_, value)| value.as_slice()));
            if let (Some(host), Some(hostname)) = (request.host(), request.hostname()) {
                prop_assert!(host.starts_with(hostname));
            }
            prop_assert_eq!(request.header_str("x-a").map(String::into_bytes),
                request.header("x-a").filter(|value| str::from_utf8(value).is_ok()));
        }
    }
}
