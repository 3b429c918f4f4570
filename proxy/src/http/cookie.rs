//! Cookies of requests (RFC 6265, section 4.2) and query parameters.

use super::fields::Fields;

/// Returns the value of the first cookie of this name, as it was sent. Ignores lines that are not
/// forwarded.
pub fn find<'f>(fields: &'f Fields, name: &[u8]) -> Option<&'f [u8]> {
    let mut pairs = fields
        .values(b"Cookie")
        .flat_map(|value| value.split(|byte| *byte == b';'));
    pairs.find_map(|pair| value_of(pair.trim_ascii(), name))
}

/// Returns the value of the first parameter of this name in a query, as it was sent.
pub fn find_parameter<'q>(query: &'q [u8], name: &[u8]) -> Option<&'q [u8]> {
    let mut pairs = query.split(|byte| *byte == b'&');
    pairs.find_map(|pair| value_of(pair, name))
}

fn value_of<'p>(pair: &'p [u8], name: &[u8]) -> Option<&'p [u8]> {
    pair.strip_prefix(name)?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies() {
        let mut fields = Fields::default();
        fields.push(b"Cookie", b"a=1; bc=2;b=3;b=4");
        fields.push(b"cookie", b" d=5 ;e=");
        for (name, expected) in [
            (&b"a"[..], Some(&b"1"[..])),
            (b"b", Some(b"3")),
            (b"c", None),
            (b"d", Some(b"5")),
            (b"e", Some(b"")),
            (b"A", None),
        ] {
            assert_eq!(find(&fields, name), expected, "{}", name.escape_ascii());
        }
        // `Connection` names `Cookie`, so that field is not forwarded to the server either.
        fields.drop_named(b"cookie");
        assert_eq!(find(&fields, b"a"), None);
    }

    #[test]
    fn parameters() {
        for (query, expected) in [
            (&b"id=7&x=1"[..], Some(&b"7"[..])),
            (b"x=1&id=7%20", Some(b"7%20")),
            (b"xid=7", None),
            (b"id", None),
            (b"", None),
        ] {
            let found = find_parameter(query, b"id");
            assert_eq!(found, expected, "{}", query.escape_ascii());
        }
    }
}
