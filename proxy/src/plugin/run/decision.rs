//! A plugin's decision about one request: its destination, and the changes to request and response.
//!
//! Contains plain values: no wasmtime type, no I/O. Created by `convert` and `host`; read by the
//! router, its cache and the request path.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use super::backends::{BackendName, ServerName};
use crate::http::edit::Edit;
use crate::http::message::{ResponseHead, Version};

/// A plugin's decision about one request.
///
/// One decision can serve many requests. A part that differs between requests is given as the
/// number of a question, whose answer is filled in for each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Destination of the request.
    pub route: Route,
    /// Changes to the request head that the server receives; none with [`Route::Respond`].
    pub edits: Edits,
    /// Changes to the final response's head, in the order in which the plugin made them.
    pub response_edits: Vec<Edit>,
    /// How the request is sent. With [`Route::Respond`], only the tags are used.
    pub options: Options,
}

/// Destination of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A backend. It exists in the configuration, unless its name comes from an operator's table.
    Backend(BackendName),
    /// One server of a backend.
    Server(ServerChoice),
    /// The frontend's `default_backend`.
    Default,
    /// No backend: the proxy sends the plugin's local reply.
    Respond(Response),
    /// The router's next plugin decides. From the last plugin, the same as [`Route::Default`].
    Next,
}

/// One server of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerChoice {
    /// Name of the backend.
    pub backend: BackendName,
    /// Name of the server.
    pub server: ServerName,
    /// Fallback if the server is not usable.
    pub otherwise: Otherwise,
}

/// Fallback if the chosen server is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// Another server of the backend is chosen.
    AnotherServer,
    /// The choice counts as failed, and the router is called again.
    AskAgain,
}

/// A plugin's local reply: valid HTTP, without any field that frames a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status, 200 to 599.
    pub status: u16,
    /// Fields in the order given. No connection, framing or upgrade fields.
    pub fields: Vec<FieldLine>,
    /// Body; empty for 204, 205 and 304.
    pub body: Bytes,
}

/// A field line of a plugin's local reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldLine {
    /// Field name in lower case, which is valid in every version of HTTP.
    pub name: Box<[u8]>,
    /// Field value without leading and trailing whitespace.
    pub value: Box<[u8]>,
}

impl Response {
    /// Returns the value of each line of the field `name`, in order. The case of `name` does not
    /// matter.
    pub fn values(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        let lines = self.fields.iter();
        lines
            .filter(move |line| line.name.eq_ignore_ascii_case(name))
            .map(|line| &*line.value)
    }

    /// Writes this response's status and fields to `head`, with `reason` as the reason phrase.
    pub fn write_head(&self, reason: &[u8], head: &mut ResponseHead) {
        head.start(self.status, reason, Version::Http11);
        for FieldLine { name, value } in &self.fields {
            head.fields_mut().push(name, value);
        }
    }
}

/// Changes to a request's head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// Edits of all fields except Host, in the order in which the plugin made them.
    pub fields: Vec<Edit>,
    /// Edits that set a field to the answer to a question, each as its index in `fields` and the
    /// question's number. Until the answer is filled in, or if there is none, the edit removes the
    /// field.
    pub by: Vec<(usize, u32)>,
    /// New value of Host: one host with an optional port, not empty.
    pub authority: Option<Box<[u8]>>,
    /// New target, or a new prefix for it.
    pub target: Option<Target>,
}

/// A change to a request's target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A new target: origin form, ASCII without blanks and `#`.
    Whole(Box<[u8]>),
    /// A new prefix of the path.
    Prefix {
        /// Number of bytes of the path that are replaced. If the path is shorter, all of it is
        /// replaced.
        length: usize,
        /// Replacement: ASCII without blanks, `?` and `#`; can be empty.
        replacement: Box<[u8]>,
    },
}

impl Target {
    /// Returns the target that replaces `target`. The result begins with `/`, except that a prefix
    /// edit leaves the target `*` unchanged.
    pub fn apply<'a>(&'a self, target: &'a [u8]) -> Cow<'a, [u8]> {
        let (length, replacement) = match self {
            Target::Whole(whole) => return Cow::Borrowed(whole),
            Target::Prefix { .. } if !target.starts_with(b"/") => return Cow::Borrowed(target),
            Target::Prefix {
                length,
                replacement,
            } => (*length, replacement),
        };
        let query = target.iter().position(|&byte| byte == b'?');
        let path_end = query.unwrap_or(target.len());
        let rest = &target[length.min(path_end)..];
        let begins_with_slash = match replacement.first() {
            Some(first) => *first == b'/',
            None => rest.first() == Some(&b'/'),
        };
        let slash: &[u8] = if begins_with_slash { b"" } else { b"/" };
        Cow::Owned([slash, replacement, rest].concat())
    }

    /// Returns the number of bytes of the new target or prefix.
    pub fn size(&self) -> usize {
        match self {
            Target::Whole(text) => text.len(),
            Target::Prefix { replacement, .. } => replacement.len(),
        }
    }
}

/// Options for sending one request, which override the backend's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Affinity key: requests with the same key go to the same server.
    pub affinity: Option<Value>,
    /// Longest wait for a free slot; zero means no wait.
    pub queue_timeout: Option<Duration>,
    /// Longest time to establish a connection.
    pub connect_timeout: Option<Duration>,
    /// Longest time without data from the server.
    pub server_timeout: Option<Duration>,
    /// Longest time without data in either direction of a tunnel.
    pub tunnel_timeout: Option<Duration>,
    /// Maximum number of attempts to send the request, 1 to 16.
    pub tries: Option<u8>,
    /// Tags for the access log record.
    pub tags: Vec<Tag>,
}

/// A value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The same for every request that the decision serves.
    Fixed(Box<[u8]>),
    /// The answer to the question with this number.
    By(u32),
}

impl Value {
    /// Returns the number of bytes of the value.
    pub fn size(&self) -> usize {
        match self {
            Value::Fixed(value) => value.len(),
            Value::By(_) => 0,
        }
    }
}

/// A name and a value for the access log record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Tag name, with the characters of a field name.
    pub name: Box<str>,
    /// Tag value, at most 256 bytes after answers are filled in.
    pub value: Value,
}

/// Maximum number of tags of one request. If several plugins set more, the first ones are kept.
pub(super) const MAX_TAGS: usize = 16;

/// Maximum number of bytes of a tag's value; longer values are cut.
pub(super) const MAX_TAG_VALUE: usize = 256;

impl Options {
    /// Returns whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Options::default()
    }

    /// Merges the options of a later plugin into these. A later option replaces the earlier one,
    /// and so does a tag of the same name.
    pub fn merge(&mut self, later: &Options) {
        fn replace<T: Clone>(mine: &mut Option<T>, theirs: Option<&T>) {
            if let Some(theirs) = theirs {
                *mine = Some(theirs.clone());
            }
        }
        replace(&mut self.affinity, later.affinity.as_ref());
        replace(&mut self.queue_timeout, later.queue_timeout.as_ref());
        replace(&mut self.connect_timeout, later.connect_timeout.as_ref());
        replace(&mut self.server_timeout, later.server_timeout.as_ref());
        replace(&mut self.tunnel_timeout, later.tunnel_timeout.as_ref());
        replace(&mut self.tries, later.tries.as_ref());
        for tag in &later.tags {
            self.set_tag(tag.clone());
        }
    }

    /// Sets a tag, replacing an earlier one of the same name. Returns false if there are already 16
    /// tags with other names.
    pub fn set_tag(&mut self, tag: Tag) -> bool {
        let has_room = self.tags.len() < MAX_TAGS;
        match self.tags.iter_mut().find(|known| known.name == tag.name) {
            Some(known) => *known = tag,
            None if has_room => self.tags.push(tag),
            None => return false,
        }
        true
    }
}

impl Edits {
    /// Returns whether the edits leave the head unchanged.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.authority.is_none() && self.target.is_none()
    }

    /// Appends the edits of a later plugin. A later Host or target replaces the earlier one.
    pub fn merge(&mut self, later: &Edits) {
        let before = self.fields.len();
        self.fields.extend_from_slice(&later.fields);
        let by = later.by.iter();
        self.by
            .extend(by.map(|&(at, question)| (before + at, question)));
        if later.authority.is_some() {
            self.authority.clone_from(&later.authority);
        }
        if later.target.is_some() {
            self.target.clone_from(&later.target);
        }
    }
}

impl Decision {
    /// Returns a decision without edits and options.
    pub fn plain(route: Route) -> Decision {
        Decision {
            route,
            edits: Edits::default(),
            response_edits: Vec::new(),
            options: Options::default(),
        }
    }

    /// Returns whether the decision contains nothing but a route.
    pub fn is_plain(&self) -> bool {
        self.edits.is_empty() && self.response_edits.is_empty() && self.options.is_empty()
    }

    /// Returns whether any part of the decision is the answer to a question, to be filled in for
    /// each request.
    pub fn has_questions(&self) -> bool {
        let options = &self.options;
        let is_by = |value: &Value| matches!(value, Value::By(_));
        !self.edits.by.is_empty()
            || options.affinity.as_ref().is_some_and(is_by)
            || options.tags.iter().any(|tag| is_by(&tag.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_replaced_in_the_path_alone() {
        let check = |length, replacement: &str, target: &str, expected: &str| {
            let edit = Target::Prefix {
                length,
                replacement: replacement.as_bytes().into(),
            };
            let found = edit.apply(target.as_bytes());
            assert_eq!(
                &*found,
                expected.as_bytes(),
                "{length} {replacement:?} {target}"
            );
        };
        check(4, "", "/api/users?page=2", "/users?page=2");
        check(4, "", "/api", "/");
        check(4, "", "/api?a=b", "/?a=b");
        check(4, "", "/api/?", "/?");
        check(4, "/v2", "/api/users", "/v2/users");
        check(4, "", "/apiary", "/ary");
        check(4, "v2", "/apiary", "/v2ary");
        check(100, "/x", "/api?/a/b", "/x?/a/b");
        check(0, "/x", "/a", "/x/a");
        check(0, "", "/a", "/a");
        check(1, "", "*", "*");
        check(1, "", "", "");
        let whole = Target::Whole((*b"/b").into());
        assert_eq!(&*whole.apply(b"/a?c"), b"/b");
    }

    #[test]
    fn later_edits_and_options_follow_earlier_ones() {
        let tag = |name: &str, value: &[u8]| Tag {
            name: name.into(),
            value: Value::Fixed(value.into()),
        };
        let mut edits = Edits {
            fields: vec![Edit::remove(b"x-a").unwrap()],
            by: vec![(0, 7)],
            authority: Some((*b"a").into()),
            target: None,
        };
        edits.merge(&Edits {
            fields: vec![
                Edit::set(b"x-b", b"1").unwrap(),
                Edit::remove(b"x-c").unwrap(),
            ],
            by: vec![(1, 9)],
            authority: None,
            target: Some(Target::Whole((*b"/").into())),
        });
        assert_eq!(edits.by, [(0, 7), (2, 9)]);
        assert_eq!(edits.authority.as_deref(), Some(&b"a"[..]));
        assert!(edits.target.is_some());
        let mut options = Options {
            tries: Some(2),
            tags: vec![tag("a", b"1"), tag("b", b"2")],
            ..Options::default()
        };
        options.merge(&Options {
            affinity: Some(Value::By(1)),
            tags: vec![tag("b", b"3"), tag("c", b"4")],
            ..Options::default()
        });
        assert_eq!(
            (options.tries, options.affinity.clone()),
            (Some(2), Some(Value::By(1)))
        );
        assert_eq!(
            options.tags,
            [tag("a", b"1"), tag("b", b"3"), tag("c", b"4")]
        );
    }

    #[test]
    fn a_response_as_a_head() {
        let line = |value: &[u8]| FieldLine {
            name: (*b"set-cookie").into(),
            value: value.into(),
        };
        let response = Response {
            status: 429,
            fields: vec![line(b"a"), line(b"b")],
            body: Bytes::new(),
        };
        assert_eq!(
            response.values(b"Set-Cookie").collect::<Vec<_>>(),
            [b"a", b"b"]
        );
        let mut head = ResponseHead::default();
        response.write_head(b"Too Many Requests", &mut head);
        assert_eq!(
            (head.status(), head.reason()),
            (429, &b"Too Many Requests"[..])
        );
        assert_eq!(head.fields().values(b"set-cookie").count(), 2);
    }
}
