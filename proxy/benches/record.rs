//! Cost of an access log record to the thread that writes it: `cargo bench --bench record`.
//!
//! To count instructions, profile this binary with callgrind and `--bench`, and look at the
//! inclusive count of `AccessRecord::emit`.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::path::PathBuf;
use std::time::Duration;

use divan::{Bencher, black_box};
use pointsman::telemetry::{
    self, AccessRecord, ClientAddress, End, LogFormat, LogSettings, LogTarget, Times,
};

fn main() {
    // A process has only one log, so the environment selects the format.
    let format = match std::env::var_os("RECORD_FORMAT") {
        Some(format) if format == "json" => LogFormat::Json,
        _ => LogFormat::Text,
    };
    let settings = LogSettings {
        format,
        target: LogTarget::File(PathBuf::from("/dev/null")),
        ..LogSettings::default()
    };
    let log = telemetry::install(&settings, None).unwrap();
    divan::main();
    drop(log);
}

/// Puts the record of a GET that a plugin routed into the queue.
#[divan::bench]
fn emit(bencher: Bencher<'_, '_>) {
    let record = record();
    bencher.bench_local(|| black_box(&record).emit());
}

fn record() -> AccessRecord<'static> {
    AccessRecord {
        id: Some(0x04f1_c7d2),
        frontend: "http-in",
        client: ClientAddress {
            address: "127.0.0.1",
            port: 50000,
        },
        peer: None,
        method: Some("GET"),
        host: Some(b"io.test.tld"),
        target: Some(b"/index.html?a=b"),
        status: Some(200),
        bytes_in: 0,
        bytes_out: 512,
        backend: Some("node_backend"),
        server: Some("node_test"),
        stage: Some("host-suffix"),
        plugin: Some("host-suffix"),
        version: Some(1),
        cached: Some(true),
        tags: &[],
        fault: None,
        end: End::Ok,
        reason: None,
        times: Times {
            head: Some(Duration::from_nanos(21_400)),
            body: None,
            decision: Some(Duration::from_nanos(790)),
            connect: Some(Duration::from_micros(95)),
            response: Some(Duration::from_micros(1204)),
            total: Some(Duration::from_micros(1400)),
        },
    }
}
