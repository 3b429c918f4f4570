//! `backend.NAME.affinity`: rule for keeping requests at one server.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::hints::Section;
use crate::config::reader::{Entry, Table};
use crate::config::sections::{MAX_TIMEOUT, field_name, whole};
use crate::config::{Affinity, AffinityCookie, LearnedAffinity, SameSite, Secure};

const COOKIE_KEYS: [&str; 5] = ["secret", "secure", "http_only", "same_site", "max_age"];
const LEARN_KEYS: [&str; 2] = ["ttl", "max_entries"];

const SECURE: [(&str, Secure); 3] = [
    ("auto", Secure::Auto),
    ("always", Secure::Always),
    ("never", Secure::Never),
];

const SAME_SITE: [(&str, SameSite); 3] = [
    ("strict", SameSite::Strict),
    ("lax", SameSite::Lax),
    ("none", SameSite::None),
];

/// Range of `Max-Age`, which is in whole seconds.
const SECONDS: RangeInclusive<Duration> = Duration::from_secs(1)..=MAX_TIMEOUT;

/// Range of `ttl`. A session table can represent at most 48 days.
const TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(30 * 24);

const DEFAULT_TTL: Duration = Duration::from_mins(30);

/// Number of entries. Each entry uses up to 64 bytes.
const ENTRIES: RangeInclusive<u32> = 64..=16_777_216;

const DEFAULT_ENTRIES: u32 = 65_536;

pub(super) fn affinity(entry: &Entry<'_>) -> Option<Affinity> {
    let mut table = entry.table(Section::Affinity)?;
    let cookie = table.take("cookie");
    let learn = table.take("learn");
    match (&cookie, &learn) {
        (Some(_), None) => table.reject(&LEARN_KEYS, "applies only to `learn`"),
        (None, Some(_)) => table.reject(&COOKIE_KEYS, "applies only to `cookie`"),
        (None, None) => {
            table.missing("cookie", "`cookie = \"NAME\"`, or `learn = \"FIELD\"`");
        }
        (Some(cookie), Some(learn)) => {
            let diagnostic = learn.key_error(format!("`{}` does not go with `cookie`", learn.path));
            let diagnostic = diagnostic.label("one of these");
            let diagnostic = diagnostic.context(cookie.key.clone(), "the other");
            learn.push(diagnostic.help("leave one out"));
        }
    }
    let options = cookie_options(&mut table);
    let learned = (
        table.value_or("ttl", DEFAULT_TTL, |e| e.duration(TTL)),
        table.value_or("max_entries", DEFAULT_ENTRIES, |e| whole(e, ENTRIES)),
    );
    table.finish();
    if let Some(cookie) = cookie {
        let name = cookie_name(&cookie)?;
        return Some(Affinity::Cookie(AffinityCookie { name, ..options }));
    }
    let (ttl, max_entries) = learned;
    Some(Affinity::Learned(LearnedAffinity {
        field: field_name(&learn?, "mcp-session-id")?,
        ttl,
        max_entries,
    }))
}

/// Reads all options of a cookie except its name.
fn cookie_options(table: &mut Table<'_>) -> AffinityCookie {
    let secret = table.take("secret").and_then(|e| secret(&e));
    let secure = table.value_or("secure", Secure::default(), |e| e.choice(&SECURE));
    let same_site = table.take("same_site");
    let cookie = AffinityCookie {
        name: String::new(),
        secret: secret.unwrap_or_default(),
        secure,
        http_only: table.value_or("http_only", true, Entry::boolean),
        same_site: same_site
            .as_ref()
            .and_then(|e| e.choice(&SAME_SITE))
            .unwrap_or_default(),
        max_age: table.take("max_age").and_then(|e| e.duration(SECONDS)),
    };
    if let Some(entry) = same_site
        && cookie.same_site == SameSite::None
        && cookie.secure == Secure::Never
    {
        entry.refuse(
            "is `none`, but `secure` is `never`",
            "browsers drop such a cookie",
            "leave `secure` out, or write `secure = \"always\"`",
        );
    }
    cookie
}

fn secret(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text("a long random text")?;
    if text.is_empty() {
        entry.refuse("is empty", "no secret", "choose a long random text");
        return None;
    }
    Some(text.to_owned())
}

fn cookie_name(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text("server")?;
    if !is_token(text) {
        let help = "letters, digits and `!#$%&'*+-.^_`|~`, as in `\"server\"`";
        entry.refuse(
            "is not the name of a cookie",
            "no cookie can have this name",
            help,
        );
        return None;
    }
    Some(text.to_owned())
}

/// Returns whether `text` is a valid cookie name (RFC 6265, section 4.1.1; RFC 9110, section
/// 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}
