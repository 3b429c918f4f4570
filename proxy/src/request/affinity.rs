//! Which server a request belongs to: by a cookie, by a session that was learned, or by the part of it
//! that `balance` hashes.

use std::fmt::Write as _;

use super::context::Context;
use super::outgoing::Outgoing;
use crate::config::Affinity as Configured;
use crate::config::{AffinityCookie, Balance, HashKey, SameSite, Secure};
use crate::http::cookie;
use crate::http::edit::Edit;
use crate::http::field::FieldKind;
use crate::http::message::{ResponseHead, Scheme};
use crate::upstream::{EndpointId, Lease, LocalCluster, hash};

/// Longest session that is learned: longer values are no sessions.
const MAX_SESSION: usize = 1024;

/// The server or the key that a request is bound to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Affinity {
    /// The endpoint of its session.
    pub(super) bound: Option<EndpointId>,
    /// The hash of its key.
    pub(super) key: Option<u64>,
}

impl Affinity {
    /// Of a request.
    #[inline]
    pub(super) fn of(cx: &Context, outgoing: &Outgoing) -> Affinity {
        let cluster = outgoing.backend();
        cluster.with_settings(|settings| {
            let backend = &settings.backend;
            Affinity {
                bound: match &backend.affinity {
                    None => None,
                    Some(configured) => bound(cx, cluster, configured),
                },
                key: match &backend.balance {
                    Balance::Hash(hash) => key(cx, outgoing.edits(), &hash.key),
                    _ => None,
                },
            }
        })
    }

    /// After the head of a response: keeps its session with its server.
    pub(super) fn answered(self, cx: &mut Context, lease: &Lease, head: &ResponseHead) {
        let Some(configured) = &lease.settings().backend.affinity else {
            return;
        };
        let endpoint = lease.endpoint();
        let id = endpoint.endpoint().id();
        match configured {
            Configured::Cookie(cookie) => {
                if self.bound != Some(id) {
                    let value = set_cookie(cookie, endpoint.cookie(), cx.head.scheme());
                    cx.edit_response(Edit::append(b"Set-Cookie", value.as_bytes()).ok());
                }
            }
            Configured::Learned(learned) => {
                let name = learned.field.as_str().as_bytes();
                if let Some(session) = head.fields().values(name).find(|value| is_session(value)) {
                    lease.cluster().cluster().remember(session, id);
                }
            }
        }
    }
}

fn bound(cx: &Context, cluster: &LocalCluster, configured: &Configured) -> Option<EndpointId> {
    let fields = cx.head.fields();
    match configured {
        Configured::Cookie(cookie) => {
            let value = cookie::find(fields, cookie.name.as_bytes())?;
            let value = std::str::from_utf8(value).ok()?;
            cluster.endpoint_of_cookie(u64::from_str_radix(value, 16).ok()?)
        }
        Configured::Learned(learned) => {
            let mut values = fields.values(learned.field.as_str().as_bytes());
            let session = values.find(|value| is_session(value))?;
            cluster.cluster().learned(session, learned.ttl)
        }
    }
}

fn is_session(value: &[u8]) -> bool {
    (1..=MAX_SESSION).contains(&value.len())
}

/// The hash of the key. A field is taken as the server gets it, so that a plugin can choose the key.
fn key(cx: &Context, edits: &[Edit], key: &HashKey) -> Option<u64> {
    let head = &cx.head;
    let value = match key {
        HashKey::Client => return Some(hash::of(cx.client().address.as_bytes())),
        HashKey::Header(name) => field(cx, edits, name.as_str().as_bytes()),
        HashKey::Cookie(name) => cookie::find(head.fields(), name.as_bytes()),
        HashKey::Query(name) => cookie::find_parameter(head.query()?, name.as_bytes()),
    };
    value.map(hash::of)
}

/// The first value of a field, or the one that the decision gives it.
fn field<'v>(cx: &'v Context, edits: &'v [Edit], name: &[u8]) -> Option<&'v [u8]> {
    if FieldKind::of(name) == FieldKind::Host {
        return cx.head.authority();
    }
    let mut last = edits.iter().rev();
    match last.find(|edit| edit.name().eq_ignore_ascii_case(name)) {
        // None if it is removed.
        Some(edit) => edit.value(),
        None => cx.head.fields().values(name).next(),
    }
}

fn set_cookie(cookie: &AffinityCookie, value: u64, scheme: Scheme) -> String {
    let mut text = format!("{}={value:016x}; Path=/", cookie.name);
    if let Some(max_age) = cookie.max_age {
        // Writing to a String does not fail.
        let _ = write!(text, "; Max-Age={}", max_age.as_secs());
    }
    if cookie.http_only {
        text.push_str("; HttpOnly");
    }
    let is_secure = match cookie.secure {
        Secure::Auto => scheme == Scheme::Https,
        Secure::Always => true,
        Secure::Never => false,
    };
    if is_secure {
        text.push_str("; Secure");
    }
    text.push_str(match cookie.same_site {
        SameSite::Strict => "; SameSite=Strict",
        SameSite::Lax => "; SameSite=Lax",
        SameSite::None => "; SameSite=None",
    });
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn cookies_as_configured() {
        let cookie = AffinityCookie {
            name: "server".to_owned(),
            secret: String::new(),
            secure: Secure::Auto,
            http_only: true,
            same_site: SameSite::Lax,
            max_age: None,
        };
        let check = |cookie: &AffinityCookie, scheme, expected: &str| {
            let text = set_cookie(cookie, 0xab, scheme);
            assert_eq!(text, format!("server=00000000000000ab; Path=/{expected}"));
        };
        check(&cookie, Scheme::Http, "; HttpOnly; SameSite=Lax");
        check(&cookie, Scheme::Https, "; HttpOnly; Secure; SameSite=Lax");
        let other = AffinityCookie {
            secure: Secure::Always,
            http_only: false,
            same_site: SameSite::None,
            max_age: Some(Duration::from_hours(1)),
            ..cookie
        };
        check(
            &other,
            Scheme::Http,
            "; Max-Age=3600; Secure; SameSite=None",
        );
    }
}
