//! Formats `tracing` events as log lines, in text or JSON.
//!
//! Every value is escaped, wherever it comes from. Access records have a separate writer, `record`.

use std::error::Error;
use std::fmt::{self, Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, span};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::escape;
use super::settings::LogFormat;

/// Maximum length of a value in bytes; the rest is cut off.
///
/// A backtrace is the longest value that people read. With this limit, a line has at most 100 KB,
/// unless it has many such values.
pub(super) const MAX_VALUE: usize = 16 * 1024;

/// Formats events.
pub(super) struct Line(pub(super) LogFormat);

/// Formats the fields of spans, once for each span.
pub(super) struct Fields(pub(super) LogFormat);

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut pairs = Pairs::new(&mut writer, self.0);
        fields.record(&mut pairs);
        pairs.result
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &span::Record<'_>,
    ) -> fmt::Result {
        // Each field starts with its separator, so no other is needed.
        self.format_fields(current.as_writer(), fields)
    }
}

impl<S> FormatEvent<S, Fields> for Line
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn format_event(
        &self,
        cx: &FmtContext<'_, S, Fields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let logged = LogSource::of(event);
        let source = logged.as_deref().unwrap_or(metadata.target());
        match self.0 {
            LogFormat::Text => {
                text_prefix(&mut writer, *metadata.level(), source)?;
            }
            LogFormat::Json => {
                writer.write_str("{\"time\":\"")?;
                SystemTime.format_time(&mut writer)?;
                write!(writer, "\",\"level\":\"{}\",\"source\":", metadata.level())?;
                escaped(&mut writer, |out| escape::json(out, source))?;
            }
        }
        let mut pairs = Pairs::new(&mut writer, self.0);
        event.record(&mut pairs);
        pairs.result?;
        self.spans(cx, &mut writer)?;
        writer.write_str(match self.0 {
            LogFormat::Text => "\n",
            LogFormat::Json => "}\n",
        })
    }
}

impl Line {
    /// Writes the spans, outermost first. In text, the fields of the spans follow those of the
    /// event. In JSON the spans are an array of objects, because two spans can have fields of the
    /// same name.
    fn spans<S>(&self, cx: &FmtContext<'_, S, Fields>, writer: &mut Writer<'_>) -> fmt::Result
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let mut first = true;
        let scope = cx
            .event_scope()
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root);
        for span in scope {
            let extensions = span.extensions();
            let fields = extensions
                .get::<FormattedFields<Fields>>()
                .map_or("", |fields| fields.fields.as_str());
            match self.0 {
                LogFormat::Text => writer.write_str(fields)?,
                LogFormat::Json => {
                    writer.write_str(if first { ",\"spans\":[" } else { "," })?;
                    writer.write_str("{\"name\":")?;
                    escaped(writer, |out| escape::json(out, span.name()))?;
                    writer.write_str(fields)?;
                    writer.write_char('}')?;
                }
            }
            first = false;
        }
        if self.0 == LogFormat::Json && !first {
            writer.write_char(']')?;
        }
        Ok(())
    }
}

fn text_prefix(writer: &mut Writer<'_>, level: Level, source: &str) -> fmt::Result {
    if !writer.has_ansi_escapes() {
        SystemTime.format_time(writer)?;
        write!(writer, " {level:<5} ")?;
        escaped(writer, |out| escape::text_plain(out, source))?;
        return writer.write_char(':');
    }
    let color = match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    };
    writer.write_str("\x1b[2m")?;
    SystemTime.format_time(writer)?;
    write!(writer, "\x1b[0m \x1b[{color}m{level:<5}\x1b[0m \x1b[2m")?;
    escaped(writer, |out| escape::text_plain(out, source))?;
    writer.write_str(":\x1b[0m")
}

/// The source of a record from the `log` crate. `tracing-log` gives all such records the same
/// target, and puts the original target into a field.
struct LogSource(Option<String>);

impl LogSource {
    fn of(event: &Event<'_>) -> Option<String> {
        if event.metadata().target() != "log" {
            return None;
        }
        let mut source = LogSource(None);
        event.record(&mut source);
        source.0
    }
}

impl Visit for LogSource {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// Writes fields, each preceded by its separator.
struct Pairs<'a, 'writer> {
    writer: &'a mut Writer<'writer>,
    format: LogFormat,
    result: fmt::Result,
}

impl<'a, 'writer> Pairs<'a, 'writer> {
    fn new(writer: &'a mut Writer<'writer>, format: LogFormat) -> Self {
        Self {
            writer,
            format,
            result: Ok(()),
        }
    }

    fn pair(&mut self, field: &Field, value: &Value<'_>) {
        let shown;
        let value = match value {
            Value::Text(text) if text.len() > MAX_VALUE => {
                shown = shorten(text);
                &Value::Text(&shown)
            }
            value => value,
        };
        // `log.*` fields, which `tracing-log` adds, repeat the start of the line.
        if self.result.is_ok() && !field.name().starts_with("log.") {
            self.result = match self.format {
                LogFormat::Text => self.text_pair(field.name(), value),
                LogFormat::Json => self.json_pair(field.name(), value),
            };
        }
    }

    fn text_pair(&mut self, name: &str, value: &Value<'_>) -> fmt::Result {
        self.writer.write_char(' ')?;
        if name == "message" {
            return match value {
                // The message needs no quotes unless it could pose as a field.
                Value::Text(text) if !text.contains(['=', '"', '\\']) => {
                    escaped(self.writer, |out| escape::text_plain(out, text))
                }
                Value::Text(text) => escaped(self.writer, |out| escape::text_quoted(out, text)),
                Value::Bytes(bytes) => {
                    escaped(self.writer, |out| escape::text_bytes_quoted(out, bytes))
                }
                Value::Plain(plain) => write!(self.writer, "{plain}"),
            };
        }
        if self.writer.has_ansi_escapes() {
            write!(self.writer, "\x1b[2m{name}=\x1b[0m")?;
        } else {
            write!(self.writer, "{name}=")?;
        }
        match value {
            Value::Text(text) => escaped(self.writer, |out| escape::text(out, text)),
            Value::Bytes(bytes) => escaped(self.writer, |out| escape::text_bytes(out, bytes)),
            Value::Plain(plain) => write!(self.writer, "{plain}"),
        }
    }

    fn json_pair(&mut self, name: &str, value: &Value<'_>) -> fmt::Result {
        self.writer.write_char(',')?;
        escaped(self.writer, |out| escape::json(out, name))?;
        self.writer.write_char(':')?;
        match value {
            Value::Text(text) => escaped(self.writer, |out| escape::json(out, text)),
            Value::Bytes(bytes) => escaped(self.writer, |out| escape::json_bytes(out, bytes)),
            Value::Plain(plain) => write!(self.writer, "{plain}"),
        }
    }
}

/// Returns the start of a long string, followed by its full length.
fn shorten(text: &str) -> String {
    let shown = &text[..text.floor_char_boundary(MAX_VALUE)];
    format!("{shown}… ({} bytes)", text.len())
}

/// A field's value, classified by how it is written.
enum Value<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    /// A number or a boolean, written the same way in both formats.
    Plain(&'a dyn fmt::Display),
}

impl Visit for Pairs<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.pair(field, &Value::Text(value));
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.pair(field, &Value::Bytes(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.pair(field, &Value::Plain(&value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.pair(field, &Value::Plain(&value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.pair(field, &Value::Plain(&value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.pair(field, &Value::Plain(&value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.pair(field, &Value::Plain(&value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.pair(field, &Value::Plain(&value));
        } else {
            // JSON has no representation for this number.
            self.pair(field, &Value::Text(&value.to_string()));
        }
    }

    /// Writes the error with its whole chain of causes, since it is printed nowhere else.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            // Writing to a String does not fail.
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.pair(field, &Value::Text(&text));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.pair(field, &Value::Text(&format!("{value:?}")));
    }
}

/// Writes the output of `escape`.
fn escaped(writer: &mut Writer<'_>, escape: impl FnOnce(&mut Vec<u8>)) -> fmt::Result {
    let mut bytes = Vec::new();
    escape(&mut bytes);
    writer.write_str(&String::from_utf8_lossy(&bytes))
}
