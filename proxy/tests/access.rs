//! Access log records of a whole process: how they are turned on and off, and where they go.
//!
//! A separate file because a process has one log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pointsman::telemetry::{
    self, AccessLog, AccessRecord, ClientAddress, End, LogFormat, LogSettings, LogTarget, Times,
};

#[test]
fn access_records_have_a_switch_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let settings = LogSettings {
        level: tracing::Level::ERROR,
        format: LogFormat::Text,
        target: LogTarget::File(path.clone()),
    };
    let tapped = Arc::new(AtomicUsize::new(0));
    let tap = {
        let tapped = Arc::clone(&tapped);
        move |record: &AccessRecord<'_>| {
            assert_eq!(record.frontend, "http-in");
            tapped.fetch_add(1, Ordering::Relaxed);
        }
    };
    assert!(!AccessRecord::enabled());
    record(1).emit();
    let log = telemetry::install(&settings, Some(Box::new(tap))).unwrap();
    assert!(AccessRecord::enabled());
    record(2).emit();
    log.set_access(AccessLog::Off);
    assert!(!AccessRecord::enabled());
    record(3).emit();
    log.set_access(AccessLog::On);
    record(4).emit();
    // The log level hides this event, but not access log records.
    tracing::warn!(target: "pointsman", "hidden");
    let second = telemetry::install(&settings, None);
    assert!(matches!(
        second,
        Err(telemetry::TelemetryError::Installed(_))
    ));
    drop(log);
    let text = std::fs::read_to_string(path).unwrap();
    let ids: Vec<_> = text
        .lines()
        .map(|line| {
            line.split_once(" id=")
                .unwrap()
                .1
                .split(' ')
                .next()
                .unwrap()
        })
        .collect();
    assert_eq!(ids, ["2", "4"], "{text}");
    assert_eq!(tapped.load(Ordering::Relaxed), 2);
}

fn record(id: u64) -> AccessRecord<'static> {
    AccessRecord {
        id: Some(id),
        frontend: "http-in",
        client: ClientAddress {
            address: "127.0.0.1",
            port: 50000,
        },
        peer: None,
        method: Some("GET"),
        host: Some(b"io.test.tld"),
        target: Some(b"/"),
        status: Some(200),
        bytes_in: 0,
        bytes_out: 512,
        backend: None,
        server: None,
        stage: None,
        plugin: None,
        version: None,
        cached: None,
        tags: &[],
        fault: None,
        end: End::Ok,
        reason: None,
        times: Times::default(),
    }
}
