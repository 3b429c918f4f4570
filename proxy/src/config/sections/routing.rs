//! `[frontend.NAME.routing]`: settings of the router as a whole.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, header};

use super::{field_name, whole};
use crate::config::hints::Section;
use crate::config::reader::{Entry, Table};
use crate::config::{MediaRange, Mode, Routing, RoutingBody, TooLarge};

/// Keys that apply only to a frontend with HTTP.
const HTTP_KEYS: [&str; 2] = ["body", "explain_header"];

/// Range of the number of router calls for one request. Each call can take as long as the first.
const ATTEMPTS: RangeInclusive<u32> = 1..=8;

/// Range of the size of a body's prefix. The prefixes of all waiting requests are kept in memory.
const BODY_SIZE: RangeInclusive<u64> = 1..=1 << 20;

/// Range of the wait for a body. With a wait of zero, the router would have no body to read. During
/// the wait, nothing is sent to a server.
const BODY_WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(1);

/// Fields that frame the message or control the connection. Only the sender of the message can set
/// them correctly.
const FRAMING: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

pub(super) fn routing(mut table: Table<'_>, mode: Mode) -> Routing {
    if mode == Mode::Tcp {
        table.reject(&HTTP_KEYS, "applies only to HTTP, but `mode` is `\"tcp\"`");
    }
    let default = Routing::default();
    let body = table.table("body", Section::RoutingBody);
    let routing = Routing {
        body: body.map(self::body),
        max_attempts: table.value_or("max_attempts", default.max_attempts, |e| whole(e, ATTEMPTS)),
        explain_header: table
            .take("explain_header")
            .and_then(|e| explain_header(&e)),
    };
    table.finish();
    routing
}

fn explain_header(entry: &Entry<'_>) -> Option<HeaderName> {
    let name = field_name(entry, "x-route")?;
    if FRAMING.contains(&name) {
        entry.refuse(
            "is a field that frames the message or the connection",
            "only the proxy sets it",
            "as in `\"x-route\"`",
        );
        return None;
    }
    Some(name)
}

fn body(mut table: Table<'_>) -> RoutingBody {
    let default = RoutingBody::default();
    let size = |entry: &Entry<'_>| usize::try_from(entry.size(BODY_SIZE)?).ok();
    let choices = [("reject", TooLarge::Reject), ("route", TooLarge::Route)];
    let body = RoutingBody {
        size: table.value_or("size", default.size, size),
        wait: table.value_or("wait", default.wait, |e| e.duration(BODY_WAIT)),
        types: table.value_or("types", default.types, media_ranges),
        too_large: table.value_or("too_large", default.too_large, |e| e.choice(&choices)),
    };
    table.finish();
    body
}

fn media_ranges(entry: &Entry<'_>) -> Option<Vec<MediaRange>> {
    let example = "as in `\"application/json\"` or `\"text/*\"`";
    let elements = entry.one_or_many();
    if elements.is_empty() {
        entry.refuse("is empty", "no request would wait", example);
        return None;
    }
    let range = |element: &Entry<'_>| {
        let range = MediaRange::parse(element.text("application/json")?);
        if range.is_none() {
            element.refuse("is not a media type", "no media type", example);
        }
        range
    };
    Some(elements.iter().filter_map(range).collect())
}
