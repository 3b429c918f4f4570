//! The request whose route is being decided, as plugins see it.
//!
//! Owns the typed reads and edits over a head that lies in the proxy, or in memory under
//! test. Each read of a field crosses the sandbox; method, target and host cross once.

use std::cell::OnceCell;

use crate::EditError;
use crate::head::Head;

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
}

/// The peer that sent a request, after PROXY protocol where that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// An IPv4 or IPv6 address in text form, or the path of a Unix socket.
    pub address: String,
    /// 0 for a Unix socket.
    pub port: u16,
}

/// Facts of the TLS session that a request came over.
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
        }
    }

    /// The method as sent, as in `GET` (RFC 9110, section 9).
    pub fn method(&self) -> &str {
        self.method.get_or_init(|| self.head.method())
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> String {
        self.head.scheme()
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

    /// The host that the request is for, with its port where it has one: the field
    /// `host`, or `:authority` of HTTP/2. None where the client sent neither (HTTP/1.0).
    pub fn host(&self) -> Option<&[u8]> {
        self.host.get_or_init(|| self.header("host")).as_deref()
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
        self.header_lines("cookie")
            .iter()
            .flat_map(|line| line.split(|&octet| octet == b';'))
            .find_map(|pair| {
                let pair = pair.trim_ascii();
                let (key, value) = pair.split_at_checked(name.len())?;
                let value = value.strip_prefix(b"=")?;
                (key == name.as_bytes()).then(|| value.to_vec())
            })
    }

    /// The peer that sent the request.
    pub fn client(&self) -> Client {
        self.head.client()
    }

    /// Facts of the TLS session; none for a request in the clear.
    pub fn tls(&self) -> Option<Tls> {
        self.head.tls()
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
    /// HTTP forbids the target.
    pub fn set_path_with_query(&self, value: &str) -> Result<(), EditError> {
        self.head.set_path_with_query(value)
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::RequestBuilder;

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
}
