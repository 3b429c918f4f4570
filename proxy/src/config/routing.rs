//! `[frontend.NAME.routing]`: settings of a frontend's router as a whole, whichever stage decides.

use std::time::Duration;

use http::HeaderName;

/// `[frontend.NAME.routing]`: settings of the router as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// The part of a request's body that the router waits for. None, the default: the router does
    /// not wait for a body.
    pub body: Option<RoutingBody>,
    /// Maximum number of router calls for one request. If a choice fails before any part of the
    /// request has reached a server, the router is called again. Default [`DEFAULT_MAX_ATTEMPTS`].
    pub max_attempts: u32,
    /// Response header field that says which stage decided what. Default none.
    pub explain_header: Option<HeaderName>,
}

/// Default of [`Routing::max_attempts`]: the first choice and one alternative.
pub const DEFAULT_MAX_ATTEMPTS: u32 = 2;

impl Default for Routing {
    fn default() -> Self {
        Self {
            body: None,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            explain_header: None,
        }
    }
}

/// `routing.body`: the part of a request's body that the router waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingBody {
    /// Maximum size of that part, in bytes. Default 16 KiB.
    pub size: usize,
    /// Longest wait for that part, from the end of the head. Default 1 s.
    pub wait: Duration,
    /// Media types of bodies that the router waits for. Default `application/json`.
    pub types: Vec<MediaRange>,
    /// Treatment of a request whose body is longer. Default [`TooLarge::Reject`].
    pub too_large: TooLarge,
}

impl RoutingBody {
    /// Returns whether the router waits for a body with these `Content-Type` values.
    pub fn is_for<'v>(&self, mut types: impl Iterator<Item = &'v [u8]>) -> bool {
        // If there are two values, it is unknown which one the server uses.
        let (Some(content_type), None) = (types.next(), types.next()) else {
            return false;
        };
        self.types.iter().any(|range| range.contains(content_type))
    }
}

impl Default for RoutingBody {
    fn default() -> Self {
        Self {
            size: 16 << 10,
            wait: Duration::from_secs(1),
            types: vec![MediaRange {
                kind: "application".to_owned(),
                subtype: Some("json".to_owned()),
            }],
            too_large: TooLarge::Reject,
        }
    }
}

/// Treatment of a request whose body is longer than [`RoutingBody::size`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooLarge {
    /// Reject it with 413.
    Reject,
    /// Route it by its first bytes.
    Route,
}

/// A media type, or all subtypes of a type: `application/json`, `text/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaRange {
    /// Type, in lowercase.
    kind: String,
    /// Subtype, in lowercase. None: any.
    subtype: Option<String>,
}

impl MediaRange {
    /// Parses a media range. Returns `None` if the text is neither `type/subtype` nor `type/*` (RFC
    /// 9110, section 8.3.1).
    pub(super) fn parse(text: &str) -> Option<MediaRange> {
        let (kind, subtype) = text.split_once('/')?;
        let is_token = |text: &str| {
            let is_special = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
            let mut bytes = text.bytes();
            !text.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || is_special(byte))
        };
        let is_range = is_token(kind) && !kind.contains('*') && is_token(subtype);
        let is_any = subtype == "*";
        let is_range = is_range && (is_any || !subtype.contains('*'));
        is_range.then(|| MediaRange {
            kind: kind.to_ascii_lowercase(),
            subtype: (!is_any).then(|| subtype.to_ascii_lowercase()),
        })
    }

    /// Returns whether a `Content-Type` matches, regardless of its parameters.
    pub fn contains(&self, content_type: &[u8]) -> bool {
        let media_type = content_type.split(|&byte| byte == b';').next();
        let media_type = media_type.unwrap_or_default().trim_ascii();
        let Some(slash) = media_type.iter().position(|&byte| byte == b'/') else {
            return false;
        };
        let (kind, subtype) = (&media_type[..slash], &media_type[slash + 1..]);
        kind.eq_ignore_ascii_case(self.kind.as_bytes())
            && match &self.subtype {
                Some(own) => subtype.eq_ignore_ascii_case(own.as_bytes()),
                None => !subtype.is_empty(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        let check = |range: &str, content_type: &str, expected| {
            let parsed = MediaRange::parse(range).unwrap();
            let found = parsed.contains(content_type.as_bytes());
            assert_eq!(found, expected, "{content_type} in {range}");
        };
        check("application/json", "application/json", true);
        check("application/json", "Application/JSON", true);
        check("APPLICATION/json", "application/json", true);
        check("application/json", "application/json; charset=utf-8", true);
        check("application/json", " application/json ;charset=utf-8", true);
        check("application/json", "application/jsonl", false);
        check("application/json", "application/problem+json", false);
        check("application/json", "application", false);
        check("application/json", "", false);
        check("text/*", "text/plain", true);
        check("text/*", "TEXT/html;q=1", true);
        check("text/*", "text/", false);
        check("text/*", "textual/plain", false);
    }

    #[test]
    fn no_media_ranges() {
        for text in [
            "", "/", "json", "text/", "/json", "*/*", "te*/x", "a/b*", "a/b/c", "a b/c",
        ] {
            assert_eq!(MediaRange::parse(text), None, "{text:?}");
        }
    }
}
