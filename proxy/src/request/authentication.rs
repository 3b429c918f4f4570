//! Authentication of connections instead of requests.
//!
//! NTLM, and Negotiate with it, authenticate the connection that carries them (RFC 4559, section
//! 6): every later request on that connection has the rights of the first client.

use crate::http::field::FieldKind;
use crate::http::fields::Fields;
use crate::http::message::ResponseHead;

/// Schemes that authenticate a connection.
const SCHEMES: [&[u8]; 2] = [b"NTLM", b"Negotiate"];

/// Returns whether the connection to the server belongs to this client from now on. It does if the
/// server has sent a challenge of such a scheme, or if the client has answered one.
pub(super) fn binds(request: &Fields, response: &ResponseHead) -> bool {
    let challenges = [FieldKind::WwwAuthenticate, FieldKind::ProxyAuthenticate];
    let answers = [FieldKind::Authorization, FieldKind::ProxyAuthorization];
    let names = |fields: &Fields, kinds: [FieldKind; 2]| {
        kinds
            .into_iter()
            .any(|kind| fields.values_of(kind).any(is_of_connection))
    };
    names(request, answers)
        || matches!(response.status(), 401 | 407) && names(response.fields(), challenges)
}

/// Returns whether a field names such a scheme. A challenge starts with its scheme, and one line
/// can contain several challenges.
fn is_of_connection(value: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|challenge| {
        let challenge = challenge.trim_ascii();
        let end = challenge.iter().position(u8::is_ascii_whitespace);
        let scheme = &challenge[..end.unwrap_or(challenge.len())];
        SCHEMES
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::Version;

    #[test]
    fn connections_that_are_bound() {
        let check = |request: &[(&str, &str)], status, response: &[(&str, &str)], expected| {
            let mut fields = Fields::default();
            for (name, value) in request {
                fields.push(name.as_bytes(), value.as_bytes());
            }
            let mut head = ResponseHead::default();
            head.start(status, b"", Version::Http11);
            for (name, value) in response {
                head.fields_mut().push(name.as_bytes(), value.as_bytes());
            }
            let found = binds(&fields, &head);
            assert_eq!(found, expected, "{request:?} {status} {response:?}");
        };
        check(&[], 200, &[], false);
        check(&[], 401, &[("WWW-Authenticate", "Basic realm=a")], false);
        check(&[], 401, &[("WWW-Authenticate", "ntlm")], true);
        check(
            &[],
            401,
            &[("WWW-Authenticate", "Basic realm=a, Negotiate")],
            true,
        );
        check(&[], 407, &[("Proxy-Authenticate", "NTLM TlRM")], true);
        check(&[], 200, &[("WWW-Authenticate", "NTLM")], false);
        check(&[("Authorization", "NTLM TlRM")], 200, &[], true);
        check(&[("Authorization", "Negotiate YII")], 200, &[], true);
        check(&[("Authorization", "Bearer NTLM")], 200, &[], false);
    }
}
