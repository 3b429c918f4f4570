//! Parsing of response statuses: `200`, `5xx`, `500-504`.

use std::ops::RangeInclusive;

use crate::config::reader::Entry;

/// Statuses of final responses (RFC 9110, section 15).
pub(super) const FINAL: RangeInclusive<u16> = 200..=599;

/// Statuses of responses that report a failed request.
pub(super) const FAILED: RangeInclusive<u16> = 400..=599;

/// Parses `text`, the value of `entry`, as statuses. All of them must be in `bounds`.
pub(super) fn range(
    entry: &Entry<'_>,
    text: &str,
    bounds: &RangeInclusive<u16>,
) -> Option<RangeInclusive<u16>> {
    let Some(range) = parse(text) else {
        let label = "not the statuses of a response";
        let help = "as in `\"503\"`, `\"5xx\"` or `\"500-504\"`";
        entry.refuse("is not a status", label, help);
        return None;
    };
    let (least, most) = (bounds.start(), bounds.end());
    if range.start() > range.end() {
        let help = format!("write `\"{}-{}\"`", range.end(), range.start());
        entry.refuse("is empty", "the first is the larger one", help);
        return None;
    }
    if !bounds.contains(range.start()) || !bounds.contains(range.end()) {
        let diagnostic = entry.error("is out of range");
        entry.push(diagnostic.label(format!("must be {least} to {most}")));
        return None;
    }
    Some(range)
}

/// Parses three digits, a digit with `xx`, or two statuses with a hyphen between them.
fn parse(text: &str) -> Option<RangeInclusive<u16>> {
    if let Some(class) = text.strip_suffix("xx") {
        let class = number(class, 1)? * 100;
        return Some(class..=class + 99);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(number(first, 3)?..=number(last, 3)?)
}

fn number(text: &str, digits: usize) -> Option<u16> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        let check = |text: &str, expected: Option<RangeInclusive<u16>>| {
            assert_eq!(parse(text), expected, "{text}");
        };
        check("503", Some(503..=503));
        check("5xx", Some(500..=599));
        check("500-504", Some(500..=504));
        check("000", Some(0..=0));
        for text in [
            "",
            "5",
            "50",
            "5030",
            "5XX",
            "xx",
            "55xx",
            "5x",
            "500-",
            "-504",
            "500-504-505",
            "500 - 504",
            "+50",
            "5xx-6xx",
            "٥xx",
        ] {
            check(text, None);
        }
    }
}
