//! A head in memory, for tests of plugins without proxy or sandbox.
//!
//! Made by `testing::RequestBuilder`. Reads return the same as in the proxy. `testing` answers the
//! questions.

use std::time::Duration;

use super::effects::{Edit, Effects, Options, ResponseEdit, is_value};

/// The verified certificate of a client, as [`Request`](crate::Request) returns its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Subject, a distinguished name (RFC 4514).
    pub subject: String,
    /// Issuer, a distinguished name (RFC 4514).
    pub issuer: String,
    /// DNS names and URIs.
    pub names: Vec<String>,
    /// Serial number, in hex.
    pub serial: String,
    /// SHA-256 of the certificate, in hex.
    pub sha256: String,
    /// Time of expiry, in seconds since 1970.
    pub not_after: u64,
}

/// The part of a body that has arrived.
#[derive(Clone)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_complete: bool,
}

/// A request head, and the edits and options that a plugin made.
#[derive(Default)]
pub struct Head {
    pub(crate) method: String,
    pub(crate) scheme: String,
    pub(crate) version: Option<String>,
    pub(crate) path_with_query: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) client_address: String,
    pub(crate) client_port: u16,
    pub(crate) server_name: Option<String>,
    pub(crate) alpn: Option<String>,
    pub(crate) client_certificate: Option<ClientCertificate>,
    pub(crate) attempt: u32,
    pub(crate) body: Option<Body>,
    /// Salts of the shares that the request is in.
    pub(crate) shares: Vec<String>,
    pub(super) effects: Effects,
}

impl Head {
    /// Creates a head of a request from 127.0.0.1, without TLS.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            scheme: "http".to_owned(),
            version: Some("1.1".to_owned()),
            path_with_query: target.to_owned(),
            client_address: "127.0.0.1".to_owned(),
            client_port: 49152,
            ..Self::default()
        }
    }
}

/// Reads.
impl Head {
    pub(crate) fn method(&self) -> String {
        self.method.clone()
    }

    pub(crate) fn scheme(&self) -> String {
        self.scheme.clone()
    }

    pub(crate) fn version(&self) -> Option<String> {
        self.version.clone()
    }

    pub(crate) fn authority(&self) -> Vec<u8> {
        self.header("host").into_iter().next().unwrap_or_default()
    }

    pub(crate) fn host(&self) -> String {
        if self.version.is_none() {
            return self.server_name.clone().unwrap_or_default();
        }
        let authority = self.authority();
        let host = without_port(&authority).to_ascii_lowercase();
        let host = host.strip_suffix(b".").unwrap_or(&host);
        String::from_utf8_lossy(host).into_owned()
    }

    pub(crate) fn path_with_query(&self) -> String {
        self.path_with_query.clone()
    }

    pub(crate) fn path(&self) -> String {
        let target = &self.path_with_query;
        let path = target.split_once('?').map_or(&**target, |(path, _)| path);
        path.to_owned()
    }

    pub(crate) fn query_parameter(&self, name: &str) -> Option<Vec<u8>> {
        let (_, query) = self.path_with_query.split_once('?')?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key) == name.as_bytes()).then(|| decoded(value))
        })
    }

    pub(crate) fn header(&self, name: &str) -> Vec<Vec<u8>> {
        self.headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.clone())
            .collect()
    }

    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.headers.clone()
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<Vec<u8>> {
        self.header("cookie")
            .iter()
            .flat_map(|line| line.split(|&octet| octet == b';'))
            .find_map(|pair| {
                let pair = pair.trim_ascii();
                let (key, value) = pair.split_at_checked(name.len())?;
                let value = value.strip_prefix(b"=")?;
                (key == name.as_bytes()).then(|| value.to_vec())
            })
    }

    pub(crate) fn client_address(&self) -> String {
        self.client_address.clone()
    }

    pub(crate) fn client_port(&self) -> u16 {
        self.client_port
    }

    pub(crate) fn server_name(&self) -> Option<String> {
        self.server_name.clone()
    }

    pub(crate) fn alpn(&self) -> Option<String> {
        self.alpn.clone()
    }

    fn of_certificate<T>(&self, part: impl FnOnce(&ClientCertificate) -> T) -> Option<T> {
        self.client_certificate.as_ref().map(part)
    }

    pub(crate) fn client_certificate_subject(&self) -> Option<String> {
        self.of_certificate(|certificate| certificate.subject.clone())
    }

    pub(crate) fn client_certificate_issuer(&self) -> Option<String> {
        self.of_certificate(|certificate| certificate.issuer.clone())
    }

    pub(crate) fn client_certificate_names(&self) -> Vec<String> {
        self.of_certificate(|certificate| certificate.names.clone())
            .unwrap_or_default()
    }

    pub(crate) fn client_certificate_serial(&self) -> Option<String> {
        self.of_certificate(|certificate| certificate.serial.clone())
    }

    pub(crate) fn client_certificate_sha256(&self) -> Option<String> {
        self.of_certificate(|certificate| certificate.sha256.clone())
    }

    pub(crate) fn client_certificate_not_after(&self) -> Option<u64> {
        self.of_certificate(|certificate| certificate.not_after)
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(crate) fn body_prefix(&self) -> Option<Vec<u8>> {
        self.body.as_ref().map(|body| body.bytes.clone())
    }

    pub(crate) fn body_is_complete(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.is_complete)
    }

    pub(crate) fn ask(&self, question: u32) -> Option<u32> {
        crate::testing::ask(self, question)
    }

    pub(crate) fn ask_value(&self, question: u32) -> Option<Vec<u8>> {
        crate::testing::ask_value(self, question)
    }
}

/// Edits.
impl Head {
    fn edit(&self, edit: Edit) -> Result<(), String> {
        self.check_http()?;
        self.effects.edit(edit)
    }

    fn edit_response(&self, edit: ResponseEdit) -> Result<(), String> {
        self.check_http()?;
        self.effects.edit_response(edit)
    }

    fn check_http(&self) -> Result<(), String> {
        match self.version {
            Some(_) => Ok(()),
            None => Err("a connection without HTTP has nothing to edit".to_owned()),
        }
    }

    pub(crate) fn set_header(&self, name: &str, value: &[u8]) -> Result<(), String> {
        let edit = Edit::SetHeader(name.to_ascii_lowercase(), value.to_vec());
        self.edit(edit)
    }

    pub(crate) fn set_header_by(&self, name: &str, question: u32) -> Result<(), String> {
        match self.ask_value(question).filter(|value| is_value(value)) {
            Some(value) => self.set_header(name, &value),
            None => self.remove_header(name),
        }
    }

    pub(crate) fn append_header(&self, name: &str, value: &[u8]) -> Result<(), String> {
        let edit = Edit::AppendHeader(name.to_ascii_lowercase(), value.to_vec());
        self.edit(edit)
    }

    pub(crate) fn remove_header(&self, name: &str) -> Result<(), String> {
        self.edit(Edit::RemoveHeader(name.to_ascii_lowercase()))
    }

    pub(crate) fn set_authority(&self, value: &[u8]) -> Result<(), String> {
        self.edit(Edit::SetAuthority(value.to_vec()))
    }

    pub(crate) fn set_path_with_query(&self, value: &str) -> Result<(), String> {
        self.edit(Edit::SetPathWithQuery(value.to_owned()))
    }

    pub(crate) fn replace_path_prefix(&self, length: u32, replacement: &str) -> Result<(), String> {
        let path = self.path();
        let is_boundary = usize::try_from(length).is_ok_and(|length| path.is_char_boundary(length));
        if !is_boundary {
            return Err(format!("the path has no {length} bytes to replace"));
        }
        let edit = Edit::ReplacePathPrefix(length, replacement.to_owned());
        self.edit(edit)
    }

    pub(crate) fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), String> {
        let edit = ResponseEdit::SetHeader(name.to_ascii_lowercase(), value.to_vec());
        self.edit_response(edit)
    }

    pub(crate) fn append_response_header(&self, name: &str, value: &[u8]) -> Result<(), String> {
        let edit = ResponseEdit::AppendHeader(name.to_ascii_lowercase(), value.to_vec());
        self.edit_response(edit)
    }

    pub(crate) fn remove_response_header(&self, name: &str) -> Result<(), String> {
        let edit = ResponseEdit::RemoveHeader(name.to_ascii_lowercase());
        self.edit_response(edit)
    }
}

/// Options. A value that the proxy does not accept fails the test, since the proxy would count it
/// as a fault.
impl Head {
    pub(crate) fn set_affinity(&self, key: &[u8]) {
        self.effects.options.borrow_mut().affinity = Some(key.to_vec());
    }

    pub(crate) fn set_affinity_by(&self, question: u32) {
        let key = self.ask_value(question);
        self.effects.options.borrow_mut().affinity = key;
    }

    pub(crate) fn set_queue_timeout(&self, milliseconds: u32) {
        let timeout = Duration::from_millis(milliseconds.into());
        self.effects.options.borrow_mut().queue_timeout = Some(timeout);
    }

    pub(crate) fn set_connect_timeout(&self, milliseconds: u32) {
        self.effects.options.borrow_mut().connect_timeout = Some(above_zero(milliseconds));
    }

    pub(crate) fn set_server_timeout(&self, milliseconds: u32) {
        self.effects.options.borrow_mut().server_timeout = Some(above_zero(milliseconds));
    }

    pub(crate) fn set_tunnel_timeout(&self, milliseconds: u32) {
        self.effects.options.borrow_mut().tunnel_timeout = Some(above_zero(milliseconds));
    }

    pub(crate) fn set_tries(&self, tries: u32) {
        assert!(
            (1..=16).contains(&tries),
            "{tries} tries: 1 to 16 are allowed"
        );
        self.effects.options.borrow_mut().tries = Some(tries);
    }

    pub(crate) fn tag(&self, name: &str, value: &str) {
        self.effects.tag(name, value.as_bytes());
    }

    pub(crate) fn tag_by(&self, name: &str, question: u32) {
        if let Some(value) = self.ask_value(question) {
            self.effects.tag(name, &value);
        }
    }
}

/// Effects of the plugin.
impl Head {
    pub(crate) fn edits(&self) -> Vec<Edit> {
        self.effects.edits.borrow().clone()
    }

    pub(crate) fn response_edits(&self) -> Vec<ResponseEdit> {
        self.effects.response_edits.borrow().clone()
    }

    pub(crate) fn options(&self) -> Options {
        self.effects.options.borrow().clone()
    }
}

fn above_zero(milliseconds: u32) -> Duration {
    assert!(milliseconds > 0, "only the queue timeout can be 0");
    Duration::from_millis(milliseconds.into())
}

/// Returns a host without its port: `a` for `a:80`, `[::1]` for `[::1]:80`.
fn without_port(authority: &[u8]) -> &[u8] {
    let start = match authority.first() {
        Some(b'[') => authority.iter().position(|&octet| octet == b']'),
        _ => None,
    };
    let mut octets = authority.iter().enumerate().skip(start.unwrap_or(0));
    let colon = octets.find(|(_, octet)| **octet == b':');
    colon
        .and_then(|(at, _)| authority.get(..at))
        .unwrap_or(authority)
}

/// Decodes form data (application/x-www-form-urlencoded).
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

/// Returns the value of a hexadecimal digit.
fn digit(octet: u8) -> Option<u8> {
    let value = char::from(octet).to_digit(16)?;
    u8::try_from(value).ok()
}
