//! Query parameters, as forms encode them (`application/x-www-form-urlencoded`).

use std::borrow::Cow;

/// Returns the decoded value of the first parameter of this name.
///
/// In names and values, `%41` means `A` and `+` means a space; decoding happens once. An escape
/// without two hexadecimal digits stays as it is. A parameter without `=` has an empty value.
pub fn parameter<'q>(query: &'q [u8], name: &[u8]) -> Option<Cow<'q, [u8]>> {
    query.split(|&byte| byte == b'&').find_map(|pair| {
        let (key, value) = match pair.iter().position(|&byte| byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &b""[..]),
        };
        // An empty pair is not a parameter.
        (!pair.is_empty() && is_named(key, name)).then(|| decode(value))
    })
}

fn is_named(key: &[u8], name: &[u8]) -> bool {
    key == name || needs_decoding(key) && Decode(key).eq(name.iter().copied())
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if needs_decoding(text) {
        Cow::Owned(Decode(text).collect())
    } else {
        Cow::Borrowed(text)
    }
}

fn needs_decoding(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'%' | b'+'))
}

/// Iterator over the decoded bytes of an encoded string.
struct Decode<'t>(&'t [u8]);

impl Iterator for Decode<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        if first == b'+' {
            return Some(b' ');
        }
        if first == b'%'
            && let Some((&[high, low], behind)) = rest.split_first_chunk()
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            self.0 = behind;
            return Some(high << 4 | low);
        }
        Some(first)
    }
}

fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    value.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        for (query, expected) in [
            ("id=7&x=1", Some("7")),
            ("x=1&id=7%20", Some("7 ")),
            ("id=1&id=2", Some("1")),
            ("i%64=a+b%2Bc", Some("a b+c")),
            ("id=%2525", Some("%25")),
            ("id=%zz%4", Some("%zz%4")),
            ("id=%", Some("%")),
            ("id=a=b", Some("a=b")),
            ("id", Some("")),
            ("id=", Some("")),
            ("xid=7", None),
            ("ID=7", None),
            ("", None),
            ("&", None),
        ] {
            let found = parameter(query.as_bytes(), b"id");
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{query}");
        }
    }
}
