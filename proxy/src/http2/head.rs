//! Conversion of heads and trailers to and from the types of h2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts as RequestParts;
use http::response::Parts as ResponseParts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};

use crate::http::authority::{host_of, is_host};
use crate::http::edit::{self, Edit};
use crate::http::field::{FieldKind, HeaderFlags};
use crate::http::fields::{Fields, Forwarding};
use crate::http::message::{MethodKind, RequestHead, ResponseHead, Scheme, Version};
use crate::http::syntax::tokens;
use crate::http1::body::BodyLength;
use crate::http1::framing;
use crate::http1::request::{Parsed as Request, RequestError};
use crate::http1::response::{Parsed as ResponseFraming, ResponseError};
use crate::http1::target::TargetError;
use crate::http1::upgrade::Upgrade;
use crate::http1::write::{Expect, OutgoingRequest, OutgoingResponse, Via};
use crate::http1::{Limits, Persistence, request, trailers as rules};

/// Fields that HTTP/2 does not allow, or that are generated instead of copied.
const LEFT_OUT: HeaderFlags = HeaderFlags::of(&[
    FieldKind::Connection,
    FieldKind::ContentLength,
    FieldKind::Host,
    FieldKind::Http2Settings,
    FieldKind::KeepAlive,
    FieldKind::ProxyConnection,
    FieldKind::TransferEncoding,
    FieldKind::Upgrade,
]);

/// Whether anything follows the head of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    None,
    Follows,
}

/// Converts and validates the head of a request (RFC 9113, section 8.3.1). An extended CONNECT for
/// a WebSocket (RFC 8441) is converted to an HTTP/1.1 upgrade, so that both kinds are routed and
/// checked in the same way.
///
/// # Errors
/// [`RequestError`]; `head` contains as much as was understood, for the log.
pub(super) fn request(
    parts: &RequestParts,
    rest: Rest,
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Request, RequestError> {
    let is_websocket = parts
        .extensions
        .get::<h2::ext::Protocol>()
        .is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"));
    let target = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    let method = if is_websocket {
        "GET"
    } else {
        parts.method.as_str()
    };
    head.start(method.as_bytes(), target.as_bytes(), Version::Http2);
    if parts.method == Method::CONNECT && !is_websocket {
        return Err(TargetError::Connect.into());
    }
    if parts.headers.len() > limits.max_headers {
        return Err(RequestError::TooManyFields);
    }
    push_authority(parts, head)?;
    check_target(head)?;
    push_fields(&parts.headers, head);
    let fields = head.fields_mut();
    request::pass_te(fields);
    let declared = framing::content_length_of(fields)?;
    let body = match (declared, rest) {
        _ if is_websocket => BodyLength::None,
        (Some(length), _) => BodyLength::Known(length),
        (None, Rest::None) => BodyLength::None,
        (None, Rest::Follows) => BodyLength::Chunked,
    };
    let upgrade = is_websocket.then(|| push_handshake(head));
    Ok(Request {
        consumed: 0,
        body,
        persistence: Persistence::KeepAlive,
        expectation: request::expectation(head, body),
        upgrade,
    })
}

/// Adds one Host line, from `:authority` or, without it, from Host.
fn push_authority(parts: &RequestParts, head: &mut RequestHead) -> Result<(), TargetError> {
    let mut hosts = parts.headers.get_all(http::header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(TargetError::SeveralHosts);
    }
    let authority = parts.uri.authority().map(|one| one.as_str().as_bytes());
    let authority = match (authority, host) {
        // A request with both is malformed if they differ (RFC 9113, section 8.3.1).
        (Some(one), Some(other)) if !one.eq_ignore_ascii_case(other) => {
            return Err(TargetError::SeveralHosts);
        }
        (Some(one), _) => {
            let is_tls = parts.uri.scheme() == Some(&http::uri::Scheme::HTTPS);
            let default_port = if is_tls { 443 } else { 80 };
            host_of(one, default_port).ok_or(TargetError::InvalidAuthority)?
        }
        (None, Some(one)) => one,
        (None, None) => return Err(TargetError::NoHost),
    };
    if !is_host(authority) {
        return Err(TargetError::InvalidAuthority);
    }
    head.fields_mut().push_kind(FieldKind::Host, authority);
    Ok(())
}

fn check_target(head: &RequestHead) -> Result<(), TargetError> {
    match head.target() {
        [b'/', ..] => Ok(()),
        b"*" if head.method_kind() == MethodKind::Options => Ok(()),
        _ => Err(TargetError::InvalidTarget),
    }
}

/// Copies the fields. Cookies, which HTTP/2 can split, are joined into one line (RFC 9113, section
/// 8.2.3).
fn push_fields(map: &HeaderMap, head: &mut RequestHead) {
    let fields = head.fields_mut();
    let mut cookies = Vec::new();
    for (name, value) in map {
        if name == http::header::COOKIE {
            if !cookies.is_empty() {
                cookies.extend_from_slice(b"; ");
            }
            cookies.extend_from_slice(value.as_bytes());
        } else if name != http::header::HOST {
            fields.push(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    if !cookies.is_empty() {
        fields.push_kind(FieldKind::Cookie, &cookies);
    }
}

/// Adds the fields that start a WebSocket in HTTP/1.1.
fn push_handshake(head: &mut RequestHead) -> Upgrade {
    let key = STANDARD.encode(random());
    let fields = head.fields_mut();
    // The client must not send this field (RFC 8441, section 5).
    fields.set_forwarding(FieldKind::SecWebSocketKey, Forwarding::Drop);
    fields.push_kind(FieldKind::Upgrade, b"websocket");
    fields.set_forwarding(FieldKind::Upgrade, Forwarding::Forward);
    fields.push_kind(FieldKind::SecWebSocketKey, key.as_bytes());
    Upgrade::websocket(key.as_bytes())
}

/// Returns a random handshake key. It need not be secret: it only shows that the server speaks
/// WebSocket (RFC 6455, section 1.3). A new key for each handshake prevents responses from caches.
fn random() -> [u8; 16] {
    use std::hash::{BuildHasher as _, RandomState};
    let number = u128::from(RandomState::new().hash_one(0)) << 64;
    (number | u128::from(RandomState::new().hash_one(1))).to_be_bytes()
}

/// Converts a request for h2 to send to a server. `scheme` is that of the connection, because
/// servers can refuse any other (RFC 9113, section 8.3.1). The client's own scheme is in
/// `X-Forwarded-Proto`.
///
/// Returns None if the request cannot be expressed in HTTP/2.
pub(super) fn outgoing_request(
    head: &RequestHead,
    with: &OutgoingRequest<'_>,
    scheme: Scheme,
    is_websocket: bool,
) -> Option<http::Request<()>> {
    let fields = head.fields();
    let host = fields.values_of(FieldKind::Host).next();
    let authority = with.authority.or(host).unwrap_or(with.default_host);
    let target = with.target.unwrap_or_else(|| head.target());
    let uri = Uri::builder()
        .scheme(scheme.as_str())
        .authority(authority)
        .path_and_query(path_and_query(target)?)
        .build()
        .ok()?;
    let method = if is_websocket {
        Method::CONNECT
    } else {
        Method::from_bytes(head.method()).ok()?
    };
    let mut map = HeaderMap::with_capacity(fields.len() + 4);
    let mut left_out = LEFT_OUT;
    if with.expect == Expect::Drop {
        left_out.insert(FieldKind::Expect);
    }
    if is_websocket {
        left_out.insert(FieldKind::SecWebSocketKey);
    }
    push_map(fields, left_out, with.edits, &mut map);
    if with.via == Via::Add && !replaces_via(with.edits) {
        let via = match head.version() {
            Version::Http10 => "1.0 pointsman",
            Version::Http11 => "1.1 pointsman",
            Version::Http2 => "2.0 pointsman",
        };
        map.append(http::header::VIA, HeaderValue::from_static(via));
    }
    push_length(with.body, &mut map);
    let mut request = http::Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = map;
    if is_websocket {
        let protocol = h2::ext::Protocol::from_static("websocket");
        request.extensions_mut().insert(protocol);
    }
    Some(request)
}

fn replaces_via(edits: &[Edit]) -> bool {
    edits
        .iter()
        .any(|edit| edit.replaces(FieldKind::Via, b"Via"))
}

/// Parses a target. Escapes characters that `:path` must not contain.
fn path_and_query(target: &[u8]) -> Option<PathAndQuery> {
    if let Ok(path) = PathAndQuery::try_from(target) {
        return Some(path);
    }
    let mut escaped = Vec::with_capacity(2 * target.len());
    for &byte in target {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte) {
            escaped.push(byte);
        } else {
            escaped.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    PathAndQuery::try_from(escaped).ok()
}

/// Converts the head of a server's response, and determines the framing of its body.
///
/// # Errors
/// [`ResponseError`].
pub(super) fn response(
    parts: &ResponseParts,
    rest: Rest,
    limits: &Limits,
    method: MethodKind,
    head: &mut ResponseHead,
) -> Result<ResponseFraming, ResponseError> {
    // HTTP/2 has no reason phrase, but some HTTP/1.1 clients expect one.
    let reason = parts.status.canonical_reason().unwrap_or_default();
    head.start(parts.status.as_u16(), reason.as_bytes(), Version::Http2);
    if parts.headers.len() > limits.max_headers {
        return Err(ResponseError::TooManyFields);
    }
    let fields = head.fields_mut();
    for (name, value) in &parts.headers {
        fields.push(name.as_str().as_bytes(), value.as_bytes());
    }
    let declared = framing::content_length_of(fields)?;
    let status = parts.status.as_u16();
    let is_unsaid = status < 200 || status == 204;
    if is_unsaid {
        fields.set_forwarding(FieldKind::ContentLength, Forwarding::Drop);
    }
    let has_none = method == MethodKind::Head || framing::is_bodiless(status);
    let length = match (declared, rest) {
        (_, Rest::None) => BodyLength::None,
        _ if has_none => BodyLength::None,
        (Some(length), Rest::Follows) => BodyLength::Known(length),
        (None, Rest::Follows) => BodyLength::Chunked,
    };
    let spoken_of = match declared {
        _ if is_unsaid => BodyLength::None,
        Some(length) => BodyLength::Known(length),
        // HTTP/1.1 needs a length if the body is empty.
        None if rest == Rest::None && !has_none => BodyLength::Known(0),
        None => length,
    };
    Ok(ResponseFraming {
        consumed: 0,
        body: length,
        declared: spoken_of,
        persistence: Persistence::KeepAlive,
    })
}

/// Converts a response for h2 to send to a client.
pub(super) fn outgoing_response(head: &ResponseHead, with: &OutgoingResponse<'_>) -> Response<()> {
    let fields = head.fields();
    // Usually at least one field exists only in HTTP/1.1 and is left out, which makes room for an
    // added field.
    let mut map = HeaderMap::with_capacity(fields.len());
    push_map(fields, LEFT_OUT, with.edits, &mut map);
    if let Some(date) = with.date.filter(|_| !fields.has(FieldKind::Date))
        && let Ok(date) = HeaderValue::from_bytes(date)
    {
        map.insert(http::header::DATE, date);
    }
    push_length(with.body, &mut map);
    response_of(head.status(), map)
}

/// Builds the response that opens a WebSocket for a client that used extended CONNECT (RFC 8441,
/// section 5).
pub(super) fn accepted(head: &ResponseHead, edits: &[Edit]) -> Response<()> {
    let mut map = HeaderMap::with_capacity(head.fields().len());
    let mut left_out = LEFT_OUT;
    left_out.insert(FieldKind::SecWebSocketAccept);
    push_map(head.fields(), left_out, edits, &mut map);
    response_of(200, map)
}

/// Converts an interim response (RFC 9110, section 15.2).
pub(super) fn interim(head: &ResponseHead) -> Response<()> {
    let mut map = HeaderMap::with_capacity(head.fields().len());
    push_map(head.fields(), LEFT_OUT, &[], &mut map);
    response_of(head.status(), map)
}

fn response_of(status: u16, map: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.version_mut() = http::Version::HTTP_2;
    *response.headers_mut() = map;
    response
}

fn push_map(fields: &Fields, left_out: HeaderFlags, edits: &[Edit], map: &mut HeaderMap) {
    edit::outgoing_lines(fields, left_out, edits, |name, value| {
        // Name and value were validated when they were received.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            map.append(name, value);
        }
    });
}

fn push_length(body: BodyLength, map: &mut HeaderMap) {
    if let BodyLength::Known(length) = body {
        map.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Converts received trailers, without fields that must not be trailers (RFC 9110, section 6.5.1).
pub(super) fn trailers(map: &HeaderMap) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in map {
        fields.push(name.as_str().as_bytes(), value.as_bytes());
    }
    rules::admit(&mut fields);
    fields
}

/// Converts trailers to send, without those that `Connection` in `head` names.
pub(super) fn trailer_map(trailers: &Fields, head: &Fields) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in trailers.iter() {
        let mut options = head.values_of(FieldKind::Connection).flat_map(tokens);
        if options.any(|option| option.eq_ignore_ascii_case(name)) {
            continue;
        }
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            map.append(name, value);
        }
    }
    map
}

#[cfg(test)]
mod tests;
