//! A reference writer that follows `docs/run/logs.md` literally: character by character, with
//! `core::fmt` and floating-point numbers. The tests compare the fast writer with it.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use crate::telemetry::{AccessRecord, LogFormat};

/// Formats the fields of a record in either format, separators included.
pub(super) fn fields(record: &AccessRecord<'_>, format: LogFormat) -> String {
    let mut line = Line(String::new(), format);
    line.text("id", record.id.map(|id| format!("{id:x}")).as_deref());
    line.text("frontend", Some(record.frontend));
    line.text("client", Some(&record.client.to_string()));
    let peer = record.peer.map(|peer| peer.to_string());
    line.text("peer", peer.as_deref());
    line.cut_text("method", record.method);
    line.cut_bytes("host", record.host);
    line.cut_bytes("target", record.target);
    line.plain("status", record.status);
    line.plain("bytes_in", Some(record.bytes_in));
    line.plain("bytes_out", Some(record.bytes_out));
    line.text("backend", record.backend);
    line.text("server", record.server);
    line.text("stage", record.stage);
    line.text("plugin", record.plugin);
    line.plain("version", record.version);
    line.plain("cached", record.cached);
    for (name, value) in record.tags {
        let name = format!("tag.{name}");
        match str::from_utf8(value) {
            Ok(value) => line.text(&name, Some(value)),
            Err(_) => line.bytes(&name, Some(value)),
        }
    }
    line.text("fault", record.fault);
    line.text("end", Some(record.end.as_str()));
    line.cut_text("reason", record.reason);
    line.plain("head", milliseconds(record.times.head, 1e3));
    line.plain("body", milliseconds(record.times.body, 1e3));
    line.plain("decision", milliseconds(record.times.decision, 1e6));
    line.plain("connect", milliseconds(record.times.connect, 1e3));
    line.plain("response", milliseconds(record.times.response, 1e3));
    line.plain("total", milliseconds(record.times.total, 1e3));
    line.0
}

/// Converts a time to milliseconds, rounded to a multiple of 1/`parts`.
fn milliseconds(time: Option<Duration>, parts: f64) -> Option<f64> {
    time.map(|time| (time.as_secs_f64() * 1e3 * parts).round() / parts)
}

struct Line(String, LogFormat);

impl Line {
    fn key(&mut self, name: &str) {
        match self.1 {
            LogFormat::Text => write!(self.0, " {name}=").unwrap(),
            LogFormat::Json => write!(self.0, ",\"{name}\":").unwrap(),
        }
    }

    fn plain(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.key(name);
            write!(self.0, "{value}").unwrap();
        }
    }

    /// Writes at most 1,024 bytes of `value`. If it is longer, its full length follows.
    fn cut_text(&mut self, name: &str, value: Option<&str>) {
        let shown = value.map(|value| {
            let ends = value.char_indices().map(|(at, char)| at + char.len_utf8());
            &value[..ends.take_while(|end| *end <= 1024).last().unwrap_or(0)]
        });
        self.text(name, shown);
        self.length(name, value.map_or(0, str::len));
    }

    fn cut_bytes(&mut self, name: &str, value: Option<&[u8]>) {
        self.bytes(name, value.map(|value| &value[..value.len().min(1024)]));
        self.length(name, value.map_or(0, <[u8]>::len));
    }

    fn length(&mut self, name: &str, length: usize) {
        self.plain(&format!("{name}_length"), (length > 1024).then_some(length));
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        self.key(name);
        if self.1 == LogFormat::Text && is_bare(value.as_bytes()) {
            self.0 += value;
            return;
        }
        self.0.push('"');
        for char in value.chars() {
            match (char, self.1) {
                ('"' | '\\', _) => write!(self.0, "\\{char}").unwrap(),
                _ if is_shown(char) => self.0.push(char),
                (_, LogFormat::Text) => write!(self.0, "{}", char.escape_default()).unwrap(),
                (_, LogFormat::Json) => {
                    for unit in char.encode_utf16(&mut [0; 2]) {
                        write!(self.0, "\\u{unit:04x}").unwrap();
                    }
                }
            }
        }
        self.0.push('"');
    }

    fn bytes(&mut self, name: &str, value: Option<&[u8]>) {
        let Some(value) = value else { return };
        self.key(name);
        if self.1 == LogFormat::Text && is_bare(value) {
            self.0 += str::from_utf8(value).unwrap();
            return;
        }
        let mut escaped = String::new();
        for &byte in value {
            match byte {
                b'\\' => escaped += "\\\\",
                // In JSON, a later step escapes the quote.
                b'"' if self.1 == LogFormat::Text => escaped += "\\\"",
                b' '..=b'~' => escaped.push(char::from(byte)),
                _ => write!(escaped, "\\x{byte:02x}").unwrap(),
            }
        }
        match self.1 {
            LogFormat::Text => write!(self.0, "\"{escaped}\"").unwrap(),
            LogFormat::Json => self.0 += &serde_json::to_string(&escaped).unwrap(),
        }
    }
}

fn is_bare(value: &[u8]) -> bool {
    let is_bare = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\=".contains(byte);
    !value.is_empty() && value.iter().all(is_bare)
}

fn is_shown(char: char) -> bool {
    matches!(char, ' '..='~') || (!char.is_ascii() && char.escape_debug().len() == 1)
}
