//! Tests of the log: both formats, escaping, rotation, and a stuck output.

mod reference;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::Value;

use super::clock::Clock;
use super::sink::Output;
use super::*;

/// Bytes that the writing thread has written.
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

/// Calls `log` under a temporary subscriber and returns the lines written.
fn written(level: Level, format: LogFormat, log: impl FnOnce(&Telemetry)) -> String {
    written_in(Color::Never, level, format, log)
}

fn written_in(
    color: Color,
    level: Level,
    format: LogFormat,
    log: impl FnOnce(&Telemetry),
) -> String {
    let output = Written::default();
    let settings = LogSettings {
        level,
        format,
        ..LogSettings::default()
    };
    let (subscriber, _, telemetry) = assemble(
        &settings,
        Output::Stream(Box::new(output.clone())),
        color,
        None,
    )
    .unwrap();
    tracing::subscriber::with_default(subscriber, || log(&telemetry));
    drop(telemetry);
    output.text()
}

/// Formats an access record as a line.
fn line(record: &AccessRecord<'_>, format: LogFormat, color: Color) -> String {
    let mut out = Vec::new();
    let now = SystemTime::UNIX_EPOCH + Duration::from_micros(1_777_887_012_481_920);
    super::record::write(record, &mut out, &mut Clock::new(), now, format, color);
    String::from_utf8(out).unwrap()
}

fn text(record: &AccessRecord<'_>) -> String {
    line(record, LogFormat::Text, Color::Never)
}

fn json(record: &AccessRecord<'_>) -> String {
    line(record, LogFormat::Json, Color::Never)
}

/// Returns the record that `docs/run/logs.md` shows.
fn record() -> AccessRecord<'static> {
    AccessRecord {
        id: Some(0x4f1c),
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
        backend: Some("node_backend"),
        server: Some("node_test"),
        stage: Some("host-suffix"),
        plugin: Some("host-suffix"),
        version: Some(1),
        cached: Some(false),
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

#[test]
fn access_records_are_as_the_manual_shows_them() {
    let manual = include_str!("../../../docs/run/logs.md");
    for line in [text(&record()), json(&record())] {
        assert!(manual.contains(&format!("\n    {line}")), "{line}");
    }
}

#[test]
fn a_terminal_gets_colours() {
    let line = line(&record(), LogFormat::Text, Color::Ansi);
    assert!(
        line.starts_with(
            "\x1b[2m2026-05-04T09:30:12.481920Z\x1b[0m \x1b[32mINFO \x1b[0m \
             \x1b[2maccess:\x1b[0m \x1b[2mid=\x1b[0m4f1c \x1b[2mfrontend=\x1b[0mhttp-in "
        ),
        "{line:?}"
    );
}

#[test]
fn clients_are_shown_with_their_port_if_it_is_known() {
    let check = |address: &'static str, port: u16, expected: &str| {
        let client = ClientAddress { address, port };
        let line = text(&AccessRecord { client, ..record() });
        assert!(
            line.contains(&format!(" client={expected} method=")),
            "{line}"
        );
    };
    check("127.0.0.1", 80, "127.0.0.1:80");
    check("::1", 65535, "[::1]:65535");
    check("", 0, "unix");
    check("192.0.2.1", 0, "192.0.2.1");
    check("2001:db8::1", 0, "2001:db8::1");
    check("a b", 0, "\"a b\"");
    check("a b", 1, "\"a b:1\"");
}

#[test]
fn a_peer_is_shown_behind_the_client() {
    let peer = Some(ClientAddress {
        address: "::1",
        port: 80,
    });
    let record = AccessRecord { peer, ..record() };
    assert!(text(&record).contains(" client=127.0.0.1:50000 peer=[::1]:80 method="));
    assert!(json(&record).contains(r#""client":"127.0.0.1:50000","peer":"[::1]:80","method""#));
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
        stage: None,
        plugin: None,
        version: None,
        cached: None,
        end: End::Refused,
        reason: Some("bad framing"),
        times: Times::default(),
        ..record()
    };
    assert_eq!(
        text(&bare),
        "2026-05-04T09:30:12.481920Z INFO  access: frontend=http-in client=127.0.0.1:50000 bytes_in=0 bytes_out=512 \
         end=refused reason=\"bad framing\"\n"
    );
}

#[test]
fn every_end_has_a_word_of_its_own_in_the_manual() {
    let manual = include_str!("../../../docs/run/logs.md");
    let mut seen = std::collections::HashSet::new();
    for end in End::ALL {
        assert!(seen.insert(end.as_str()), "{end:?}");
        assert!(manual.contains(&format!("`{}`", end.as_str())), "{end:?}");
    }
}

#[test]
fn hostile_bytes_are_escaped() {
    let check = |target: &'static [u8], in_text: &str, in_json: &str| {
        let hostile = AccessRecord {
            target: Some(target),
            ..record()
        };
        let line = text(&hostile);
        assert!(
            line.contains(&format!(" target={in_text} status=")),
            "{line}"
        );
        let line = json(&hostile);
        assert!(
            line.contains(&format!(",\"target\":{in_json},\"status\"")),
            "{line}"
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
fn a_terminal_gets_no_control_characters_from_outside() {
    let hostile = "\x1b]0;title\x07\r\x08\u{9b}31m\u{202e}";
    let hostile_record = AccessRecord {
        frontend: hostile,
        client: ClientAddress {
            address: hostile,
            port: 0,
        },
        method: Some(hostile),
        host: Some(hostile.as_bytes()),
        target: Some(hostile.as_bytes()),
        backend: Some(hostile),
        server: Some(hostile),
        stage: Some(hostile),
        plugin: Some(hostile),
        fault: Some(hostile),
        reason: Some(hostile),
        ..record()
    };
    let mut log = line(&hostile_record, LogFormat::Text, Color::Ansi);
    log += &written_in(Color::Ansi, Level::INFO, LogFormat::Text, |_| {
        tracing::info!(text = hostile, display = %hostile, debug = ?hostile, "{hostile}");
        tracing::info!(target: "plugin", bytes = hostile.as_bytes(), "{hostile}");
        tracing::error!(error = &io::Error::other(hostile) as &dyn std::error::Error);
    });
    for color in ["\x1b[0m", "\x1b[2m", "\x1b[31m", "\x1b[32m"] {
        assert!(log.contains(color), "{color:?}");
        log = log.replace(color, "");
    }
    assert_eq!(log.lines().count(), 4);
    for line in log.split('\n') {
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(!line.contains('\u{202e}'), "{line:?}");
    }
}

#[test]
fn long_values_are_cut() {
    let check = |length: usize, shown: usize, after: &str| {
        let (bytes, words) = (vec![0xff; length], "ä".repeat(length));
        let long = AccessRecord {
            method: Some(&words),
            host: Some(&bytes),
            target: Some(&bytes),
            reason: Some(&words),
            ..record()
        };
        let line = text(&long);
        let fields = fields(&line);
        let value = |name: &str| {
            let mut all = fields.iter();
            all.find(|(found, _)| found == name).map(|(_, value)| value)
        };
        assert_eq!(value("target"), Some(&vec![0xff; shown]), "{length}");
        assert_eq!(value("host"), Some(&vec![0xff; shown]), "{length}");
        assert_eq!(
            value("target_length").is_some(),
            !after.is_empty(),
            "{length}"
        );
        assert!(
            line.contains(&format!("{after} status=")),
            "{length}: {line}"
        );
        assert_eq!(line.matches('ä').count(), 2 * 512.min(length), "{length}");
        // Even records of the longest escapes fit into the space that the queue reserves.
        let words = "\u{1}".repeat(length);
        let name = "n".repeat(64);
        let tags = [(name.as_str(), &[1; 256][..]); 16];
        let worst = AccessRecord {
            method: Some(&words),
            reason: Some(&words),
            tags: &tags,
            ..long
        };
        assert!(json(&worst).len() < 51_000, "{length}");
    };
    check(512, 512, "");
    check(1024, 1024, "");
    check(1025, 1024, "target_length=1025");
    check(60_000, 1024, "target_length=60000");
}

#[test]
fn values_of_other_lines_are_cut() {
    let log = written(Level::INFO, LogFormat::Text, |_| {
        tracing::info!(value = "ä".repeat(100_000), "{}", "x".repeat(100_000));
    });
    assert_eq!(log.matches('x').count(), 16_384);
    assert_eq!(log.matches('ä').count(), 8192);
    assert!(log.contains("x… (100000 bytes) value="), "{log:.40}");
    assert!(log.ends_with("ä… (200000 bytes)\"\n"), "{log:.40}");
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

/// An output that blocks each write until the test sends to `gate`.
struct Stuck {
    gate: mpsc::Receiver<()>,
    output: Written,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Returns an error once the test has dropped its end of the channel. From then on no write
        // blocks.
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
    let stuck = Stuck {
        gate,
        output: output.clone(),
    };
    let (subscriber, log, telemetry) = assemble(
        &LogSettings::default(),
        Output::Stream(Box::new(stuck)),
        Color::Never,
        None,
    )
    .unwrap();
    // The writing thread can have one batch in progress in addition to the batch that waits.
    let emitted = 3 * MAX_QUEUED_BYTES / text(&record()).len();
    let others = 100;
    for _ in 0..emitted {
        log.write(&record());
    }
    tracing::subscriber::with_default(subscriber, || {
        for number in 0..others {
            tracing::info!(number, "line");
        }
    });
    drop(open);
    drop(telemetry);
    let log = output.text();
    let reports: Vec<usize> = log
        .lines()
        .filter_map(|line| line.split_once("log lines were lost count="))
        .map(|(_, count)| count.parse().unwrap())
        .collect();
    let lost: usize = reports.iter().sum();
    assert!(lost >= emitted / 3, "{lost} of {emitted}");
    assert_eq!(log.lines().count() - reports.len() + lost, emitted + others);
    assert!(log.len() < 2 * MAX_QUEUED_BYTES + 4096, "{}", log.len());
}

#[test]
fn a_full_disk_drops_lines_and_blocks_nothing() {
    let settings = LogSettings {
        target: LogTarget::File("/dev/full".into()),
        ..LogSettings::default()
    };
    let (output, color) = open(&settings).unwrap();
    let (_, log, telemetry) = assemble(&settings, output, color, None).unwrap();
    // The writing thread has one batch in progress in addition to the batch that waits.
    for _ in 0..3 * MAX_QUEUED_BYTES / text(&record()).len() {
        log.write(&record());
    }
    assert!(telemetry.lost_lines() > 0);
}

#[test]
fn lines_of_many_threads_stay_whole() {
    const THREADS: usize = 8;
    const LINES: usize = 5_000;
    let output = Written::default();
    let (_, log, telemetry) = assemble(
        &LogSettings::default(),
        Output::Stream(Box::new(output.clone())),
        Color::Never,
        None,
    )
    .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                let client = format!("thread-{thread}");
                for number in 1..=LINES {
                    log.write(&AccessRecord {
                        client: ClientAddress {
                            address: &client,
                            port: 1,
                        },
                        bytes_in: number as u64,
                        ..record()
                    });
                }
            });
        }
    });
    drop(telemetry);
    let mut next = [1; THREADS];
    for line in output.text().lines() {
        let fields = fields(line);
        assert_eq!(fields.len(), 21, "{line}");
        let value = |index: usize| str::from_utf8(&fields[index].1).unwrap();
        let thread: usize = value(2)["thread-".len()..]
            .trim_end_matches(":1")
            .parse()
            .unwrap();
        // Lines of one thread stay in order.
        assert_eq!(value(7), next[thread].to_string());
        next[thread] += 1;
    }
    assert_eq!(next, [LINES + 1; THREADS]);
}

/// An output that accepts a few bytes at a time, and fails every other time.
struct Faulty {
    output: Written,
    fails: bool,
}

impl Write for Faulty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.fails = !self.fails;
        if self.fails {
            return Err(io::Error::other("disk full"));
        }
        self.output.write(&bytes[..bytes.len().min(7)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_rejected_write_is_tried_again() {
    let output = Written::default();
    let faulty = Faulty {
        output: output.clone(),
        fails: false,
    };
    let mut sink = Sink::new(Output::Stream(Box::new(faulty)), LogFormat::Text);
    sink.write(&mut b"first line\nsecond line\n".to_vec());
    while sink.is_behind() {
        sink.flush();
    }
    sink.report_lost(0, false);
    assert_eq!(output.text(), "first line\nsecond line\n");
}

#[test]
fn a_rotated_file_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let settings = LogSettings {
        target: LogTarget::File(path.clone()),
        ..LogSettings::default()
    };
    let (output, color) = open(&settings).unwrap();
    let (subscriber, _, telemetry) = assemble(&settings, output, color, None).unwrap();
    std::fs::rename(&path, folder.path().join("access.log.1")).unwrap();
    telemetry.reopen().unwrap();
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
        open(&settings).err(),
        Some(TelemetryError::Open { .. })
    ));
}

/// Splits a text line as the manual describes: spaces separate fields, but not within quotes.
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
        let line = text(&hostile);
        prop_assert_eq!(line.matches('\n').count(), 1);
        prop_assert!(!line.trim_end_matches('\n').contains(char::is_control));

        let line = text(&AccessRecord { method: Some("GET"), ..hostile });
        let fields = fields(&line);
        let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
        prop_assert_eq!(names, [
            "id", "frontend", "client", "method", "host", "target", "status", "bytes_in",
            "bytes_out", "backend", "server", "stage", "plugin", "version", "cached", "end",
            "head", "decision", "connect", "response", "total",
        ]);
        prop_assert_eq!(&fields[4].1, &host);
        prop_assert_eq!(&fields[5].1, &target);

        let line = json(&hostile);
        prop_assert_eq!(line.matches('\n').count(), 1);
        let line: Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(line.as_object().unwrap().len(), 24);
        prop_assert_eq!(line["method"].as_str(), Some(method.as_str()));
        let (bytes, _) = unquote(&format!(
            "{}\"",
            line["target"].as_str().unwrap().replace('"', "\\\"")
        ));
        prop_assert_eq!(bytes, target);
    }
    /// Tests arbitrary contents in every field, with arbitrary fields missing.
    #[test]
    fn the_writer_agrees_with_the_manual(
        texts in proptest::collection::vec(proptest::option::of(any_text()), 9),
        // Some values are long enough to be cut.
        bytes in proptest::collection::vec(
            proptest::option::of(prop_oneof![
                9 => proptest::collection::vec(any::<u8>(), 0..40),
                1 => proptest::collection::vec(any::<u8>(), 1000..1100),
            ]), 2,
        ),
        reason_before in prop_oneof![9 => Just(0), 1 => 1000usize..1030],
        numbers: (Option<u64>, Option<u16>, u64, u64, Option<u32>, u16),
        times in proptest::collection::vec(proptest::option::of(0u64..1 << 42), 6),
        cached: Option<bool>,
        end in proptest::sample::select(&End::ALL[..]),
    ) {
        let (id, status, bytes_in, bytes_out, version, port) = numbers;
        // Avoids exact halves of a microsecond, which can be rounded either way in floating point.
        let time = |index: usize| times[index].map(|time| Duration::from_nanos(time / 1000 * 1000 + 2));
        let reason = texts[6].as_ref().map(|text| "x".repeat(reason_before) + text);
        let record = AccessRecord {
            id,
            frontend: texts[0].as_deref().unwrap_or(""),
            client: ClientAddress { address: texts[1].as_deref().unwrap_or(""), port },
            peer: texts[2].as_deref().map(|address| ClientAddress { address, port }),
            method: texts[2].as_deref(),
            host: bytes[0].as_deref(),
            target: bytes[1].as_deref(),
            status,
            bytes_in,
            bytes_out,
            backend: texts[3].as_deref(),
            server: texts[4].as_deref(),
            stage: texts[8].as_deref(),
            plugin: texts[5].as_deref(),
            version,
            cached,
            tags: &[],
            fault: texts[7].as_deref(),
            end,
            reason: reason.as_deref(),
            times: Times {
                head: time(0),
                decision: time(1),
                connect: time(2),
                response: time(3),
                total: time(4),
                body: time(5),
            },
        };
        let line = text(&record);
        let expected = reference::fields(&record, LogFormat::Text);
        prop_assert_eq!(line, format!("2026-05-04T09:30:12.481920Z INFO  access:{expected}\n"));

        let line = json(&record);
        let expected = reference::fields(&record, LogFormat::Json);
        prop_assert_eq!(
            &line,
            &format!(
                "{{\"time\":\"2026-05-04T09:30:12.481920Z\",\"level\":\"INFO\",\
                 \"source\":\"access\"{expected}}}\n"
            )
        );
        let parsed: Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(parsed["bytes_out"].as_u64(), Some(bytes_out));
        let reason = record.reason.map(|reason| &reason[..reason.floor_char_boundary(1024)]);
        prop_assert_eq!(parsed["reason"].as_str(), reason);
    }
}

/// Returns strings with characters of all kinds. Characters with a special meaning in a log line
/// are overrepresented.
fn any_text() -> impl Strategy<Value = String> {
    let char = prop_oneof![
        any::<char>(),
        proptest::char::range(' ', '~'),
        proptest::sample::select(&['"', '\\', '=', ' ', '\n', '\r', '\u{7f}', '\u{202e}', 'ä'][..]),
    ];
    proptest::collection::vec(char, 0..24).prop_map(String::from_iter)
}
