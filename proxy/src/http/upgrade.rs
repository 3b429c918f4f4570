//! The WebSocket handshake, as far as a proxy checks it (RFC 6455, section 4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method};
use sha1::{Digest, Sha1};
use thiserror::Error;

use super::headers::has_token;

/// Appended to the key before it is hashed (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client asks its connection to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The protocols it offers, as it wrote them.
    pub protocols: HeaderValue,
    /// What a WebSocket server must answer to its key; None for other protocols.
    accept: Option<String>,
}

/// Why a handshake is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UpgradeError {
    /// Answered 400 (RFC 6455, section 4.2.1).
    #[error(
        "a WebSocket handshake needs GET, one Sec-WebSocket-Key of 16 bytes and a Sec-WebSocket-Version"
    )]
    Request,
    /// Answered 502 (RFC 6455, section 4.1).
    #[error("the server's Sec-WebSocket-Accept does not fit the key")]
    Accept,
    /// Answered 502 (RFC 9110, section 15.2.2).
    #[error("the server switched to a protocol that the client did not offer")]
    Protocol,
}

/// The upgrade that a request asks for, if it does.
///
/// # Errors
/// [`UpgradeError::Request`].
pub fn requested(method: &Method, headers: &HeaderMap) -> Result<Option<Upgrade>, UpgradeError> {
    let mut lines = headers.get_all(UPGRADE).iter();
    // Over several lines, only a part would be passed on: a server may ignore an upgrade.
    let (Some(protocols), None) = (lines.next(), lines.next()) else {
        return Ok(None);
    };
    // Without the connection option the field is not meant for us (RFC 9110, section 7.8).
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Ok(None);
    }
    // A tunnel for HTTP/2 would carry requests past the router; RFC 9113, section 3.1, has
    // given this way to it up.
    if has_token(headers, &UPGRADE, "h2c") {
        return Ok(None);
    }
    let accept = if has_token(headers, &UPGRADE, "websocket") {
        let key = only(headers, &SEC_WEBSOCKET_KEY).ok_or(UpgradeError::Request)?;
        let is_key = STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
        if method != Method::GET || !is_key || only(headers, &SEC_WEBSOCKET_VERSION).is_none() {
            return Err(UpgradeError::Request);
        }
        Some(accept_of(key.as_bytes()))
    } else {
        None
    };
    Ok(Some(Upgrade {
        protocols: protocols.clone(),
        accept,
    }))
}

impl Upgrade {
    /// Checks the fields of a `101 Switching Protocols`.
    ///
    /// # Errors
    /// [`UpgradeError::Protocol`], [`UpgradeError::Accept`].
    pub fn check(&self, headers: &HeaderMap) -> Result<(), UpgradeError> {
        let chosen = only(headers, &UPGRADE).ok_or(UpgradeError::Protocol)?;
        let name = |protocol: &[u8]| protocol.trim_ascii().to_ascii_lowercase();
        let chosen = name(chosen.as_bytes());
        let mut offered = self.protocols.as_bytes().split(|&byte| byte == b',');
        if !offered.any(|offer| name(offer) == chosen) {
            return Err(UpgradeError::Protocol);
        }
        match &self.accept {
            Some(expected) if chosen == b"websocket" => {
                let found = only(headers, &SEC_WEBSOCKET_ACCEPT).ok_or(UpgradeError::Accept)?;
                if found.as_bytes() == expected.as_bytes() {
                    Ok(())
                } else {
                    Err(UpgradeError::Accept)
                }
            }
            _ => Ok(()),
        }
    }
}

/// The value of a field that there is one line of.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn accept_of(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            })
    }

    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    const VERSION: (&str, &str) = ("sec-websocket-version", "13");

    #[test]
    fn the_example_of_rfc_6455() {
        assert_eq!(accept_of(KEY.1.as_bytes()), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn requests() {
        let check = |method: Method,
                     lines: &[(&'static str, &'static str)],
                     expected: Result<bool, UpgradeError>| {
            let found = requested(&method, &headers(lines)).map(|upgrade| upgrade.is_some());
            assert_eq!(found, expected, "{method} {lines:?}");
        };
        let upgrade = ("upgrade", "websocket");
        let connection = ("connection", "keep-alive, Upgrade");
        check(Method::GET, &[], Ok(false));
        check(Method::GET, &[upgrade], Ok(false));
        check(Method::GET, &[upgrade, connection, KEY, VERSION], Ok(true));
        check(
            Method::GET,
            &[upgrade, connection, VERSION],
            Err(UpgradeError::Request),
        );
        check(
            Method::GET,
            &[upgrade, connection, KEY],
            Err(UpgradeError::Request),
        );
        check(
            Method::GET,
            &[upgrade, connection, KEY, KEY, VERSION],
            Err(UpgradeError::Request),
        );
        check(
            Method::GET,
            &[
                upgrade,
                connection,
                ("sec-websocket-key", "c2hvcnQ="),
                VERSION,
            ],
            Err(UpgradeError::Request),
        );
        check(
            Method::POST,
            &[upgrade, connection, KEY, VERSION],
            Err(UpgradeError::Request),
        );
        check(Method::GET, &[("upgrade", "echo"), connection], Ok(true));
        check(
            Method::GET,
            &[("upgrade", "H2C, echo"), connection],
            Ok(false),
        );
    }

    #[test]
    fn responses() {
        let request = |protocol| {
            let lines = [
                ("upgrade", protocol),
                ("connection", "upgrade"),
                KEY,
                VERSION,
            ];
            requested(&Method::GET, &headers(&lines)).unwrap().unwrap()
        };
        let check = |protocol,
                     lines: &[(&'static str, &'static str)],
                     expected: Result<(), UpgradeError>| {
            assert_eq!(
                request(protocol).check(&headers(lines)),
                expected,
                "{protocol} {lines:?}"
            );
        };
        let accept = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        check("websocket", &[("upgrade", "WebSocket"), accept], Ok(()));
        check(
            "websocket",
            &[("upgrade", "websocket")],
            Err(UpgradeError::Accept),
        );
        check(
            "websocket",
            &[("upgrade", "websocket"), ("sec-websocket-accept", "x")],
            Err(UpgradeError::Accept),
        );
        check("websocket", &[accept], Err(UpgradeError::Protocol));
        check(
            "websocket",
            &[("upgrade", "h2c"), accept],
            Err(UpgradeError::Protocol),
        );
        check("echo, other", &[("upgrade", "other")], Ok(()));
    }
}
