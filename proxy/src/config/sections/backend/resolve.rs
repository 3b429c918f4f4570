//! `backend.NAME.resolve`: how names are resolved to addresses.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::reader::{Entry, Table};
use crate::config::sections::{MAX_TIMEOUT, ordered};
use crate::config::{Init, Resolve, address};

const INITS: [(&str, Init); 3] = [
    ("last", Init::Last),
    ("none", Init::None),
    ("required", Init::Required),
];

/// Range of intervals. Shorter intervals would flood the DNS servers.
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=MAX_TIMEOUT;

pub(super) fn resolve(mut table: Table<'_>) -> Resolve {
    let default = Resolve::default();
    let nameservers = table.take("nameservers").map(|e| e.one_or_many());
    let nameservers = nameservers.iter().flatten().filter_map(nameserver);
    let least = ("min_interval", default.min_interval);
    let most = ("max_interval", default.max_interval);
    let (min_interval, max_interval) = ordered(&mut table, &INTERVAL, least, most);
    let resolve = Resolve {
        init: table.value_or("init", default.init, |e| e.choice(&INITS)),
        nameservers: nameservers.collect(),
        min_interval,
        max_interval,
    };
    table.finish();
    resolve
}

fn nameserver(entry: &Entry<'_>) -> Option<SocketAddr> {
    match address::nameserver(entry.text("127.0.0.1")?) {
        Ok(address) => Some(address),
        Err(error) => {
            entry.refuse("is not an address", error.label, error.help);
            None
        }
    }
}
