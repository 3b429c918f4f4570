//! Formats the access record as a line, in both formats.
//!
//! This code runs for every request. It writes bytes into an existing buffer, without allocation or
//! `core::fmt`, and writes each field once. `docs/run/logs.md` is its specification.

use std::time::{Duration, SystemTime};

use super::access::{AccessRecord, ClientAddress};
use super::clock::Clock;
use super::escape;
use super::number::{self, Precision};
use super::settings::{Color, LogFormat};

/// Maximum length in bytes of a value whose length a client or a plugin controls; the rest is cut
/// off.
///
/// URLs that people share are usually shorter. With this limit, a line has at most 25 KB, even if
/// every byte is escaped.
pub(super) const MAX_VALUE: usize = 1024;

/// A field's name, together with the characters around it in each format.
struct Key {
    text: &'static str,
    json: &'static str,
    name: &'static str,
}

macro_rules! key {
    ($name:literal) => {
        &Key {
            text: concat!(" ", $name, "="),
            json: concat!(",\"", $name, "\":"),
            name: $name,
        }
    };
}

/// Operations in which the two formats differ.
trait Form: Copy {
    fn key(self, out: &mut Vec<u8>, key: &Key);
    /// Writes the key of a tag. The tag's name is a token, which needs no escape.
    fn tag(self, out: &mut Vec<u8>, name: &str);
    fn text(self, out: &mut Vec<u8>, text: &str);
    fn bytes(self, out: &mut Vec<u8>, bytes: &[u8]);
    /// Writes a string that needs no escape in either format.
    fn word(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>));
}

#[derive(Clone, Copy)]
struct Text<const COLOR: bool>;

impl<const COLOR: bool> Form for Text<COLOR> {
    #[inline]
    fn key(self, out: &mut Vec<u8>, key: &Key) {
        if COLOR {
            out.extend_from_slice(b" \x1b[2m");
            out.extend_from_slice(key.name.as_bytes());
            out.extend_from_slice(b"=\x1b[0m");
        } else {
            out.extend_from_slice(key.text.as_bytes());
        }
    }

    fn tag(self, out: &mut Vec<u8>, name: &str) {
        let (before, after): (&[u8], &[u8]) = if COLOR {
            (b" \x1b[2mtag.", b"=\x1b[0m")
        } else {
            (b" tag.", b"=")
        };
        out.extend_from_slice(before);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(after);
    }

    #[inline]
    fn text(self, out: &mut Vec<u8>, text: &str) {
        escape::text(out, text);
    }

    fn bytes(self, out: &mut Vec<u8>, bytes: &[u8]) {
        escape::text_bytes(out, bytes);
    }

    fn word(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        write(out);
    }
}

#[derive(Clone, Copy)]
struct Json;

impl Form for Json {
    #[inline]
    fn key(self, out: &mut Vec<u8>, key: &Key) {
        out.extend_from_slice(key.json.as_bytes());
    }

    fn tag(self, out: &mut Vec<u8>, name: &str) {
        out.extend_from_slice(b",\"tag.");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
    }

    fn text(self, out: &mut Vec<u8>, text: &str) {
        escape::json(out, text);
    }

    fn bytes(self, out: &mut Vec<u8>, bytes: &[u8]) {
        escape::json_bytes(out, bytes);
    }

    fn word(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        out.push(b'"');
        write(out);
        out.push(b'"');
    }
}

/// Appends `record` to `out` as one line.
pub(super) fn write(
    record: &AccessRecord<'_>,
    out: &mut Vec<u8>,
    clock: &mut Clock,
    now: SystemTime,
    format: LogFormat,
    color: Color,
) {
    let time = clock.format(now);
    match (format, color) {
        (LogFormat::Text, Color::Never) => {
            out.extend_from_slice(time);
            out.extend_from_slice(b" INFO  access:");
            fields(record, out, Text::<false>);
            out.push(b'\n');
        }
        (LogFormat::Text, Color::Ansi) => {
            out.extend_from_slice(b"\x1b[2m");
            out.extend_from_slice(time);
            out.extend_from_slice(b"\x1b[0m \x1b[32mINFO \x1b[0m \x1b[2maccess:\x1b[0m");
            fields(record, out, Text::<true>);
            out.push(b'\n');
        }
        (LogFormat::Json, _) => {
            out.extend_from_slice(b"{\"time\":\"");
            out.extend_from_slice(time);
            out.extend_from_slice(b"\",\"level\":\"INFO\",\"source\":\"access\"");
            fields(record, out, Json);
            out.extend_from_slice(b"}\n");
        }
    }
}

fn fields(record: &AccessRecord<'_>, out: &mut Vec<u8>, form: impl Form) {
    if let Some(id) = record.id {
        form.key(out, key!("id"));
        form.word(out, |out| number::hexadecimal(out, id));
    }
    text(out, form, key!("frontend"), Some(record.frontend));
    address(out, form, key!("client"), record.client);
    if let Some(peer) = record.peer {
        address(out, form, key!("peer"), peer);
    }
    let method = record.method;
    cut_text(out, form, key!("method"), key!("method_length"), method);
    cut_bytes(out, form, key!("host"), key!("host_length"), record.host);
    let target = record.target;
    cut_bytes(out, form, key!("target"), key!("target_length"), target);
    count(out, form, key!("status"), record.status.map(u64::from));
    count(out, form, key!("bytes_in"), Some(record.bytes_in));
    count(out, form, key!("bytes_out"), Some(record.bytes_out));
    text(out, form, key!("backend"), record.backend);
    text(out, form, key!("server"), record.server);
    text(out, form, key!("stage"), record.stage);
    text(out, form, key!("plugin"), record.plugin);
    count(out, form, key!("version"), record.version.map(u64::from));
    if let Some(cached) = record.cached {
        form.key(out, key!("cached"));
        out.extend_from_slice(if cached { b"true" } else { b"false" });
    }
    for (name, value) in record.tags {
        form.tag(out, name);
        match str::from_utf8(value) {
            Ok(value) => form.text(out, value),
            Err(_) => form.bytes(out, value),
        }
    }
    text(out, form, key!("fault"), record.fault);
    form.key(out, key!("end"));
    form.word(out, |out| {
        out.extend_from_slice(record.end.as_str().as_bytes());
    });
    let reason = record.reason;
    cut_text(out, form, key!("reason"), key!("reason_length"), reason);
    let times = &record.times;
    time(out, form, key!("head"), times.head, Precision::Micros);
    time(out, form, key!("body"), times.body, Precision::Micros);
    time(
        out,
        form,
        key!("decision"),
        times.decision,
        Precision::Nanos,
    );
    time(out, form, key!("connect"), times.connect, Precision::Micros);
    time(
        out,
        form,
        key!("response"),
        times.response,
        Precision::Micros,
    );
    time(out, form, key!("total"), times.total, Precision::Micros);
}

fn address(out: &mut Vec<u8>, form: impl Form, key: &Key, client: ClientAddress<'_>) {
    form.key(out, key);
    if let Some(text) = client.without_port() {
        return form.text(out, text);
    }
    if !escape::is_bare(client.address.as_bytes()) {
        return form.text(out, &client.to_string());
    }
    form.word(out, |out| {
        if client.is_bracketed() {
            out.push(b'[');
            out.extend_from_slice(client.address.as_bytes());
            out.push(b']');
        } else {
            out.extend_from_slice(client.address.as_bytes());
        }
        out.push(b':');
        number::decimal(out, u64::from(client.port));
    });
}

#[inline]
fn text(out: &mut Vec<u8>, form: impl Form, key: &Key, value: Option<&str>) {
    if let Some(value) = value {
        form.key(out, key);
        form.text(out, value);
    }
}

/// Writes at most [`MAX_VALUE`] bytes of a string. If the string is longer, its full length is
/// written as a separate field.
#[inline]
fn cut_text(out: &mut Vec<u8>, form: impl Form, key: &Key, length: &Key, value: Option<&str>) {
    if let Some(value) = value {
        let end = value.floor_char_boundary(MAX_VALUE);
        form.key(out, key);
        form.text(out, &value[..end]);
        cut(out, form, length, value.len());
    }
}

/// Like [`cut_text`], for bytes.
#[inline]
fn cut_bytes(out: &mut Vec<u8>, form: impl Form, key: &Key, length: &Key, value: Option<&[u8]>) {
    if let Some(value) = value {
        form.key(out, key);
        form.bytes(out, &value[..value.len().min(MAX_VALUE)]);
        cut(out, form, length, value.len());
    }
}

#[inline]
fn cut(out: &mut Vec<u8>, form: impl Form, key: &Key, length: usize) {
    if length > MAX_VALUE {
        form.key(out, key);
        number::decimal(out, length as u64);
    }
}

#[inline]
fn count(out: &mut Vec<u8>, form: impl Form, key: &Key, value: Option<u64>) {
    if let Some(value) = value {
        form.key(out, key);
        number::decimal(out, value);
    }
}

#[inline]
fn time(
    out: &mut Vec<u8>,
    form: impl Form,
    key: &Key,
    value: Option<Duration>,
    precision: Precision,
) {
    if let Some(value) = value {
        form.key(out, key);
        number::milliseconds(out, value, precision);
    }
}
