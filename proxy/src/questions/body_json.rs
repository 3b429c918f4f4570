//! Finds one member of a JSON text (RFC 8259) by its pointer (RFC 6901).
//!
//! Returns a value only if every JSON reader must find the same one. Returns none if the text is
//! not JSON, or if a member along the path occurs twice. Takes one pass, and recurses at most
//! [`MAX_DEPTH`] levels deep. Numbers are returned as written, since no number type can represent
//! all of them exactly.

use std::borrow::Cow;
use std::fmt;

/// Maximum nesting depth of arrays and objects. APIs need less, and parsers differ in their limits.
const MAX_DEPTH: usize = 64;

/// A JSON pointer: the path to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    text: Box<str>,
    /// Member names in `text`, decoded.
    members: Box<[Box<str>]>,
}

impl Pointer {
    /// Parses a pointer. None if it is invalid, or if it has more members than the maximum nesting
    /// depth.
    pub(super) fn parse(text: &str) -> Option<Pointer> {
        let members = match text.strip_prefix('/') {
            Some(rest) => rest.split('/').map(decode).collect::<Option<Vec<_>>>()?,
            None if text.is_empty() => Vec::new(),
            None => return None,
        };
        (members.len() <= MAX_DEPTH).then(|| Pointer {
            text: text.into(),
            members: members.into(),
        })
    }

    /// Returns the string, number or boolean to which the pointer leads. A string is decoded; other
    /// values are returned as written.
    pub(super) fn find<'b>(&self, body: &'b [u8]) -> Option<Cow<'b, [u8]>> {
        let text = std::str::from_utf8(body).ok()?;
        let mut scanner = Scanner {
            rest: text.as_bytes(),
        };
        let found = scanner.value(Some(&self.members), 0)?;
        scanner.skip_blanks();
        match found {
            Found::Scalar(scalar) if scanner.rest.is_empty() => match scalar {
                [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Some(inner.into()),
                [b'"', ..] => Some(decode_string(scalar)?.into_bytes().into()),
                _ => Some(scalar.into()),
            },
            _ => None,
        }
    }

    pub(super) fn memory(&self) -> usize {
        let members = self.members.iter();
        let members = members.map(|member| member.len() + size_of::<Box<str>>());
        self.text.len() + members.sum::<usize>()
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Decodes one member's name; None if a `~` does not start an escape.
fn decode(member: &str) -> Option<Box<str>> {
    let mut parts = member.split('~');
    let mut decoded = parts.next()?.to_owned();
    for part in parts {
        let (mark, rest) = part.split_at_checked(1)?;
        decoded.push(match mark {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        decoded.push_str(rest);
    }
    Some(decoded.into())
}

/// Decodes a string given with its quotes. None if it contains half a surrogate pair, which is not
/// a character.
fn decode_string(quoted: &[u8]) -> Option<String> {
    serde_json::from_slice(quoted).ok()
}

/// Result of following the path within a value.
enum Found<'t> {
    /// The value is not a string, number or boolean, or is not on the path.
    Nothing,
    /// A scalar as written; a string includes its quotes.
    Scalar(&'t [u8]),
    /// A member along the path occurs twice.
    Twice,
}

/// Members of the path that are still to be found; None if the value is not on the path.
type Way<'w> = Option<&'w [Box<str>]>;

/// Scanner of a UTF-8 string. Every method returns None if the string is not JSON.
struct Scanner<'t> {
    rest: &'t [u8],
}

impl<'t> Scanner<'t> {
    fn value(&mut self, way: Way<'_>, depth: usize) -> Option<Found<'t>> {
        self.skip_blanks();
        let before = self.rest;
        let is_here = way.is_some_and(<[_]>::is_empty);
        match before.first()? {
            b'{' if depth < MAX_DEPTH => return self.object(way, depth + 1),
            b'[' if depth < MAX_DEPTH => return self.array(way, depth + 1),
            b'"' => {
                self.string()?;
            }
            b't' => self.literal(b"true")?,
            b'f' => self.literal(b"false")?,
            b'n' => {
                self.literal(b"null")?;
                return Some(Found::Nothing);
            }
            _ => self.number()?,
        }
        let length = before.len() - self.rest.len();
        Some(if is_here {
            Found::Scalar(&before[..length])
        } else {
            Found::Nothing
        })
    }

    fn object(&mut self, way: Way<'_>, depth: usize) -> Option<Found<'t>> {
        self.literal(b"{")?;
        let next = way.and_then(<[_]>::split_first);
        let mut found = None;
        self.skip_blanks();
        if self.accept(b'}') {
            return Some(Found::Nothing);
        }
        loop {
            self.skip_blanks();
            let key = self.string()?;
            self.skip_blanks();
            self.literal(b":")?;
            match next.filter(|(name, _)| is_named(key, name)) {
                None => {
                    self.value(None, depth)?;
                }
                Some((_, rest)) => {
                    let value = self.value(Some(rest), depth)?;
                    let is_first = found.is_none();
                    found = Some(if is_first { value } else { Found::Twice });
                }
            }
            self.skip_blanks();
            if self.accept(b'}') {
                return Some(found.unwrap_or(Found::Nothing));
            }
            self.literal(b",")?;
        }
    }

    fn array(&mut self, way: Way<'_>, depth: usize) -> Option<Found<'t>> {
        self.literal(b"[")?;
        let next = way.and_then(<[_]>::split_first);
        let next = next.and_then(|(name, rest)| Some((index_of(name)?, rest)));
        let mut found = Found::Nothing;
        self.skip_blanks();
        if self.accept(b']') {
            return Some(found);
        }
        for index in 0.. {
            match next.filter(|(wanted, _)| *wanted == index) {
                None => {
                    self.value(None, depth)?;
                }
                Some((_, rest)) => found = self.value(Some(rest), depth)?,
            }
            self.skip_blanks();
            if self.accept(b']') {
                break;
            }
            self.literal(b",")?;
        }
        Some(found)
    }

    /// Reads a string and returns it with its quotes.
    fn string(&mut self) -> Option<&'t [u8]> {
        let before = self.rest;
        self.literal(b"\"")?;
        loop {
            let is_special = |&byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
            let end = self.rest.iter().position(is_special)?;
            let (&special, rest) = self.rest[end..].split_first()?;
            self.rest = rest;
            match special {
                b'"' => return Some(&before[..before.len() - rest.len()]),
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
    }

    /// Reads the rest of an escape, after the backslash.
    fn escape(&mut self) -> Option<()> {
        let (&mark, rest) = self.rest.split_first()?;
        self.rest = match mark {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => rest,
            b'u' => {
                let (digits, rest) = rest.split_first_chunk::<4>()?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(rest)?
            }
            _ => return None,
        };
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        self.accept(b'-');
        if !self.accept(b'0') {
            self.digits()?;
        }
        if self.accept(b'.') {
            self.digits()?;
        }
        if self.accept(b'e') || self.accept(b'E') {
            let _ = self.accept(b'+') || self.accept(b'-');
            self.digits()?;
        }
        Some(())
    }

    /// Reads at least one digit.
    fn digits(&mut self) -> Option<()> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit());
        let count = count.count();
        self.rest = &self.rest[count..];
        (count > 0).then_some(())
    }

    fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn accept(&mut self, byte: u8) -> bool {
        let is_next = self.rest.first() == Some(&byte);
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}

/// Returns whether a key, given with its quotes, is `name`.
fn is_named(key: &[u8], name: &str) -> bool {
    let inner = &key[1..key.len() - 1];
    inner == name.as_bytes()
        || inner.contains(&b'\\') && decode_string(key).is_some_and(|key| key == name)
}

/// Parses the index of an array's element: digits without leading zeros (RFC 6901, section 4).
fn index_of(name: &str) -> Option<usize> {
    let is_index =
        name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    is_index.then(|| name.parse().ok())?
}

#[cfg(test)]
mod tests;
