//! Parts of a request that questions refer to, by their names in `over`.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

use super::body_json::Pointer;
use super::reads;
use super::subject::Subject;
use super::text::Quoted;
use crate::http::field::FieldKind;
use crate::http::syntax;

/// Maximum length of a definition's `over`, in bytes. Names sent by clients are shorter.
const MAX_NAME: usize = 4096;

/// A part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// `method`.
    Method,
    /// `scheme`.
    Scheme,
    /// `authority`.
    Authority,
    /// `host`.
    Host,
    /// `path`.
    Path,
    /// `path-with-query`.
    PathWithQuery,
    /// `query:NAME`.
    Query(Box<str>),
    /// `header:NAME`, with the name in lower case: each line.
    Header(Box<str>),
    /// `values:NAME`, with the name in lower case: each member of each line.
    Values(Box<str>),
    /// `cookie:NAME`.
    Cookie(Box<str>),
    /// `client-address`.
    ClientAddress,
    /// `server-name`.
    ServerName,
    /// `body-json:POINTER`.
    BodyJson(Pointer),
}

/// Reasons why a string does not name a part.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PartError {
    /// There is no part with this name.
    #[error(
        "{} is not a part of a request: parts are method, scheme, authority, host, path, \
         path-with-query, query:NAME, header:NAME, values:NAME, cookie:NAME, client-address, \
         server-name and body-json:POINTER",
        Quoted(.0)
    )]
    Unknown(Box<str>),
    /// The NAME in the string is not valid for this kind of part.
    #[error("{} in {} is not the name of a {}", Quoted(.name), Quoted(.part), .of)]
    Name {
        /// The whole string.
        part: Box<str>,
        /// The invalid NAME in the string.
        name: Box<str>,
        /// Kind of thing that the NAME should identify, such as a cookie.
        of: &'static str,
    },
    /// The POINTER is not a JSON pointer (RFC 6901), or has too many members.
    #[error(
        "{} is not a JSON pointer (RFC 6901): a pointer begins with a slash, as in /model, \
         escapes ~ as ~0 and / as ~1, and names at most 64 members",
        Quoted(.0)
    )]
    Pointer(Box<str>),
    /// The string is longer than 4,096 bytes.
    #[error("{} is longer than 4,096 bytes", Quoted(.0))]
    Long(Box<str>),
    /// `random` is used outside of a share.
    #[error("\"random\" can be used only for shares")]
    Random,
}

impl Part {
    /// Parses the `over` of a definition.
    ///
    /// # Errors
    /// The string does not name a part.
    pub fn parse(over: &str) -> Result<Part, PartError> {
        if over.len() > MAX_NAME {
            return Err(PartError::Long(over.into()));
        }
        if let Some((kind, name)) = over.split_once(':') {
            return Part::parse_named(over, kind, name);
        }
        Ok(match over {
            "method" => Part::Method,
            "scheme" => Part::Scheme,
            "authority" => Part::Authority,
            "host" => Part::Host,
            "path" => Part::Path,
            "path-with-query" => Part::PathWithQuery,
            "client-address" => Part::ClientAddress,
            "server-name" => Part::ServerName,
            "random" => return Err(PartError::Random),
            _ => return Err(PartError::Unknown(over.into())),
        })
    }

    fn parse_named(over: &str, kind: &str, name: &str) -> Result<Part, PartError> {
        let named = |of, is_name: bool| {
            is_name.then(|| Box::from(name)).ok_or(PartError::Name {
                part: over.into(),
                name: name.into(),
                of,
            })
        };
        let field = || named("header field", syntax::is_name(name.as_bytes()));
        Ok(match kind {
            "query" => Part::Query(named("query parameter", !name.is_empty())?),
            "header" => Part::Header(field()?.to_ascii_lowercase().into()),
            "values" => Part::Values(field()?.to_ascii_lowercase().into()),
            "cookie" => Part::Cookie(named("cookie", is_cookie_name(name))?),
            "body-json" => {
                let pointer = Pointer::parse(name);
                Part::BodyJson(pointer.ok_or_else(|| PartError::Pointer(name.into()))?)
            }
            _ => return Err(PartError::Unknown(over.into())),
        })
    }

    /// Returns the value of the part, or of its first line or member. None if the request does not
    /// have the part.
    pub fn first<'a>(&'a self, subject: Subject<'a>) -> Option<Cow<'a, [u8]>> {
        let head = subject.head;
        Some(match self {
            Part::Method => reads::method(head).into(),
            Part::Scheme => reads::scheme(head).as_bytes().into(),
            Part::Authority => reads::authority(head).into(),
            Part::Host => match reads::host(head) {
                Cow::Borrowed(host) => host.as_bytes().into(),
                Cow::Owned(host) => host.into_bytes().into(),
            },
            Part::Path => reads::path(head).into(),
            Part::PathWithQuery => reads::path_with_query(head).into(),
            Part::Query(name) => reads::query_parameter(head, name.as_bytes())?,
            Part::Header(name) => reads::header(head, name.as_bytes()).next()?.into(),
            Part::Values(name) => {
                let mut lines = reads::header(head, name.as_bytes());
                lines.find_map(|line| syntax::members(line).next())?.into()
            }
            Part::Cookie(name) => reads::cookie(head, name.as_bytes())?.into(),
            Part::ClientAddress => reads::client_address(subject.client).as_bytes().into(),
            Part::ServerName => reads::server_name(subject.tls)?.as_bytes().into(),
            Part::BodyJson(pointer) => pointer.find(json(subject)?)?,
        })
    }

    /// Calls `take` with the value of the part, or with each of its lines or members, in order.
    pub fn each(&self, subject: Subject<'_>, take: &mut dyn FnMut(&[u8])) {
        match self {
            Part::Header(name) => reads::header(subject.head, name.as_bytes()).for_each(take),
            Part::Values(name) => reads::header(subject.head, name.as_bytes())
                .flat_map(syntax::members)
                .for_each(take),
            _ => {
                if let Some(part) = self.first(subject) {
                    take(&part);
                }
            }
        }
    }

    /// Returns the bytes of memory that the part's name occupies, excluding the value itself.
    pub(super) fn memory(&self) -> usize {
        match self {
            Part::Query(name) | Part::Header(name) | Part::Values(name) | Part::Cookie(name) => {
                name.len()
            }
            Part::BodyJson(pointer) => pointer.memory(),
            _ => 0,
        }
    }
}

/// Returns whether a pair of the Cookie field can begin with this name. Accepts more than the token
/// of RFC 6265, section 4.1.1, since browsers send whatever names servers set (section 5.2).
fn is_cookie_name(name: &str) -> bool {
    let is_allowed = |byte: u8| !byte.is_ascii_control() && !matches!(byte, b'=' | b';');
    !name.is_empty() && name.trim_ascii() == name && name.bytes().all(is_allowed)
}

/// Returns the body, if it is complete and has no content coding.
fn json(subject: Subject<'_>) -> Option<&[u8]> {
    let body = subject.body.filter(|body| body.is_complete)?;
    let mut codings = subject.head.fields().values_of(FieldKind::ContentEncoding);
    let is_plain = codings
        .all(|line| syntax::tokens(line).all(|coding| coding.eq_ignore_ascii_case(b"identity")));
    is_plain.then_some(body.bytes)
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Method => "method",
            Part::Scheme => "scheme",
            Part::Authority => "authority",
            Part::Host => "host",
            Part::Path => "path",
            Part::PathWithQuery => "path-with-query",
            Part::ClientAddress => "client-address",
            Part::ServerName => "server-name",
            Part::Query(name) => return write!(f, "query:{name}"),
            Part::Header(name) => return write!(f, "header:{name}"),
            Part::Values(name) => return write!(f, "values:{name}"),
            Part::Cookie(name) => return write!(f, "cookie:{name}"),
            Part::BodyJson(pointer) => return write!(f, "body-json:{pointer}"),
        })
    }
}

#[cfg(test)]
mod tests;
