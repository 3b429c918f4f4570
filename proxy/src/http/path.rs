//! One spelling for each path (RFC 3986, section 6.2.2), so that another spelling cannot bypass a
//! rule about paths.

use thiserror::Error;

use super::message::RequestHead;

/// A `%` that is not followed by two hexadecimal digits.
///
/// Readers disagree about its meaning, and decoding the text around it could turn it into an
/// escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the path has a % without two hexadecimal digits after it")]
pub struct InvalidEscape;

/// Normalizes the path of the target. The query and `*` stay unchanged.
///
/// Escapes of unreserved characters (letters, digits and `-._~`) are decoded once; the digits of
/// other escapes become upper case. Then empty segments and dot segments are removed. An escaped
/// slash stays escaped: a server may have files with such a name.
///
/// # Errors
/// [`InvalidEscape`].
pub fn normalize(head: &mut RequestHead) -> Result<(), InvalidEscape> {
    let path = head.path();
    if is_plain(path) {
        return Ok(());
    }
    let mut target = normalized(path)?;
    if target == path {
        return Ok(());
    }
    target.extend_from_slice(&head.target()[path.len()..]);
    let target = head.fields_mut().append(&target);
    head.set_target(target);
    Ok(())
}

/// Returns whether no part of the path can be spelled in another way.
fn is_plain(path: &[u8]) -> bool {
    let is_segment_odd = |pair: &[u8]| matches!(pair, [b'/', b'/' | b'.']);
    !path.starts_with(b"/") || !(path.contains(&b'%') || path.windows(2).any(is_segment_odd))
}

fn normalized(path: &[u8]) -> Result<Vec<u8>, InvalidEscape> {
    let decoded = decode_unreserved(path)?;
    let mut normal = Vec::with_capacity(decoded.len());
    let mut segments = decoded.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if !matches!(segment, b"" | b"." | b"..") {
            normal.push(b'/');
            normal.extend_from_slice(segment);
            continue;
        }
        if segment == b".." {
            let parent = normal.iter().rposition(|&byte| byte == b'/');
            normal.truncate(parent.unwrap_or(0));
        }
        if segments.peek().is_none() {
            normal.push(b'/');
        }
    }
    Ok(normal)
}

fn decode_unreserved(path: &[u8]) -> Result<Vec<u8>, InvalidEscape> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let ([high, low], behind) = behind.split_first_chunk().ok_or(InvalidEscape)?;
        rest = behind;
        let digit = |byte: &u8| char::from(*byte).to_digit(16).ok_or(InvalidEscape);
        let value = u8::try_from(digit(high)? * 16 + digit(low)?).map_err(|_| InvalidEscape)?;
        if value.is_ascii_alphanumeric() || b"-._~".contains(&value) {
            decoded.push(value);
        } else {
            decoded.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
        }
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::message::Version;

    fn normal(target: &str) -> Result<String, InvalidEscape> {
        let mut head = RequestHead::default();
        head.start(b"GET", target.as_bytes(), Version::Http11);
        normalize(&mut head)?;
        Ok(String::from_utf8(head.target().to_vec()).expect("a target is text"))
    }

    #[test]
    fn paths() {
        let check = |target: &str, expected: Result<&str, InvalidEscape>| {
            assert_eq!(normal(target), expected.map(str::to_owned), "{target}");
        };
        check("/", Ok("/"));
        check("*", Ok("*"));
        check("/a/b.c?d", Ok("/a/b.c?d"));
        check("/%61dmin/%7euser", Ok("/admin/~user"));
        check("/%41%5A%30%2d%2E%5F%7E", Ok("/AZ0-._~"));
        check("/%2fa%c3%a4%20", Ok("/%2Fa%C3%A4%20"));
        check("/%2F%20", Ok("/%2F%20"));
        // Decoding happens once; its result is not decoded again.
        check("/%2561dmin", Ok("/%2561dmin"));
        check("//admin///x//", Ok("/admin/x/"));
        check("/./admin/.", Ok("/admin/"));
        check("/x/../admin", Ok("/admin"));
        check("/x/%2e%2E/admin", Ok("/admin"));
        check("/../../admin/x/..", Ok("/admin/"));
        check("/a//../b", Ok("/b"));
        check("/..", Ok("/"));
        check("/.a/..b/c./...", Ok("/.a/..b/c./..."));
        check("/a/..;/b", Ok("/a/..;/b"));
        check("/a\\..\\b", Ok("/a\\..\\b"));
        check("/\u{e9}//", Ok("/\u{e9}/"));
        // The query is not part of the path.
        check("/a?b=//../%61%", Ok("/a?b=//../%61%"));
        check("//?//", Ok("/?//"));
        for target in ["/%", "/%6", "/%zz", "/%%36%31dmin", "/a%?61"] {
            check(target, Err(InvalidEscape));
        }
    }

    proptest! {
        #[test]
        fn a_normal_path_has_one_spelling(path in "/([/.%a]|%2[ef]|%25){0,20}") {
            if let Ok(once) = normal(&path) {
                prop_assert_eq!(normal(&once), Ok(once.clone()));
                prop_assert!(once.starts_with('/') && !once.contains("//"));
                prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."));
            }
        }
    }
}
