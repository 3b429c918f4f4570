//! The edits and options that a plugin made to a request in memory, for tests to inspect.
//!
//! Owns copies of the proxy's checks of an edit. Used by heads in `memory`.

use std::cell::RefCell;
use std::time::Duration;

use crate::syntax;

/// Maximum length of a target that a plugin sets, as in the proxy.
const MAX_TARGET: usize = 8 * 1024;

/// Maximum number of tags of a request, and maximum length of a tag's value in bytes.
const MAX_TAGS: usize = 16;
const MAX_TAG: usize = 256;

/// An edit that a plugin made to a request. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Every line of the field was replaced with one.
    SetHeader(String, Vec<u8>),
    /// A line was added.
    AppendHeader(String, Vec<u8>),
    /// Every line of the field was removed.
    RemoveHeader(String),
    /// The Host was replaced.
    SetAuthority(Vec<u8>),
    /// The target was replaced.
    SetPathWithQuery(String),
    /// The path's first bytes were replaced.
    ReplacePathPrefix(u32, String),
}

/// An edit that a plugin made to the response. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseEdit {
    /// Every line of the field was replaced with one.
    SetHeader(String, Vec<u8>),
    /// A line was added.
    AppendHeader(String, Vec<u8>),
    /// Every line of the field was removed.
    RemoveHeader(String),
}

/// The options that a plugin set. An option that was set by a question contains the question's
/// answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The affinity key: requests with the same key go to the same server.
    pub affinity: Option<Vec<u8>>,
    /// Replaces the backend's `timeout.queue`.
    pub queue_timeout: Option<Duration>,
    /// Replaces the backend's `timeout.connect`.
    pub connect_timeout: Option<Duration>,
    /// Replaces the backend's `timeout.server`.
    pub server_timeout: Option<Duration>,
    /// Replaces the backend's `timeout.tunnel`.
    pub tunnel_timeout: Option<Duration>,
    /// How many times the request can be sent in total.
    pub tries: Option<u32>,
    /// Names and values, in the order set. A tag whose question had no answer is left out.
    pub tags: Vec<(String, Vec<u8>)>,
}

/// The edits and options so far.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) edits: RefCell<Vec<Edit>>,
    pub(super) response_edits: RefCell<Vec<ResponseEdit>>,
    pub(super) options: RefCell<Options>,
}

impl Effects {
    pub(super) fn edit(&self, edit: Edit) -> Result<(), String> {
        match &edit {
            Edit::SetHeader(name, value) | Edit::AppendHeader(name, value) => {
                check_request_name(name)?;
                check_value(value)?;
            }
            Edit::RemoveHeader(name) => check_request_name(name)?,
            Edit::SetAuthority(value) => check_authority(value)?,
            Edit::SetPathWithQuery(target) => {
                if !target.starts_with('/') {
                    return Err(format!("the target {target:?} does not begin with `/`"));
                }
                check_target(target, b"#")?;
            }
            Edit::ReplacePathPrefix(_, text) => check_target(text, b"#?")?,
        }
        self.edits.borrow_mut().push(edit);
        Ok(())
    }

    pub(super) fn edit_response(&self, edit: ResponseEdit) -> Result<(), String> {
        match &edit {
            ResponseEdit::SetHeader(name, value) | ResponseEdit::AppendHeader(name, value) => {
                check_name(name)?;
                check_value(value)?;
            }
            ResponseEdit::RemoveHeader(name) => check_name(name)?,
        }
        self.response_edits.borrow_mut().push(edit);
        Ok(())
    }

    /// Adds a tag.
    ///
    /// # Panics
    /// There are more tags than the proxy accepts. The test fails, since the proxy would count this
    /// as a fault.
    pub(super) fn tag(&self, name: &str, value: &[u8]) {
        let value = cut(value).to_vec();
        let tags = &mut self.options.borrow_mut().tags;
        tags.retain(|(known, _)| known != name);
        tags.push((name.to_owned(), value));
        assert!(
            tags.len() <= MAX_TAGS,
            "there are more than {MAX_TAGS} tags"
        );
    }
}

/// Returns a tag's value, truncated at a character boundary to the proxy's limit.
fn cut(value: &[u8]) -> &[u8] {
    let starts_character = |at: &usize| value.get(*at).is_none_or(|octet| octet & 0xc0 != 0x80);
    let end = (MAX_TAG - 3..=MAX_TAG).rev().find(starts_character);
    value.get(..end.unwrap_or(MAX_TAG)).unwrap_or(value)
}

/// Checks the name of a request's field: a token (RFC 9110, section 5.6.2) that plugins may set.
fn check_request_name(name: &str) -> Result<(), String> {
    if name == "host" {
        return Err("`host` is set by set-authority".to_owned());
    }
    check_name(name)
}

fn check_name(name: &str) -> Result<(), String> {
    if !syntax::is_token(name) {
        return Err(format!("{name:?} is not a field name"));
    }
    if syntax::is_reserved(name) {
        return Err(format!("only the proxy may set the field {name:?}"));
    }
    Ok(())
}

/// Returns whether HTTP allows `value` as a field value: it has no control characters (RFC 9110,
/// section 5.5).
pub(super) fn is_value(value: &[u8]) -> bool {
    let is_allowed = |octet: &u8| !octet.is_ascii_control() || *octet == b'\t';
    value.iter().all(is_allowed)
}

fn check_value(value: &[u8]) -> Result<(), String> {
    if is_value(value) {
        Ok(())
    } else {
        Err("the value has a control character".to_owned())
    }
}

fn check_target(text: &str, forbidden: &[u8]) -> Result<(), String> {
    let allowed = |octet: u8| octet.is_ascii_graphic() && !forbidden.contains(&octet);
    if text.len() > MAX_TARGET {
        return Err(format!("the target has more than {MAX_TARGET} bytes"));
    }
    if !text.bytes().all(allowed) {
        return Err(format!("{text:?} has characters that a target cannot have"));
    }
    Ok(())
}

/// Checks only that a host and a port can consist of these characters.
fn check_authority(value: &[u8]) -> Result<(), String> {
    let allowed = |octet: &u8| octet.is_ascii_graphic() && !b"/?#@,\\\"".contains(octet);
    if value.iter().all(allowed) {
        Ok(())
    } else {
        Err("the authority is not a host with an optional port".to_owned())
    }
}
