//! The lines of a head in the order in which the contract gives them to plugins.

use crate::http::fields::{Field, Fields};

/// Every forwarded line, name and value: lines of one name together, in the order received;
/// names by their first lines, in the case in which they came.
///
/// Sorts, so that the cost of a head with many names stays in proportion.
pub fn grouped(fields: &Fields) -> Vec<(&[u8], &[u8])> {
    let lines = fields.received().iter().enumerate();
    let mut lines: Vec<(usize, usize, &Field)> = lines
        .filter(|(_, line)| line.is_forwarded())
        .map(|(index, line)| (index, index, line))
        .collect();
    let name = |line: &Field| fields.text(line.name());
    let is_alike = |one: &Field, other: &Field| {
        one.kind() == other.kind()
            && (one.kind().is_one_name() || name(one).eq_ignore_ascii_case(name(other)))
    };
    lines.sort_unstable_by(|(_, index, line), (_, other_index, other)| {
        let kinds = (line.kind() as u8).cmp(&(other.kind() as u8));
        let lower = |line| name(line).iter().map(u8::to_ascii_lowercase);
        let names = || {
            if line.kind().is_one_name() {
                std::cmp::Ordering::Equal
            } else {
                lower(line).cmp(lower(other))
            }
        };
        kinds.then_with(names).then(index.cmp(other_index))
    });
    for at in 1..lines.len() {
        let (first, _, line) = lines[at - 1];
        if is_alike(line, lines[at].2) {
            lines[at].0 = first;
        }
    }
    lines.sort_unstable_by_key(|&(first, index, _)| (first, index));
    let lines = lines.into_iter();
    lines
        .map(|(_, _, line)| (name(line), fields.text(line.value())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_name_are_together() {
        let mut fields = Fields::default();
        for (name, value) in [
            ("X-B", "1"),
            ("Host", "2"),
            ("TE", "trailers"),
            ("x-a", "3"),
            ("x-b", "4"),
            ("Cookie", "5"),
            ("X-A", "6"),
            ("x-b", "7"),
            ("cookie", "8"),
        ] {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        let found: Vec<String> = grouped(&fields)
            .into_iter()
            .map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii()))
            .collect();
        let expected = [
            "X-B=1", "x-b=4", "x-b=7", "Host=2", "x-a=3", "X-A=6", "Cookie=5", "cookie=8",
        ];
        assert_eq!(found, expected);
        assert!(grouped(&Fields::default()).is_empty());
    }
}
