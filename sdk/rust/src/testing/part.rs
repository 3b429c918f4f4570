//! Parts of a request by name, as questions refer to them.
//!
//! Gives the same answers as the proxy, but is not optimized for speed. Used by `question`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::head::Head;
use crate::syntax;

/// A part of a request, by the name that `over` gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Method,
    Scheme,
    Authority,
    Host,
    Path,
    PathWithQuery,
    Query(String),
    Header(String),
    Values(String),
    Cookie(String),
    ClientAddress,
    ServerName,
    /// The tokens of the pointer.
    BodyJson(Vec<String>),
}

impl Part {
    pub(super) fn parse(over: &str) -> Result<Self, String> {
        let unknown = || format!("{over:?} is not a part of a request");
        let token = |name: &str| {
            let wrong = || format!("{over:?}: {name:?} is not a name");
            syntax::is_token(name)
                .then(|| name.to_owned())
                .ok_or_else(wrong)
        };
        Ok(match over.split_once(':') {
            None => match over {
                "method" => Self::Method,
                "scheme" => Self::Scheme,
                "authority" => Self::Authority,
                "host" => Self::Host,
                "path" => Self::Path,
                "path-with-query" => Self::PathWithQuery,
                "client-address" => Self::ClientAddress,
                "server-name" => Self::ServerName,
                _ => return Err(unknown()),
            },
            Some(("query", name)) if !name.is_empty() => Self::Query(name.to_owned()),
            Some(("header", name)) => Self::Header(token(name)?),
            Some(("values", name)) => Self::Values(token(name)?),
            Some(("cookie", name)) if is_cookie_name(name) => Self::Cookie(name.to_owned()),
            Some(("body-json", pointer)) => Self::BodyJson(tokens(pointer)?),
            Some(_) => return Err(unknown()),
        })
    }

    /// Returns every line or member, in the order received; empty if the request lacks the part.
    pub(super) fn each(&self, head: &Head) -> Vec<Vec<u8>> {
        let one = |text: String| vec![text.into_bytes()];
        let some = |value: Option<Vec<u8>>| value.into_iter().collect();
        match self {
            Self::Method => one(head.method()),
            Self::Scheme => one(head.scheme()),
            Self::Authority => vec![head.authority()],
            Self::Host => one(head.host()),
            Self::Path => one(head.path()),
            Self::PathWithQuery => one(head.path_with_query()),
            Self::Query(name) => some(head.query_parameter(name)),
            Self::Header(name) => head.header(name),
            Self::Values(name) => {
                let lines = head.header(name);
                lines.iter().flat_map(|line| members(line)).collect()
            }
            Self::Cookie(name) => some(head.cookie(name)),
            Self::ClientAddress => one(head.client_address()),
            Self::ServerName => some(head.server_name().map(String::into_bytes)),
            Self::BodyJson(tokens) => some(json_member(head, tokens)),
        }
    }
}

/// Returns whether a pair of the Cookie field can have this name.
fn is_cookie_name(name: &str) -> bool {
    let is_allowed = |octet: u8| !octet.is_ascii_control() && !b"=;".contains(&octet);
    !name.is_empty() && name.trim_ascii() == name && name.bytes().all(is_allowed)
}

/// Returns the members of a line that is a comma-separated list, without surrounding blanks. A
/// comma inside a quoted string does not separate members (RFC 9110, section 5.6.1).
fn members(line: &[u8]) -> Vec<Vec<u8>> {
    let mut members = vec![Vec::new()];
    let (mut quoted, mut escaped) = (false, false);
    for &octet in line {
        if octet == b',' && !quoted {
            members.push(Vec::new());
            continue;
        }
        quoted ^= octet == b'"' && !escaped;
        escaped = quoted && octet == b'\\' && !escaped;
        if let Some(member) = members.last_mut() {
            member.push(octet);
        }
    }
    let trimmed = members.iter().map(|member| member.trim_ascii());
    let members = trimmed.filter(|member| !member.is_empty());
    members.map(<[u8]>::to_vec).collect()
}

/// Returns the reference tokens of a JSON pointer (RFC 6901, section 4).
fn tokens(pointer: &str) -> Result<Vec<String>, String> {
    let Some(rest) = pointer.strip_prefix('/') else {
        return Err(format!(
            "{pointer:?} is not a JSON pointer: begin it with `/`"
        ));
    };
    let unescaped = rest
        .split('/')
        .map(|token| token.replace("~1", "/").replace("~0", "~"));
    Ok(unescaped.collect())
}

/// Returns the string, number or boolean at the tokens in a body that is complete and has no
/// content coding.
fn json_member(head: &Head, tokens: &[String]) -> Option<Vec<u8>> {
    let body = head.body.as_ref().filter(|body| body.is_complete)?;
    let is_identity = |value: &Vec<u8>| value.eq_ignore_ascii_case(b"identity");
    if !head.header("content-encoding").iter().all(is_identity) {
        return None;
    }
    let mut value: Box<RawValue> = serde_json::from_slice(&body.bytes).ok()?;
    for token in tokens {
        let mut json = serde_json::Deserializer::from_str(value.get());
        value = Step(token).deserialize(&mut json).ok()??;
    }
    let text = value.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str(text).ok().map(String::into_bytes),
        b'{' | b'[' | b'n' => None,
        _ => Some(text.as_bytes().to_vec()),
    }
}

/// One step into an object or an array. A member that occurs twice has no value.
struct Step<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = Option<Box<RawValue>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<Box<RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                found.push(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        let value = found.pop();
        Ok(value.filter(|_| found.is_empty()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values: Vec<Box<RawValue>> = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        let has_zero_before = self.0.len() > 1 && self.0.starts_with('0');
        let index = self.0.parse::<usize>().ok();
        let index = index.filter(|&index| index < values.len() && !has_zero_before);
        Ok(index.map(|index| values.swap_remove(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Body;

    #[test]
    fn a_list_is_split_at_commas_outside_of_quotes() {
        for (line, expected) in [
            ("", vec![]),
            ("a , b", vec!["a", "b"]),
            ("a,,b", vec!["a", "b"]),
            (r#""a,\"b,",c"#, vec![r#""a,\"b,""#, "c"]),
            (r#""a\\",b"#, vec![r#""a\\""#, "b"]),
            (r#""a,b"#, vec![r#""a,b"#]),
        ] {
            let expected: Vec<Vec<u8>> = expected
                .iter()
                .map(|text| text.as_bytes().to_vec())
                .collect();
            assert_eq!(members(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn a_pointer_leads_to_a_text_number_or_boolean() {
        let body = r#"{"a": {"b/c": "d\u00e9", "~": [1.50, true]}, "e": null, "f": 1, "f": 2}"#;
        for (pointer, expected) in [
            ("/a/b~1c", Some("d\u{e9}")),
            ("/a/~0/0", Some("1.50")),
            ("/a/~0/1", Some("true")),
            ("/a/~0/2", None),
            ("/a/~0/00", None),
            ("/a", None),
            ("/e", None),
            ("/f", None),
            ("/g", None),
        ] {
            let mut head = Head::default();
            let mut answer = |is_complete| {
                let bytes = body.as_bytes().to_vec();
                head.body = Some(Body { bytes, is_complete });
                let part = Part::parse(&format!("body-json:{pointer}")).unwrap();
                part.each(&head).pop()
            };
            assert_eq!(
                answer(true),
                expected.map(|text| text.as_bytes().to_vec()),
                "{pointer}"
            );
            assert_eq!(answer(false), None);
        }
    }

    #[test]
    fn an_unknown_part_is_an_error() {
        for over in [
            "",
            "hosts",
            "header",
            "header:",
            "header:a b",
            "cookie:a=b",
            "query:",
            "body-json:a",
            "a:b",
        ] {
            assert!(Part::parse(over).is_err(), "{over}");
        }
    }
}
