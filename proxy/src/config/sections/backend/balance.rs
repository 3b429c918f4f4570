//! `backend.NAME.balance`: how a server is chosen.

use std::ops::RangeInclusive;

use http::HeaderName;
use toml::de::DeValue;

use super::affinity::is_token;
use crate::config::hints::{self, Section};
use crate::config::reader::Entry;
use crate::config::{Balance, Hash, HashKey};

const ALGORITHMS: [(&str, Balance); 5] = [
    ("least_requests", Balance::LeastRequests),
    ("round_robin", Balance::RoundRobin),
    ("peak_ewma", Balance::PeakEwma),
    ("random", Balance::Random),
    ("first", Balance::First),
];

/// Range of `max_load`. At 100 %, no server could exceed its fair share, so no key would stay at
/// its server.
const MAX_LOAD: RangeInclusive<u32> = 101..=1000;

const KEY_FORM: &str = "`\"client\"`, `\"header:x-user\"`, `\"cookie:session\"` or `\"query:id\"`";

/// Reads `balance`: a word or a table.
pub(super) fn balance(entry: &Entry<'_>) -> Option<Balance> {
    if !entry.is_table() {
        if let DeValue::String(text) = entry.value()
            && let Some(help) = hints::foreign_balance(text)
        {
            entry.refuse(
                "uses a word of another proxy",
                "not a word of Pointsman",
                help,
            );
            return None;
        }
        return entry.choice(&ALGORITHMS);
    }
    let mut table = entry.table(Section::Balance)?;
    let key = table.require("hash", "`hash = \"client\"`");
    let max_load = table.take("max_load").and_then(|e| e.percent(MAX_LOAD));
    table.finish();
    let key = hash_key(&key?)?;
    Some(Balance::Hash(Hash { key, max_load }))
}

fn hash_key(entry: &Entry<'_>) -> Option<HashKey> {
    let text = entry.text("client")?;
    let refuse = |label: &str| {
        entry.refuse("is not a key", label, format!("as in {KEY_FORM}"));
        None
    };
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    match kind {
        "client" if text == "client" => Some(HashKey::Client),
        "header" => match HeaderName::try_from(name) {
            Ok(name) => Some(HashKey::Header(name)),
            Err(_) => refuse("no field has such a name"),
        },
        "cookie" if is_token(name) => Some(HashKey::Cookie(name.to_owned())),
        "cookie" => refuse("no cookie has such a name"),
        "query" if is_parameter(name) => Some(HashKey::Query(name.to_owned())),
        "query" => refuse("no parameter has such a name"),
        _ => refuse("not a part of a request"),
    }
}

/// Returns whether `name` is a valid name of a query parameter, as written in a URL.
fn is_parameter(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"&=#".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed)
}
