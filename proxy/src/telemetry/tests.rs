//! Tests of the log: both formats, escaping, rotation, and an output that is stuck.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::sink::Output;
use super::*;

/// What the writing thread wrote.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `log` under a subscriber of its own and returns what was written.
fn written(level: Level, format: LogFormat, log: impl FnOnce(&Telemetry)) -> String {
    let output = Written::default();
    let settings = LogSettings {
        level,
        format,
        ..LogSettings::default()
    };
    let (subscriber, telemetry) = assemble(
        &settings,
        Output::Stream(Box::new(output.clone())),
        false,
        None,
    );
    tracing::subscriber::with_default(subscriber, || log(&telemetry));
    drop(telemetry);
    output.text()
}

fn record() -> AccessRecord<'static> {
    AccessRecord {
        id: Some("4f1c"),
        frontend: "http-in",
        client: "127.0.0.1:50000",
        method: Some("GET"),
        host: Some(b"io.test.tld"),
        target: Some(b"/"),
        status: Some(200),
        bytes_in: 0,
        bytes_out: 512,
        backend: Some("node_backend"),
        server: Some("node_test"),
        plugin: Some("host-suffix"),
        version: Some(1),
        cached: Some(false),
        end: End::Ok,
        reason: None,
        times: Times {
            head: Some(Duration::from_nanos(21_400)),
            decision: Some(Duration::from_nanos(790)),
            connect: Some(Duration::from_micros(95)),
            response: Some(Duration::from_micros(1204)),
            total: Some(Duration::from_micros(1400)),
        },
    }
}

/// The line without its time.
fn after_time(line: &str) -> &str {
    line.split_once(' ').unwrap().1
}

#[test]
fn an_access_record_is_one_line_of_text() {
    let log = written(Level::INFO, LogFormat::Text, |_| record().emit());
    assert_eq!(
        after_time(&log),
        "INFO  access: id=4f1c frontend=http-in client=127.0.0.1:50000 method=GET \
         host=io.test.tld target=/ status=200 bytes_in=0 bytes_out=512 backend=node_backend \
         server=node_test plugin=host-suffix version=1 cached=false end=ok head=0.021 \
         decision=0.00079 connect=0.095 response=1.204 total=1.4\n"
    );
}

#[test]
fn an_access_record_is_one_flat_object() {
    let log = written(Level::INFO, LogFormat::Json, |_| record().emit());
    let mut line: Value = serde_json::from_str(&log).unwrap();
    let time = line.as_object_mut().unwrap().remove("time").unwrap();
    assert!(time.as_str().unwrap().ends_with('Z'));
    let expected = serde_json::json!({
        "level": "INFO", "source": "access", "id": "4f1c", "frontend": "http-in",
        "client": "127.0.0.1:50000", "method": "GET", "host": "io.test.tld", "target": "/",
        "status": 200, "bytes_in": 0, "bytes_out": 512, "backend": "node_backend",
        "server": "node_test", "plugin": "host-suffix", "version": 1, "cached": false,
        "end": "ok", "head": 0.021, "decision": 0.00079, "connect": 0.095,
        "response": 1.204, "total": 1.4,
    });
    assert_eq!(line, expected);
}

#[test]
fn absent_fields_are_left_out() {
    let bare = AccessRecord {
        id: None,
        method: None,
        host: None,
        target: None,
        status: None,
        backend: None,
        server: None,
        plugin: None,
        version: None,
        cached: None,
        end: End::Refused,
        reason: Some("bad framing"),
        times: Times::default(),
        ..record()
    };
    let log = written(Level::INFO, LogFormat::Text, |_| bare.emit());
    assert_eq!(
        after_time(&log),
        "INFO  access: frontend=http-in client=127.0.0.1:50000 bytes_in=0 bytes_out=512 \
         end=refused reason=\"bad framing\"\n"
    );
}

#[test]
fn every_end_has_a_word_of_its_own_in_the_manual() {
    let manual = include_str!("../../../docs/logs.md");
    let mut seen = std::collections::HashSet::new();
    for end in End::ALL {
        assert!(seen.insert(end.as_str()), "{end:?}");
        assert!(manual.contains(&format!("`{}`", end.as_str())), "{end:?}");
    }
}

#[test]
fn hostile_bytes_are_escaped() {
    let check = |target: &'static [u8], text: &str, json: &str| {
        let hostile = AccessRecord {
            target: Some(target),
            ..record()
        };
        let log = written(Level::INFO, LogFormat::Text, |_| hostile.emit());
        assert!(log.contains(&format!(" target={text} status=")), "{log}");
        let log = written(Level::INFO, LogFormat::Json, |_| hostile.emit());
        assert!(
            log.contains(&format!(",\"target\":{json},\"status\"")),
            "{log}"
        );
    };
    check(b"/a?b=c", r#""/a?b=c""#, r#""/a?b=c""#);
    check(b"", r#""""#, r#""""#);
    check(b"/\r\nx", r#""/\x0d\x0ax""#, r#""/\\x0d\\x0ax""#);
    check(b"\" end=ok", r#""\" end=ok""#, r#""\" end=ok""#);
    check(br"\x41", r#""\\x41""#, r#""\\\\x41""#);
    check(b"\x1b[31m\xff", r#""\x1b[31m\xff""#, r#""\\x1b[31m\\xff""#);
}

#[test]
fn any_event_stays_on_its_line() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let log = written(Level::INFO, format, |_| {
            let span = tracing::info_span!("request", path = "a\nb");
            let _entered = span.enter();
            tracing::info!(value = "x\n\u{202e}y", "from a plugin: {}", "\n\x1b[2Jgone");
        });
        assert_eq!(log.matches('\n').count(), 1, "{log}");
        assert!(!log.contains(['\x1b', '\u{202e}']), "{log}");
        assert!(log.contains("path"), "{log}");
    }
}

#[test]
fn a_message_cannot_pose_as_a_field() {
    let log = written(Level::INFO, LogFormat::Text, |_| {
        tracing::info!(key = 1, "all well end=ok");
    });
    assert!(
        log.ends_with("pointsman::telemetry::tests: \"all well end=ok\" key=1\n"),
        "{log}"
    );
}

#[test]
fn an_error_is_printed_with_its_causes() {
    let error = TelemetryError::Open {
        path: "/x".into(),
        source: io::Error::other("disk gone"),
    };
    let log = written(Level::INFO, LogFormat::Text, |_| {
        tracing::error!(error = &error as &dyn std::error::Error, "no log");
    });
    assert!(
        log.ends_with("no log error=\"cannot open the log file /x: disk gone\"\n"),
        "{log}"
    );
}

#[test]
fn the_level_changes_while_running() {
    let log = written(Level::WARN, LogFormat::Text, |telemetry| {
        tracing::debug!("not yet");
        telemetry.set_level(Level::DEBUG);
        tracing::debug!("seen");
        tracing::debug!(target: "wasmtime", "a dependency's");
        telemetry.set_level(Level::ERROR);
        tracing::warn!("no more");
    });
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("seen"), "{log}");
}

#[test]
fn access_records_have_a_switch_of_their_own() {
    let log = written(Level::ERROR, LogFormat::Text, |telemetry| {
        assert!(AccessRecord::enabled());
        record().emit();
        telemetry.set_access(AccessLog::Off);
        assert!(!AccessRecord::enabled());
        record().emit();
    });
    assert_eq!(log.lines().count(), 1, "{log}");
}

/// Takes one line at a time, each when it is told to.
struct Slow {
    gate: mpsc::Receiver<()>,
    output: Written,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Fails once the test has dropped its end: from then on nothing waits.
        let _ = self.gate.recv();
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_output_drops_lines_and_says_how_many() {
    let output = Written::default();
    let (open, gate) = mpsc::channel();
    let slow = Slow {
        gate,
        output: output.clone(),
    };
    let (subscriber, telemetry) = assemble(
        &LogSettings::default(),
        Output::Stream(Box::new(slow)),
        false,
        None,
    );
    let emitted = MAX_QUEUED_LINES + 2_000;
    tracing::subscriber::with_default(subscriber, || {
        for number in 0..emitted {
            tracing::info!(number, "line");
        }
    });
    drop(open);
    drop(telemetry);
    let log = output.text();
    let last = log.lines().last().unwrap();
    let lost: usize = last
        .rsplit_once("log lines were lost count=")
        .unwrap_or_else(|| panic!("{last}"))
        .1
        .parse()
        .unwrap();
    assert!(lost > 0);
    assert_eq!(log.matches(": line number=").count() + lost, emitted);
}

#[test]
fn a_rotated_file_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let settings = LogSettings {
        target: LogTarget::File(path.clone()),
        ..LogSettings::default()
    };
    let (subscriber, telemetry) = build(&settings, None).unwrap();
    std::fs::rename(&path, folder.path().join("access.log.1")).unwrap();
    telemetry.reopen();
    tracing::subscriber::with_default(subscriber, || tracing::info!("after"));
    drop(telemetry);
    assert!(std::fs::read_to_string(path).unwrap().contains("after"));
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error() {
    let settings = LogSettings {
        target: LogTarget::File("/dev/null/log".into()),
        ..LogSettings::default()
    };
    assert!(matches!(
        build(&settings, None).err(),
        Some(TelemetryError::Open { .. })
    ));
}

/// Splits a text line as its manual says: blanks part fields, but not within quotes.
fn fields(line: &str) -> Vec<(String, Vec<u8>)> {
    let mut fields = Vec::new();
    let mut rest = line
        .split_once("access: ")
        .unwrap()
        .1
        .trim_end_matches('\n');
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=').unwrap();
        let (value, after) = if let Some(quoted) = value.strip_prefix('"') {
            unquote(quoted)
        } else {
            let end = value.find(' ').unwrap_or(value.len());
            (value.as_bytes()[..end].to_vec(), &value[end..])
        };
        fields.push((name.to_owned(), value));
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    fields
}

fn unquote(quoted: &str) -> (Vec<u8>, &str) {
    let mut value = Vec::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => match chars.next().unwrap().1 {
                'x' => {
                    let digits = &quoted[at + 2..at + 4];
                    value.push(u8::from_str_radix(digits, 16).unwrap());
                    chars.nth(1);
                }
                other => value.push(u8::try_from(other).unwrap()),
            },
            _ => value.push(u8::try_from(char).unwrap()),
        }
    }
    panic!("no closing quote in {quoted}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_request_can_forge_a_line(
        host in proptest::collection::vec(any::<u8>(), 0..40),
        target in proptest::collection::vec(any::<u8>(), 0..80),
        method in "\\PC{0,8}",
    ) {
        let hostile = AccessRecord {
            method: Some(&method),
            host: Some(&host),
            target: Some(&target),
            ..record()
        };
        let text = written(Level::INFO, LogFormat::Text, |_| hostile.emit());
        prop_assert_eq!(text.matches('\n').count(), 1);
        prop_assert!(!text.trim_end_matches('\n').contains(char::is_control));

        let ascii = AccessRecord { method: Some("GET"), ..hostile };
        let text = written(Level::INFO, LogFormat::Text, |_| ascii.emit());
        let fields = fields(&text);
        let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
        prop_assert_eq!(names, [
            "id", "frontend", "client", "method", "host", "target", "status", "bytes_in",
            "bytes_out", "backend", "server", "plugin", "version", "cached", "end", "head",
            "decision", "connect", "response", "total",
        ]);
        prop_assert_eq!(&fields[4].1, &host);
        prop_assert_eq!(&fields[5].1, &target);

        let json = written(Level::INFO, LogFormat::Json, |_| hostile.emit());
        prop_assert_eq!(json.matches('\n').count(), 1);
        let line: Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(line.as_object().unwrap().len(), 23);
        prop_assert_eq!(line["method"].as_str(), Some(method.as_str()));
        let (bytes, _) = unquote(&format!(
            "{}\"",
            line["target"].as_str().unwrap().replace('"', "\\\"")
        ));
        prop_assert_eq!(bytes, target);
    }
}
