//! Parses and formats durations, sizes and percentages, all with a unit. Pure functions.

use std::time::Duration;

/// Units of durations, longest first, in nanoseconds.
const DURATION_UNITS: &[(&str, u64)] = &[
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
];

/// Units of sizes, largest first, in bytes.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Size units of other programs, and the unit to write instead.
const FOREIGN_SIZE_UNITS: &[(&str, &str)] = &[
    ("k", "KiB"),
    ("kb", "KiB"),
    ("kib", "KiB"),
    ("m", "MiB"),
    ("mb", "MiB"),
    ("mib", "MiB"),
    ("g", "GiB"),
    ("gb", "GiB"),
    ("gib", "GiB"),
    ("b", "B"),
    ("bytes", "B"),
];

/// Duration units of other programs, and the unit to write instead.
const FOREIGN_DURATION_UNITS: &[(&str, &str)] = &[
    ("µs", "us"),
    ("μs", "us"),
    ("usec", "us"),
    ("msec", "ms"),
    ("millis", "ms"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
];

/// Reason why a string is not a duration, size or percentage.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnitError {
    /// The mistake; shown next to the underlined text.
    pub(super) label: String,
    /// How to correct it.
    pub(super) help: String,
}

impl UnitError {
    fn new(label: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            help: help.into(),
        }
    }
}

/// Parses `"500ms"`, `"5s"`, `"1h30m"`: whole numbers, each with its unit, the longest unit first.
pub(super) fn duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last_unit = u64::MAX;
    loop {
        let (number, unit, tail) = number_and_unit(rest, DURATION_FORM)?;
        if unit.is_empty() {
            return Err(bare_duration(number));
        }
        let Some(&(_, nanos)) = DURATION_UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(foreign_duration(number, unit));
        };
        if nanos >= last_unit {
            let label = format!("`{unit}` does not go after a shorter or equal unit");
            return Err(UnitError::new(
                label,
                "longest unit first, each once: `1h30m`",
            ));
        }
        last_unit = nanos;
        let part = number.parse::<u64>().ok();
        total = part
            .and_then(|n| n.checked_mul(nanos))
            .and_then(|n| n.checked_add(total))
            .ok_or_else(|| UnitError::new("too long", "at most `365d`"))?;
        rest = tail;
        if rest.is_empty() {
            return Ok(Duration::from_nanos(total));
        }
    }
}

const DURATION_FORM: &str =
    "a duration is text with a unit: `500ms`, `5s`, `2m`, `24h`, `1d`, or a sum: `1h30m`";
const SIZE_FORM: &str = "a size is text with a unit: `512B`, `64KiB`, `64MiB`, `1GiB`";

/// Returns the error for a duration without a unit.
pub(super) fn bare_duration(number: &str) -> UnitError {
    let help = format!(
        "add the unit: `\"{number}ms\"` for milliseconds, as HAProxy counts, or `\"{number}s\"`"
    );
    UnitError::new("no unit", help)
}

fn foreign_duration(number: &str, unit: &str) -> UnitError {
    let lower = unit.to_lowercase();
    let known = DURATION_UNITS.iter().map(|(name, _)| (*name, *name));
    let mut pairs = FOREIGN_DURATION_UNITS.iter().copied().chain(known);
    let help = match pairs.find(|(foreign, _)| *foreign == lower) {
        Some((_, ours)) => format!("write `\"{number}{ours}\"`"),
        None => "units are `us`, `ms`, `s`, `m` (minutes), `h`, `d`".to_owned(),
    };
    UnitError::new(format!("`{unit}` is not a unit of time"), help)
}

/// Parses `"64KiB"`: one whole number with its unit.
pub(super) fn size(text: &str) -> Result<u64, UnitError> {
    let (number, unit, tail) = number_and_unit(text, SIZE_FORM)?;
    if unit.is_empty() {
        return Err(bare_size(number));
    }
    let factor = SIZE_UNITS.iter().find(|(name, _)| *name == unit);
    let Some(&(_, factor)) = factor else {
        let lower = unit.to_lowercase();
        let ours = FOREIGN_SIZE_UNITS.iter().find(|(name, _)| *name == lower);
        let help = match ours {
            Some((_, ours)) => format!("write `\"{number}{ours}\"` (1 KiB is 1024 bytes)"),
            None => "units are `B`, `KiB`, `MiB`, `GiB`".to_owned(),
        };
        return Err(UnitError::new(
            format!("`{unit}` is not a unit of size"),
            help,
        ));
    };
    if !tail.is_empty() {
        return Err(UnitError::new("more than a number and a unit", SIZE_FORM));
    }
    let bytes = number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor));
    bytes.ok_or_else(|| UnitError::new("too large", SIZE_FORM))
}

/// Returns the error for a size without a unit.
pub(super) fn bare_size(number: &str) -> UnitError {
    let help =
        format!("add the unit: `\"{number}B\"` for bytes, `\"{number}KiB\"`, `\"{number}MiB\"`");
    UnitError::new("no unit", help)
}

/// Parses `"20%"`: one whole number with `%`.
pub(super) fn percent(text: &str) -> Result<u32, UnitError> {
    let Some(number) = text.strip_suffix('%') else {
        let is_number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        return Err(if is_number {
            bare_percent(text)
        } else {
            UnitError::new("no `%` at the end", PERCENT_FORM)
        });
    };
    // `parse` alone would accept a `+` sign.
    if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit()) {
        return Err(UnitError::new("not a whole number", PERCENT_FORM));
    }
    let percent = number.parse();
    percent.map_err(|_| UnitError::new("too large", PERCENT_FORM))
}

const PERCENT_FORM: &str = "a percentage is text: a whole number and `%`, as in `20%`";

/// Returns the error for a percentage without `%`.
pub(super) fn bare_percent(number: &str) -> UnitError {
    UnitError::new("no `%`", format!("write `\"{number}%\"`"))
}

/// Splits off the leading digits and the letters after them. The unit is empty if the text ends
/// after the digits.
fn number_and_unit<'t>(
    text: &'t str,
    form: &'static str,
) -> Result<(&'t str, &'t str, &'t str), UnitError> {
    let after_number = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(after_number);
    if number.is_empty() {
        let label = if text.is_empty() {
            "empty"
        } else {
            "no number"
        };
        return Err(UnitError::new(label, form));
    }
    let after_unit = rest
        .find(|c: char| !c.is_alphabetic())
        .unwrap_or(rest.len());
    let (unit, tail) = rest.split_at(after_unit);
    if unit.is_empty() && !rest.is_empty() {
        let label = match rest.chars().next() {
            Some('.' | ',') => "not a whole number",
            Some(c) if c.is_whitespace() => "a blank between number and unit",
            _ => "no unit after the number",
        };
        return Err(UnitError::new(label, form));
    }
    Ok((number, unit, tail))
}

/// Formats a duration in the longest unit that gives a whole number, for [`duration`] to parse.
pub(super) fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let unit = DURATION_UNITS
        .iter()
        .find(|(_, unit)| nanos.is_multiple_of(u128::from(*unit)));
    let (name, unit) = unit.unwrap_or(&("us", 1_000));
    format!("{}{name}", nanos / u128::from(*unit))
}

/// Formats a size in the largest unit that gives a whole number, for [`size`] to parse.
pub(super) fn show_size(bytes: u64) -> String {
    let unit = SIZE_UNITS
        .iter()
        .find(|(_, unit)| bytes.is_multiple_of(*unit) && bytes >= *unit);
    let (name, unit) = unit.unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, millis: u64| {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        };
        check("500ms", 500);
        check("5s", 5_000);
        check("2m", 120_000);
        check("24h", 86_400_000);
        check("1d", 86_400_000);
        check("1h30m", 5_400_000);
        check("1d2h3m4s5ms", 93_784_005);
        check("0s", 0);
        check("007s", 7_000);
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
    }

    #[test]
    fn not_durations() {
        let check = |text: &str, label: &str, help: &str| {
            let error = duration(text).unwrap_err();
            assert!(error.label.contains(label), "{text}: {error:?}");
            assert!(error.help.contains(help), "{text}: {error:?}");
        };
        check("", "empty", "`5s`");
        check("5", "no unit", "`\"5s\"`");
        check("1h30", "no unit", "`\"30s\"`");
        check("s", "no number", "`5s`");
        check("-5s", "no number", "`5s`");
        check("+5s", "no number", "`5s`");
        check("1.5s", "not a whole number", "`500ms`");
        check("5 s", "a blank", "`5s`");
        check("5s ", "no number", "`5s`");
        check("5S", "`S` is not a unit", "`\"5s\"`");
        check("5min", "`min` is not a unit", "`\"5m\"`");
        check("5µs", "`µs` is not a unit", "`\"5us\"`");
        check("2w", "`w` is not a unit", "units are");
        check("30m1h", "`h` does not go after", "1h30m");
        check("1s1s", "`s` does not go after", "1h30m");
        check("99999999999999d", "too long", "365d");
        check("99999999999999999999999s", "too long", "365d");
        check("٣s", "no number", "`5s`");
    }

    #[test]
    fn sizes() {
        let check = |text: &str, bytes: u64| assert_eq!(size(text), Ok(bytes), "{text}");
        check("0B", 0);
        check("512B", 512);
        check("64KiB", 65_536);
        check("64MiB", 67_108_864);
        check("1GiB", 1_073_741_824);
    }

    #[test]
    fn not_sizes() {
        let check = |text: &str, label: &str, help: &str| {
            let error = size(text).unwrap_err();
            assert!(error.label.contains(label), "{text}: {error:?}");
            assert!(error.help.contains(help), "{text}: {error:?}");
        };
        check("", "empty", "`64KiB`");
        check("64", "no unit", "`\"64KiB\"`");
        check("64KB", "`KB` is not a unit", "`\"64KiB\"`");
        check("64k", "`k` is not a unit", "`\"64KiB\"`");
        check("64MB", "`MB` is not a unit", "`\"64MiB\"`");
        check("64mib", "`mib` is not a unit", "`\"64MiB\"`");
        check("1TiB", "`TiB` is not a unit", "`GiB`");
        check("1.5MiB", "not a whole number", "`64KiB`");
        check("1MiB512KiB", "more than", "`64KiB`");
        check("99999999999999999999B", "too large", "`64KiB`");
        check("99999999999999GiB", "too large", "`64KiB`");
    }

    #[test]
    fn percentages() {
        for (text, number) in [("0%", 0), ("20%", 20), ("125%", 125), ("007%", 7)] {
            assert_eq!(percent(text), Ok(number), "{text}");
        }
        let check = |text: &str, label: &str, help: &str| {
            let error = percent(text).unwrap_err();
            assert!(error.label.contains(label), "{text}: {error:?}");
            assert!(error.help.contains(help), "{text}: {error:?}");
        };
        check("20", "no `%`", "`\"20%\"`");
        check("", "no `%`", "`20%`");
        check("twenty", "no `%`", "`20%`");
        check("%", "not a whole number", "`20%`");
        check("1.5%", "not a whole number", "`20%`");
        check("-5%", "not a whole number", "`20%`");
        check("+5%", "not a whole number", "`20%`");
        check("20 %", "not a whole number", "`20%`");
        check("20%%", "not a whole number", "`20%`");
        check("99999999999%", "too large", "`20%`");
    }

    #[test]
    fn formatted_values_parse_back() {
        for text in ["0s", "1ms", "1500us", "90s", "2h", "365d"] {
            let shown = show_duration(duration(text).unwrap());
            assert_eq!(duration(&shown), duration(text), "{shown}");
        }
        for text in ["0B", "1B", "1023B", "1KiB", "4GiB"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
    }
}
