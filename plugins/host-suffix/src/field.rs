//! The values in a field line, and the parts of one. Octets throughout: a value need not
//! be UTF-8. No allocation: this runs for each uncached request.

/// The values of a line that is a list: what stands between commas, without the blanks
/// around it. A comma in a quoted text separates nothing (RFC 9110, section 5.6.1).
pub(crate) fn values(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = comma(line);
        rest = end.and_then(|end| line.get(end + 1..));
        let value = end.and_then(|end| line.get(..end)).unwrap_or(line);
        Some(value.trim_ascii())
    })
}

/// Where the first comma is that stands outside of quotes.
fn comma(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut octets = line.iter().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                octets.next();
            }
            b',' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Whether `value` ends with `suffix`, which is in lower case, whatever its own case.
pub(crate) fn ends_with(value: &[u8], suffix: &[u8]) -> bool {
    let Some(start) = value.len().checked_sub(suffix.len()) else {
        return false;
    };
    // From the front: names of one site differ there, and end alike.
    let mut pairs = value.iter().skip(start).zip(suffix);
    pairs.all(|(octet, expected)| octet.to_ascii_lowercase() == *expected)
}

/// Whether `suffix`, with which `value` ends, starts where a label of `value` does.
pub(crate) fn starts_label(value: &[u8], suffix: &[u8]) -> bool {
    suffix.starts_with(b".")
        || value.len() == suffix.len()
        || value
            .get(value.len().wrapping_sub(suffix.len() + 1))
            .is_some_and(|&octet| octet == b'.')
}
