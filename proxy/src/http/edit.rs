//! Edits of a head's fields that a plugin's decision requests.
//!
//! An edit is checked once, when the decision is made. The writers apply it per request.

use std::fmt;

use thiserror::Error;

use super::field::{FieldKind, HeaderFlags};
use super::fields::Fields;
use super::syntax;

/// Reason why an edit is not possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EditError {
    /// The name is not a token (RFC 9110, section 5.1).
    #[error("not a field name")]
    Name,
    /// The value has control characters, or whitespace at either end (RFC 9110, section 5.5).
    #[error("not a field value")]
    Value,
    /// The field frames the message or controls the connection, or is Host. Only the proxy sets it.
    #[error("a field that only the proxy sets")]
    Reserved,
}

/// One edit of a head's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    name: Box<[u8]>,
    kind: FieldKind,
    action: Action,
}

/// The effect of an [`Edit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Replaces all lines by one line with this value.
    Set(Box<[u8]>),
    /// Adds a line with this value after all others.
    Append(Box<[u8]>),
    /// Removes all lines.
    Remove,
}

impl Edit {
    /// Replaces all lines of the field by one line, which comes last.
    ///
    /// # Errors
    /// [`EditError`].
    pub fn set(name: &[u8], value: &[u8]) -> Result<Edit, EditError> {
        Edit::try_new(name, Action::Set(checked(value)?))
    }

    /// Adds one line after all others.
    ///
    /// # Errors
    /// [`EditError`].
    pub fn append(name: &[u8], value: &[u8]) -> Result<Edit, EditError> {
        Edit::try_new(name, Action::Append(checked(value)?))
    }

    /// Removes all lines of the field.
    ///
    /// # Errors
    /// [`EditError::Name`], [`EditError::Reserved`].
    pub fn remove(name: &[u8]) -> Result<Edit, EditError> {
        Edit::try_new(name, Action::Remove)
    }

    fn try_new(name: &[u8], action: Action) -> Result<Edit, EditError> {
        if !syntax::is_name(name) {
            return Err(EditError::Name);
        }
        let kind = FieldKind::of(name);
        let is_reserved = matches!(
            kind,
            FieldKind::ContentLength | FieldKind::Host | FieldKind::Trailer | FieldKind::Expect
        );
        if is_reserved || kind.is_hop_by_hop() {
            return Err(EditError::Reserved);
        }
        Ok(Edit {
            name: name.into(),
            kind,
            action,
        })
    }

    /// Returns the field's name, as the edit spells it.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Returns whether the edit removes earlier lines of this name.
    #[inline]
    pub fn replaces(&self, kind: FieldKind, name: &[u8]) -> bool {
        self.kind == kind
            && (kind.is_one_name() || self.name.eq_ignore_ascii_case(name))
            && !matches!(self.action, Action::Append(_))
    }

    /// Returns the value of the line that the edit adds, or `None` if it adds none.
    pub fn value(&self) -> Option<&[u8]> {
        match &self.action {
            Action::Set(value) | Action::Append(value) => Some(value),
            Action::Remove => None,
        }
    }

    /// Returns the kind of the field's name.
    pub fn kind(&self) -> FieldKind {
        self.kind
    }

    /// Returns the change to the field's lines.
    pub fn action(&self) -> &Action {
        &self.action
    }
}

/// Calls `each` with every outgoing line, in order: first the forwarded lines, then the lines that
/// edits add.
///
/// Leaves out the kinds in `left_out` and the lines that edits replace.
pub fn outgoing_lines(
    fields: &Fields,
    left_out: HeaderFlags,
    edits: &[Edit],
    mut each: impl FnMut(&[u8], &[u8]),
) {
    for line in fields.received() {
        let name = fields.text(line.name());
        let is_replaced = || edits.iter().any(|edit| edit.replaces(line.kind(), name));
        if line.is_forwarded() && !left_out.has(line.kind()) && !is_replaced() {
            each(name, fields.text(line.value()));
        }
    }
    added_lines(edits, each);
}

/// Calls `each` with the lines that edits add, except those that a later edit replaces.
pub fn added_lines(edits: &[Edit], mut each: impl FnMut(&[u8], &[u8])) {
    for (index, edit) in edits.iter().enumerate() {
        let mut later = edits[index + 1..].iter();
        let is_replaced = later.any(|later| later.replaces(edit.kind(), edit.name()));
        if let Some(value) = edit.value().filter(|_| !is_replaced) {
            each(edit.name(), value);
        }
    }
}

impl fmt::Display for Edit {
    /// Formats the edit for people. Escapes octets that are not printable ASCII.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.escape_ascii();
        match &self.action {
            Action::Set(value) => write!(f, "set {name}: {}", value.escape_ascii()),
            Action::Append(value) => write!(f, "append {name}: {}", value.escape_ascii()),
            Action::Remove => write!(f, "remove {name}"),
        }
    }
}

fn checked(value: &[u8]) -> Result<Box<[u8]>, EditError> {
    if syntax::is_value(value) {
        Ok(value.into())
    } else {
        Err(EditError::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_edited() {
        let check = |name: &str, value: &str, expected: Result<(), EditError>| {
            let found = Edit::set(name.as_bytes(), value.as_bytes()).map(|_| ());
            assert_eq!(found, expected, "{name:?} {value:?}");
        };
        check("X-A", "b c", Ok(()));
        check("Via", "", Ok(()));
        check("X-Forwarded-For", "a", Ok(()));
        check("", "a", Err(EditError::Name));
        check("X A", "a", Err(EditError::Name));
        check("X-A\r\nB", "a", Err(EditError::Name));
        check("X-A", "a\r\nB: c", Err(EditError::Value));
        check("X-A", "a\0", Err(EditError::Value));
        check("X-A", " a", Err(EditError::Value));
        for name in [
            "content-length",
            "Transfer-Encoding",
            "host",
            "UPGRADE",
            "Connection",
            "TE",
        ] {
            check(name, "a", Err(EditError::Reserved));
            assert_eq!(
                Edit::remove(name.as_bytes()),
                Err(EditError::Reserved),
                "{name}"
            );
        }
    }

    #[test]
    fn edits_are_described_for_people() {
        let check = |edit: Result<Edit, EditError>, expected: &str| {
            assert_eq!(edit.unwrap().to_string(), expected);
        };
        check(Edit::set(b"x-a", b"\xc3\xa4"), "set x-a: \\xc3\\xa4");
        check(Edit::append(b"x-b", b"c d"), "append x-b: c d");
        check(Edit::remove(b"x-c"), "remove x-c");
    }

    #[test]
    fn set_and_remove_replace_their_field() {
        let check = |edit: Result<Edit, EditError>, name: &[u8], expected| {
            let edit = edit.unwrap();
            assert_eq!(
                edit.replaces(FieldKind::of(name), name),
                expected,
                "{edit:?}"
            );
        };
        check(Edit::set(b"x-a", b""), b"X-A", true);
        check(Edit::remove(b"via"), b"VIA", true);
        check(Edit::append(b"x-a", b""), b"X-A", false);
        check(Edit::set(b"x-a", b""), b"X-B", false);
    }
}
