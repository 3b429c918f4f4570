//! Converts a plugin's TOML table to the JSON that the plugin receives.

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::reader::Report;

/// Converts `value`. Values that JSON cannot represent are reported and become null.
///
/// A date or time becomes a string (RFC 3339). The TOML parser limits the nesting.
pub(super) fn from_toml(value: &Spanned<DeValue<'_>>, path: &str, report: &Report) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(datetime) => Value::String(datetime.to_string()),
        DeValue::Integer(integer) => {
            let number = i64::from_str_radix(integer.as_str(), integer.radix());
            let number = number.ok().map(Number::from);
            number_or_error(
                number,
                "is out of range",
                "must be -2^63 to 2^63-1",
                value,
                path,
                report,
            )
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(Number::from_f64);
            let help = "JSON has no infinity and no NaN";
            number_or_error(
                number,
                "cannot be given to a plugin",
                help,
                value,
                path,
                report,
            )
        }
        DeValue::Array(array) => {
            let element = |(i, element)| from_toml(element, &format!("{path}[{i}]"), report);
            Value::Array(array.iter().enumerate().map(element).collect())
        }
        DeValue::Table(table) => {
            let mut map = Map::new();
            for (key, value) in table {
                let path = format!("{path}.{}", key.get_ref());
                map.insert(key.get_ref().to_string(), from_toml(value, &path, report));
            }
            Value::Object(map)
        }
    }
}

fn number_or_error(
    number: Option<Number>,
    what: &str,
    label: &str,
    value: &Spanned<DeValue<'_>>,
    path: &str,
    report: &Report,
) -> Value {
    let Some(number) = number else {
        let message = format!("`{path}` {what}");
        report.push(Diagnostic::new(value.span(), message).label(label));
        return Value::Null;
    };
    Value::Number(number)
}
