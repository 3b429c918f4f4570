//! Tables of a million entries: lookups, manual changes and loading.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::sync::{Arc, LazyLock};

use divan::{Bencher, black_box};
use pointsman::config::{DEFAULT_TABLE_SIZE, Table, TableFormat, TableValues};
use pointsman::tables::{PreparedTables, TableSet, Tables};

const ENTRIES: u64 = 1_000_000;
const NAME: &str = "tenants";

fn main() {
    divan::main();
}

/// A table and its file.
struct Place {
    _directory: tempfile::TempDir,
    config: Table,
}

impl Place {
    fn new(format: TableFormat) -> Place {
        let directory = tempfile::tempdir().unwrap();
        let mut text = String::new();
        let mut separator = '{';
        for number in 0..ENTRIES {
            let (key, value) = (String::from_utf8(key(number).into()).unwrap(), number % 10);
            match format {
                TableFormat::Csv => writeln!(text, "{key},backend-{value}"),
                TableFormat::Json => write!(text, "{separator}\"{key}\":\"backend-{value}\""),
            }
            .unwrap();
            separator = ',';
        }
        if format == TableFormat::Json {
            text.push('}');
        }
        let file = directory.path().join("tenants");
        fs::write(&file, text).unwrap();
        let config = Table {
            name: NAME.to_owned(),
            file,
            format,
            values: TableValues::Any,
            file_size: DEFAULT_TABLE_SIZE,
        };
        Place {
            _directory: directory,
            config,
        }
    }

    fn load(&self) -> Arc<Tables> {
        let config = std::slice::from_ref(&self.config);
        let prepared = PreparedTables::new(config, None, &|_| true);
        prepared.unwrap().commit(None).tables
    }
}

static TABLES: LazyLock<Arc<Tables>> = LazyLock::new(|| Place::new(TableFormat::Csv).load());

/// Returns the key of a tenant.
fn key(number: u64) -> [u8; 16] {
    let mut key = *b"tenant-000000000";
    let digits = format!("{number:09}");
    key[7..].copy_from_slice(digits.as_bytes());
    key
}

/// Returns numbers below `2 * ENTRIES` in an order that a processor cannot predict.
fn numbers() -> Vec<u64> {
    let mut number = 1;
    let next = |_| {
        number = (number * 1_103_515_245 + 12_345) % (2 * ENTRIES + 7);
        number
    };
    (0..ENTRIES).map(next).collect()
}

/// Looks up keys in an order that defeats the CPU caches.
fn look_up(bencher: Bencher<'_, '_>, key_of: impl Fn(u64) -> [u8; 16]) {
    let set: Arc<TableSet> = TABLES.current();
    let keys: Vec<_> = numbers().into_iter().map(key_of).collect();
    let mut keys = keys.iter().cycle();
    bencher.bench_local(|| {
        set.find(NAME, black_box(keys.next().unwrap()))
            .map(<[u8]>::len)
    });
}

#[divan::bench(sample_count = 50, sample_size = 20_000)]
fn found(bencher: Bencher<'_, '_>) {
    look_up(bencher, |number| key(number % ENTRIES));
}

#[divan::bench(sample_count = 50, sample_size = 20_000)]
fn not_found(bencher: Bencher<'_, '_>) {
    look_up(bencher, |number| key(ENTRIES + number));
}

#[divan::bench(sample_count = 50, sample_size = 20_000)]
fn one_key(bencher: Bencher<'_, '_>) {
    look_up(bencher, |_| key(7));
}

/// Cost of a request's first lookup, which fetches the current tables.
#[divan::bench]
fn current() -> Arc<TableSet> {
    TABLES.current()
}

/// Changes an entry manually, after up to a thousand earlier changes.
#[divan::bench(sample_count = 100, sample_size = 10)]
fn change(bencher: Bencher<'_, '_>) {
    let mut number = 0;
    bencher.bench_local(|| {
        number += 1;
        TABLES
            .change(NAME, &number.to_string(), Some("backend-1"), &|_| true)
            .unwrap();
        TABLES.sweep();
    });
}

#[divan::bench(sample_count = 5, args = [TableFormat::Csv, TableFormat::Json])]
fn load(bencher: Bencher<'_, '_>, format: TableFormat) {
    let place = Place::new(format);
    bencher.bench_local(|| place.load());
}
