//! `Upgrade`: which requests can switch protocols, and which responses switch correctly. For a
//! WebSocket (RFC 6455, section 4), the proxy checks the handshake.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sha1::{Digest, Sha1};
use thiserror::Error;

use crate::http::field::FieldKind;
use crate::http::fields::{Fields, Forwarding};
use crate::http::message::{MethodKind, RequestHead, ResponseHead};
use crate::http::syntax::tokens;

/// Suffix that is appended to the key before it is hashed (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Decoder that accepts a key whose last character has bits that the encoding leaves unused, as in
/// the example of RFC 6455, section 4.1. Servers hash the encoded key, not the decoded bytes.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Length of a 16-byte key in base64.
const KEY_LENGTH: usize = 24;

/// A `Sec-WebSocket-Accept`: a SHA-1 in base64.
type Accept = [u8; 28];

/// An upgrade that a request asks for and that the proxy forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrade {
    /// The `Sec-WebSocket-Accept` that a WebSocket server must send; `None` for other protocols.
    accept: Option<Accept>,
}

/// Reason for rejecting a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UpgradeError {
    /// The request is not a valid handshake. Rejected with 400 (RFC 6455, section 4.2.1).
    #[error(
        "a WebSocket handshake needs GET, one Sec-WebSocket-Key of 16 bytes and a Sec-WebSocket-Version"
    )]
    Request,
    /// `Sec-WebSocket-Accept` is wrong. The client receives 502 (RFC 6455, section 4.1).
    #[error("Sec-WebSocket-Accept does not match the key")]
    Accept,
    /// The server chose a protocol that was not offered. The client receives 502 (RFC 9110, section
    /// 15.2.2).
    #[error("the server switched to a protocol that the client did not offer")]
    Protocol,
}

/// Whether a request has a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestBody {
    /// There is no body.
    Empty,
    /// A body precedes the bytes of the new protocol.
    Present,
}

/// If the proxy forwards the upgrade that a request asks for, marks the `Upgrade` line to be
/// forwarded, and returns the upgrade. Call this only if `Connection` has the option `upgrade`.
///
/// A request with a body can upgrade, as docker's `exec` and `attach` do: the switch happens after
/// the request is complete (RFC 9110, section 7.8). A WebSocket handshake has no body. If there is
/// one, the proxy ignores the upgrade, as any server may do.
///
/// # Errors
/// [`UpgradeError::Request`].
#[cold]
pub(super) fn request(
    head: &mut RequestHead,
    body: RequestBody,
) -> Result<Option<Upgrade>, UpgradeError> {
    let fields = head.fields();
    // An offer that is spread over several lines is ignored.
    let Some(offered) = fields.only_value_of(FieldKind::Upgrade) else {
        return Ok(None);
    };
    let offers =
        |protocol: &[u8]| tokens(offered).any(|token| token.eq_ignore_ascii_case(protocol));
    // An HTTP/2 tunnel would carry requests past the router. RFC 9113, section 3.1, deprecates this
    // upgrade.
    if offers(b"h2c") || tokens(offered).next().is_none() {
        return Ok(None);
    }
    let accept = match (offers(b"websocket"), body) {
        (false, _) => None,
        (true, RequestBody::Present) => return Ok(None),
        (true, RequestBody::Empty) => {
            Some(handshake(head.method_kind(), fields).ok_or(UpgradeError::Request)?)
        }
    };
    head.fields_mut()
        .set_forwarding(FieldKind::Upgrade, Forwarding::Forward);
    Ok(Some(Upgrade { accept }))
}

/// Returns the expected `Sec-WebSocket-Accept` if the handshake is complete.
fn handshake(method: MethodKind, fields: &Fields) -> Option<Accept> {
    let key = fields.only_value_of(FieldKind::SecWebSocketKey)?;
    fields.only_value_of(FieldKind::SecWebSocketVersion)?;
    let mut decoded = [0; KEY_LENGTH];
    let length = KEY.decode_slice(key, &mut decoded).ok()?;
    let is_key = key.len() == KEY_LENGTH && length == 16;
    (is_key && method == MethodKind::Get).then(|| accept_of(key))
}

impl Upgrade {
    /// Returns the upgrade to a WebSocket with this `Sec-WebSocket-Key`.
    pub fn websocket(key: &[u8]) -> Upgrade {
        Upgrade {
            accept: Some(accept_of(key)),
        }
    }

    /// Returns the expected `Sec-WebSocket-Accept`, or `None` for other protocols.
    pub fn accept(&self) -> Option<&[u8]> {
        self.accept.as_ref().map(|accept| &accept[..])
    }

    /// Returns whether the client asks for a WebSocket.
    pub fn is_websocket(&self) -> bool {
        self.accept.is_some()
    }

    /// Checks the `101 Switching Protocols` that a server sent for `request`.
    ///
    /// # Errors
    /// [`UpgradeError::Protocol`], [`UpgradeError::Accept`].
    pub fn check(
        &self,
        request: &RequestHead,
        response: &ResponseHead,
    ) -> Result<(), UpgradeError> {
        let response = response.fields();
        let chosen = response.only_value_of(FieldKind::Upgrade);
        let chosen = chosen.ok_or(UpgradeError::Protocol)?.trim_ascii();
        let offered = request.fields().only_value_of(FieldKind::Upgrade);
        let mut offers = offered.into_iter().flat_map(tokens);
        if !offers.any(|offer| offer.eq_ignore_ascii_case(chosen)) {
            return Err(UpgradeError::Protocol);
        }
        match &self.accept {
            Some(expected) if chosen.eq_ignore_ascii_case(b"websocket") => {
                let found = response.only_value_of(FieldKind::SecWebSocketAccept);
                if found == Some(&expected[..]) {
                    Ok(())
                } else {
                    Err(UpgradeError::Accept)
                }
            }
            _ => Ok(()),
        }
    }
}

fn accept_of(key: &[u8]) -> Accept {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; 28];
    // Cannot fail: 20 bytes encode to 28 characters.
    let _ = STANDARD.encode_slice(digest, &mut accept);
    accept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::Version;

    const KEY: (&str, &str) = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    const VERSION: (&str, &str) = ("Sec-WebSocket-Version", "13");
    const WEBSOCKET: (&str, &str) = ("Upgrade", "websocket");
    const ECHO: (&str, &str) = ("Upgrade", "echo");

    fn asking(method: &str, lines: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::default();
        head.start(method.as_bytes(), b"/", Version::Http11);
        for (name, value) in lines {
            head.fields_mut().push(name.as_bytes(), value.as_bytes());
        }
        head
    }

    #[test]
    fn the_example_of_rfc_6455() {
        assert_eq!(
            &accept_of(KEY.1.as_bytes()),
            b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn requests() {
        let check = |method, body, lines: &[(&str, &str)], expected: Result<bool, UpgradeError>| {
            let mut head = asking(method, lines);
            let found = request(&mut head, body).map(|upgrade| upgrade.is_some());
            assert_eq!(found, expected, "{method} {lines:?}");
            let is_forwarded = head.fields().values(b"upgrade").next().is_some();
            assert_eq!(is_forwarded, expected == Ok(true), "{method} {lines:?}");
        };
        let empty = RequestBody::Empty;
        let refused = Err(UpgradeError::Request);
        check("GET", empty, &[], Ok(false));
        check("GET", empty, &[WEBSOCKET, KEY, VERSION], Ok(true));
        let trailing = ("Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEC==");
        check("GET", empty, &[WEBSOCKET, trailing, VERSION], Ok(true));
        check("GET", empty, &[WEBSOCKET, VERSION], refused);
        check("GET", empty, &[WEBSOCKET, KEY], refused);
        check("GET", empty, &[WEBSOCKET, KEY, KEY, VERSION], refused);
        check(
            "GET",
            empty,
            &[WEBSOCKET, ("Sec-WebSocket-Key", "c2hvcnQ="), VERSION],
            refused,
        );
        let long = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZSE=");
        check("GET", empty, &[WEBSOCKET, long, VERSION], refused);
        check("POST", empty, &[WEBSOCKET, KEY, VERSION], refused);
        check(
            "GET",
            RequestBody::Present,
            &[WEBSOCKET, KEY, VERSION],
            Ok(false),
        );
        check("GET", empty, &[ECHO], Ok(true));
        check(
            "POST",
            RequestBody::Present,
            &[("Upgrade", "tcp")],
            Ok(true),
        );
        check("GET", empty, &[ECHO, ECHO], Ok(false));
        check("GET", empty, &[("Upgrade", "H2C, echo")], Ok(false));
        check("GET", empty, &[("Upgrade", ",")], Ok(false));
    }

    #[test]
    fn responses() {
        let check = |protocol, lines: &[(&str, &str)], expected: Result<(), UpgradeError>| {
            let mut head = asking("GET", &[("Upgrade", protocol), KEY, VERSION]);
            let upgrade = request(&mut head, RequestBody::Empty).unwrap().unwrap();
            let mut response = ResponseHead::default();
            response.start(101, b"", Version::Http11);
            for (name, value) in lines {
                response
                    .fields_mut()
                    .push(name.as_bytes(), value.as_bytes());
            }
            assert_eq!(
                upgrade.check(&head, &response),
                expected,
                "{protocol} {lines:?}"
            );
        };
        let accept = ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let other = ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOp=");
        check("websocket", &[("Upgrade", "WebSocket"), accept], Ok(()));
        check("websocket", &[WEBSOCKET], Err(UpgradeError::Accept));
        check("websocket", &[WEBSOCKET, other], Err(UpgradeError::Accept));
        check(
            "websocket",
            &[WEBSOCKET, accept, accept],
            Err(UpgradeError::Accept),
        );
        check("websocket", &[accept], Err(UpgradeError::Protocol));
        check(
            "websocket",
            &[("Upgrade", "h2c"), accept],
            Err(UpgradeError::Protocol),
        );
        check("echo, other", &[("Upgrade", "other")], Ok(()));
        check("echo", &[("Upgrade", "")], Err(UpgradeError::Protocol));
    }
}
