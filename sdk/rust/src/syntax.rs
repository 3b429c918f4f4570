//! HTTP's grammar of names, for plugins that check their configuration against it.

/// Fields that frame, upgrade or negotiate the connection. Only the proxy may set them.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reports whether `name` is a token (RFC 9110, section 5.6.2), and so can be a method or the name
/// of a field or cookie.
pub fn is_token(name: &str) -> bool {
    let part = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    !name.is_empty() && name.bytes().all(part)
}

/// Returns whether only the proxy may set the field `name`, whose case does not matter. An edit of
/// such a field fails, and a plugin's response that contains one is a fault.
pub fn is_reserved(name: &str) -> bool {
    let begins = name.get(.."sec-websocket-".len());
    let mut reserved = RESERVED.iter();
    reserved.any(|reserved| reserved.eq_ignore_ascii_case(name))
        || begins.is_some_and(|begins| begins.eq_ignore_ascii_case("sec-websocket-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_and_some_the_proxys() {
        for (name, token, reserved) in [
            ("x-a", true, false),
            ("Content-Length", true, true),
            ("Sec-WebSocket-Key", true, true),
            ("sec-websocket", true, false),
            ("sec-websocke\u{e4}-", false, false),
            ("te", true, true),
            ("a b", false, false),
            ("", false, false),
        ] {
            assert_eq!(
                (is_token(name), is_reserved(name)),
                (token, reserved),
                "{name}"
            );
        }
    }
}
