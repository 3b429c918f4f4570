//! Edits and options of one call, collected while the guest runs.

use std::time::Duration;

use super::convert::{self, Edited};
use super::decision::{Edits, MAX_TAG_VALUE, MAX_TAGS, Options, Tag, Value};
use super::fault::Refusal;
use crate::http::edit::Edit;
use crate::http::syntax;

/// Maximum number of edits and options of one call.
const MAX_CHANGES: usize = 128;

/// Maximum number of bytes of names and values in the edits of one call.
///
/// Servers accept less than this for a whole head.
const MAX_CHANGE_BYTES: usize = 64 * 1024;

/// Maximum number of bytes of a tag's name.
const MAX_TAG_NAME: usize = 64;

/// Maximum number of bytes of an affinity key; further bytes are ignored.
const MAX_KEY: usize = 4096;

/// Allowed number of attempts to send a request.
const TRIES: std::ops::RangeInclusive<u32> = 1..=16;

/// The result of an edit: success, an error for the guest, or an error that aborts its call.
pub(super) type EditResult = wasmtime::Result<Result<(), String>>;

/// Edits and options so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) edits: Edits,
    pub(super) response_edits: Vec<Edit>,
    pub(super) options: Options,
    /// Number of changes made, including those that were later replaced.
    count: usize,
    bytes: usize,
}

impl Draft {
    /// Counts a change.
    fn count(&mut self) -> Result<(), Refusal> {
        self.count += 1;
        if self.count > MAX_CHANGES {
            return Err(Refusal::TooManyEdits(MAX_CHANGES));
        }
        Ok(())
    }

    /// Counts an edit of `size` bytes. An edit that is too large is an error, not a trap, since
    /// values come from clients.
    fn count_edit(&mut self, size: usize) -> EditResult {
        self.count()?;
        let bytes = self.bytes.saturating_add(size);
        if bytes > MAX_CHANGE_BYTES {
            return Ok(Err(format!(
                "the edits of one request can have at most {MAX_CHANGE_BYTES} bytes"
            )));
        }
        self.bytes = bytes;
        Ok(Ok(()))
    }

    /// Adds an edit of the request's head.
    pub(super) fn edit(&mut self, edit: Result<Edited, String>) -> EditResult {
        let edit = match edit {
            Ok(edit) => edit,
            Err(error) => return Ok(Err(error)),
        };
        if let Err(error) = self.count_edit(edit.size())? {
            return Ok(Err(error));
        }
        match edit {
            Edited::Field(edit) => self.edits.fields.push(edit),
            Edited::Authority(authority) => self.edits.authority = Some(authority),
            Edited::Target(target) => self.edits.target = Some(target),
        }
        Ok(Ok(()))
    }

    /// Sets a field to the answer to a question.
    pub(super) fn set_header_by(&mut self, name: &str, question: u32) -> EditResult {
        let edit = match convert::remove_header(name) {
            Ok(Edited::Field(edit)) => edit,
            Ok(_) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        };
        if let Err(error) = self.count_edit(name.len())? {
            return Ok(Err(error));
        }
        self.edits.by.push((self.edits.fields.len(), question));
        self.edits.fields.push(edit);
        Ok(Ok(()))
    }

    /// Adds an edit of the response's head.
    pub(super) fn edit_response(&mut self, edit: Result<Edit, String>) -> EditResult {
        let edit = match edit {
            Ok(edit) => edit,
            Err(error) => return Ok(Err(error)),
        };
        let size = edit.name().len() + edit.value().map_or(0, <[u8]>::len);
        if let Err(error) = self.count_edit(size)? {
            return Ok(Err(error));
        }
        self.response_edits.push(edit);
        Ok(Ok(()))
    }

    /// Sets the affinity key.
    pub(super) fn set_affinity(&mut self, key: Value) -> wasmtime::Result<()> {
        self.count()?;
        self.options.affinity = Some(match key {
            Value::Fixed(key) => Value::Fixed(cut_key(&key).into()),
            by @ Value::By(_) => by,
        });
        Ok(())
    }

    /// Sets a timeout. Only the queue timeout can be zero.
    pub(super) fn set_timeout(
        &mut self,
        kind: TimeoutKind,
        milliseconds: u32,
    ) -> wasmtime::Result<()> {
        if milliseconds == 0 && kind != TimeoutKind::Queue {
            return Err(Refusal::ZeroTimeout.into());
        }
        self.count()?;
        let options = &mut self.options;
        let timeout = match kind {
            TimeoutKind::Queue => &mut options.queue_timeout,
            TimeoutKind::Connect => &mut options.connect_timeout,
            TimeoutKind::Server => &mut options.server_timeout,
            TimeoutKind::Tunnel => &mut options.tunnel_timeout,
        };
        *timeout = Some(Duration::from_millis(milliseconds.into()));
        Ok(())
    }

    /// Sets the maximum number of attempts to send the request.
    pub(super) fn set_tries(&mut self, tries: u32) -> wasmtime::Result<()> {
        if !TRIES.contains(&tries) {
            return Err(Refusal::Tries(tries).into());
        }
        self.count()?;
        self.options.tries = u8::try_from(tries).ok();
        Ok(())
    }

    /// Sets a tag.
    pub(super) fn tag(&mut self, name: &str, value: Value) -> wasmtime::Result<()> {
        if !syntax::is_name(name.as_bytes()) || name.len() > MAX_TAG_NAME {
            return Err(Refusal::TagName(MAX_TAG_NAME).into());
        }
        self.count()?;
        let is_set = self.options.set_tag(Tag {
            name: name.into(),
            value: match value {
                Value::Fixed(value) => Value::Fixed(cut(&value).into()),
                by @ Value::By(_) => by,
            },
        });
        if is_set {
            Ok(())
        } else {
            Err(Refusal::TooManyTags(MAX_TAGS).into())
        }
    }
}

/// Timeouts that a plugin can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeoutKind {
    Queue,
    Connect,
    Server,
    Tunnel,
}

/// Returns the significant part of an affinity key.
pub(super) fn cut_key(key: &[u8]) -> &[u8] {
    key.get(..MAX_KEY).unwrap_or(key)
}

/// Returns a tag's value, cut to the maximum length at a character boundary.
pub(super) fn cut(value: &[u8]) -> &[u8] {
    let Some(cut) = value.get(..MAX_TAG_VALUE) else {
        return value;
    };
    // A UTF-8 character has up to three continuation bytes.
    let tail = cut.iter().rev().take(4);
    let whole = tail
        .enumerate()
        .find(|(_, byte)| **byte & 0xc0 != 0x80)
        .map_or(0, |(behind, byte)| {
            let length = match byte {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            if behind + 1 < length { behind + 1 } else { 0 }
        });
    &cut[..cut.len() - whole]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tags_value_is_cut_between_characters() {
        let check = |length: usize, end: &str, kept: usize| {
            let value = "a".repeat(length) + end + "bbb";
            assert_eq!(cut(value.as_bytes()).len(), kept, "{length} {end}");
        };
        check(MAX_TAG_VALUE - 5, "", MAX_TAG_VALUE - 2);
        check(MAX_TAG_VALUE, "ä", MAX_TAG_VALUE);
        check(MAX_TAG_VALUE - 1, "ä", MAX_TAG_VALUE - 1);
        check(MAX_TAG_VALUE - 2, "ä", MAX_TAG_VALUE);
        check(MAX_TAG_VALUE - 2, "€", MAX_TAG_VALUE - 2);
        check(MAX_TAG_VALUE - 3, "😀", MAX_TAG_VALUE - 3);
        check(MAX_TAG_VALUE - 4, "😀", MAX_TAG_VALUE);
    }

    #[test]
    fn changes_are_bounded() {
        let mut draft = Draft::default();
        for _ in 0..MAX_CHANGES {
            assert!(matches!(
                draft.edit(convert::remove_header("x")),
                Ok(Ok(()))
            ));
        }
        assert!(draft.set_tries(1).is_err());
        let mut draft = Draft::default();
        let half = vec![b'a'; MAX_CHANGE_BYTES / 2];
        assert!(matches!(
            draft.edit(convert::set_header("x", &half)),
            Ok(Ok(()))
        ));
        assert!(matches!(
            draft.edit(convert::set_header("y", &half)),
            Ok(Err(_))
        ));
        // Options are cut to their maximum length, so a long value from a client causes no error.
        draft
            .set_affinity(Value::Fixed(half.clone().into()))
            .unwrap();
        draft.tag("x", Value::Fixed(half.into())).unwrap();
        let Some(Value::Fixed(key)) = draft.options.affinity else {
            panic!("no key");
        };
        assert_eq!(key.len(), MAX_KEY);
    }

    #[test]
    fn invalid_options_end_the_call() {
        let mut draft = Draft::default();
        assert!(draft.set_tries(0).is_err());
        assert!(draft.set_tries(17).is_err());
        assert!(draft.set_tries(16).is_ok());
        assert!(draft.set_timeout(TimeoutKind::Connect, 0).is_err());
        assert!(draft.set_timeout(TimeoutKind::Queue, 0).is_ok());
        let fixed = |length| Value::Fixed(vec![0; length].into());
        assert!(draft.tag("a b", fixed(1)).is_err());
        assert!(draft.tag("", fixed(1)).is_err());
        for number in 0..MAX_TAGS {
            assert!(draft.tag(&format!("t{number}"), fixed(1)).is_ok());
            assert!(draft.tag("t0", fixed(2)).is_ok(), "the last one counts");
        }
        assert!(draft.tag("one-more", fixed(1)).is_err());
    }
}
