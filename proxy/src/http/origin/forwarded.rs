//! The elements of `Forwarded` (RFC 7239, section 4).

use std::borrow::Cow;
use std::net::IpAddr;

use super::node;
use crate::http::message::Scheme;
use crate::http::syntax;

/// The element that one proxy added about the request that it received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// Value of `for`; `None` if it is obfuscated, unknown or missing.
    pub(super) node: Option<IpAddr>,
    /// Value of `proto`, if it is a scheme of HTTP.
    pub(super) scheme: Option<Scheme>,
}

impl Element {
    /// Parses an element. Returns `None` if it is not a `forwarded-element` or gives a parameter
    /// twice.
    pub(super) fn parse(text: &[u8]) -> Option<Element> {
        let mut element = Element::default();
        let (mut has_node, mut has_scheme) = (false, false);
        for pair in Split::new(text, b';') {
            let pair = pair.trim_ascii();
            if pair.is_empty() {
                continue;
            }
            let at = pair.iter().position(|&byte| byte == b'=')?;
            let (name, value) = (&pair[..at], value(&pair[at + 1..])?);
            if !syntax::is_name(name) {
                return None;
            }
            let slot = if name.eq_ignore_ascii_case(b"for") {
                element.node = node::address(&value);
                &mut has_node
            } else if name.eq_ignore_ascii_case(b"proto") {
                element.scheme = node::scheme(&value);
                &mut has_scheme
            } else {
                continue;
            };
            if std::mem::replace(slot, true) {
                return None;
            }
        }
        Some(element)
    }
}

/// Parses a token or a quoted string. Also accepts unquoted addresses in brackets, which some
/// proxies send.
fn value(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let is_plain = |byte: &u8| b"[]:%".contains(byte) || syntax::is_name(&[*byte]);
        let is_value = !text.is_empty() && text.iter().all(is_plain);
        return is_value.then_some(Cow::Borrowed(text));
    };
    let quoted = quoted.strip_suffix(b"\"")?;
    let mut value = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' => value.push(*bytes.next()?),
            _ => value.push(byte),
        }
    }
    Some(Cow::Owned(value))
}

/// Returns the elements of one line from right to left, without empty ones.
///
/// From the right, elements of trusted proxies are read as they were written, even after an
/// unclosed quote from an untrusted sender.
pub(super) fn elements_from_right(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let elements = Split::new(line, b',').map(<[u8]>::trim_ascii);
    elements.filter(|element| !element.is_empty())
}

/// Iterator that splits at a separator outside of quoted strings, from the right end.
struct Split<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Split<'a> {
    fn new(text: &'a [u8], separator: u8) -> Split<'a> {
        Split {
            rest: Some(text),
            separator,
        }
    }
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest.take()?;
        let mut is_quoted = false;
        for (at, &byte) in text.iter().enumerate().rev() {
            if byte == b'"' {
                // The scan from the right reaches a quote before the backslashes that escape it.
                let before = text[..at].iter().rev();
                let backslashes = before.take_while(|&&byte| byte == b'\\').count();
                is_quoted = !is_quoted || backslashes % 2 == 1;
            } else if byte == self.separator && !is_quoted {
                self.rest = Some(&text[..at]);
                return Some(&text[at + 1..]);
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements() {
        let check = |text: &str, expected: Option<(Option<&str>, Option<Scheme>)>| {
            let expected = expected.map(|(node, scheme)| Element {
                node: node.map(|node| node.parse().unwrap()),
                scheme,
            });
            assert_eq!(Element::parse(text.as_bytes()), expected, "{text}");
        };
        let node = |node| Some((Some(node), None));
        check("for=192.0.2.1", node("192.0.2.1"));
        check("For=192.0.2.1:80;by=_x;host=a", node("192.0.2.1"));
        check("for=\"[2001:db8::1]:4711\"", node("2001:db8::1"));
        check("for=[2001:db8::1]", node("2001:db8::1"));
        check("for=\"\\1\\92.0.2.1:_p\" ; by=\"a;b\"", node("192.0.2.1"));
        let secure = Some(Scheme::Https);
        check("proto=https;;for=::1;", Some((Some("::1"), secure)));
        check("PROTO=\"HTTPS\"", Some((None, secure)));
        check("for=unknown;proto=https", Some((None, secure)));
        check("for=_hidden", Some((None, None)));
        check("for=\"\"", Some((None, None)));
        check("proto=ftp", Some((None, None)));
        for text in [
            "192.0.2.1",
            "for",
            "for=",
            "=a",
            "f r=a",
            "for=a b",
            "for=1.1.1.1;for=2.2.2.2",
            "proto=http;Proto=https",
            "for=\"1.1.1.1",
            "for=1.1.1.1\"",
            "for=\"1.1.1.1\\\"",
            "for=\"1\"1\"",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn lines_from_the_right() {
        let check = |line: &str, expected: &[&str]| {
            let found: Vec<_> = elements_from_right(line.as_bytes()).collect();
            let expected: Vec<_> = expected.iter().map(|element| element.as_bytes()).collect();
            assert_eq!(found, expected, "{line}");
        };
        check("", &[]);
        check("a=1, b=2 ,,c=3", &["c=3", "b=2", "a=1"]);
        check("a=\"1,2\",b=3", &["b=3", "a=\"1,2\""]);
        check(r#"a="\",\\",b=3"#, &["b=3", r#"a="\",\\""#]);
        // An untrusted sender's open quote, followed by a proxy's element.
        check("for=\", for=1.1.1.1", &["for=1.1.1.1", "for=\""]);
        check("for=\"x, for=\"[::1]\"", &["for=\"[::1]\"", "for=\"x"]);
    }
}
