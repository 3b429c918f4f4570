//! The fields of a message: one buffer and a list of spans into it.
//!
//! Heads and trailer sections both use this type. Names and values keep their case and order;
//! nothing is put into a map. A line that must not be forwarded, such as one that `Connection`
//! names, stays in the list and is marked. All code that reads or writes the forwarded lines
//! therefore sees the same set.

use super::field::{FieldKind, HeaderFlags};
use super::span::Span;

/// One field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    name: Span,
    value: Span,
    kind: FieldKind,
    is_forwarded: bool,
}

impl Field {
    /// Creates a line that is forwarded unless its kind is hop-by-hop.
    #[inline]
    fn new(name: Span, value: Span, kind: FieldKind) -> Field {
        Field {
            name,
            value,
            kind,
            is_forwarded: !kind.is_hop_by_hop(),
        }
    }

    /// Returns the kind of the name.
    #[inline]
    pub fn kind(&self) -> FieldKind {
        self.kind
    }

    /// Returns whether the line goes to the next hop as it is.
    #[inline]
    pub fn is_forwarded(&self) -> bool {
        self.is_forwarded
    }

    /// Returns the span of the name.
    #[inline]
    pub fn name(&self) -> Span {
        self.name
    }

    /// Returns the span of the value.
    #[inline]
    pub fn value(&self) -> Span {
        self.value
    }
}

/// Field lines and the buffer that contains their bytes. Reusable: [`Fields::clear`] keeps both
/// allocations.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    lines: Vec<Field>,
    flags: HeaderFlags,
}

impl Fields {
    /// Removes everything but keeps the capacity.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
        self.flags = HeaderFlags::EMPTY;
    }

    /// Releases capacity above these bounds, in bytes and lines. Keeps heads that are reused from
    /// retaining the largest size ever seen.
    pub fn shrink_to(&mut self, bytes: usize, lines: usize) {
        self.bytes.shrink_to(bytes);
        self.lines.shrink_to(lines);
    }

    /// Returns the whole buffer, which the spans refer to.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the bytes of `span`.
    #[inline]
    pub fn text(&self, span: Span) -> &[u8] {
        span.of(&self.bytes)
    }

    /// Returns the number of lines, including those that are not forwarded.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Returns whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a line and copies its bytes.
    ///
    /// A line of a hop-by-hop field is not forwarded. If `name` and `value` do not come from a
    /// parser, the caller must have checked them (`syntax::is_name`, `syntax::is_value`).
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let name = self.append(name);
        // Bytes are laid out as on the wire, so the writer can copy a run of pushed lines at once.
        self.bytes.extend_from_slice(b": ");
        let value = self.append(value);
        self.bytes.extend_from_slice(b"\r\n");
        let kind = FieldKind::of(self.text(name));
        self.push_spans(name, value, kind);
    }

    /// Adds a line of a kind that stands for one name, like [`Fields::push`].
    #[inline]
    pub fn push_kind(&mut self, kind: FieldKind, value: &[u8]) {
        let name = self.append_name(kind);
        let value = self.append(value);
        self.bytes.extend_from_slice(b"\r\n");
        self.push_spans(name, value, kind);
    }

    /// Adds a line of a one-name kind with the value of the first line of kind `source`. Adds
    /// nothing if there is no such line.
    #[inline]
    pub fn push_copy(&mut self, kind: FieldKind, source: FieldKind) {
        let mut lines = self.lines.iter();
        let source = lines.find(|line| line.kind == source);
        if let Some(value) = source.map(|line| line.value.start()..line.value.end()) {
            let name = self.append_name(kind);
            let start = self.bytes.len();
            self.bytes.extend_from_within(value);
            let value = Span::new(start, self.bytes.len());
            self.bytes.extend_from_slice(b"\r\n");
            self.push_spans(name, value, kind);
        }
    }

    /// Replaces the lines of a one-name kind by one line, which contains their members, in order,
    /// and then `last`. Adds no line if its value would be empty.
    pub fn push_joined(&mut self, kind: FieldKind, last: &[u8]) {
        let begin = self.bytes.len();
        let name = self.append_name(kind);
        let start = self.bytes.len();
        for line in &mut self.lines {
            if line.kind == kind {
                line.is_forwarded = false;
                join(&mut self.bytes, start, line.value.len());
                self.bytes
                    .extend_from_within(line.value.start()..line.value.end());
            }
        }
        join(&mut self.bytes, start, last.len());
        let value = Span::new(start, self.append(last).end());
        if value.is_empty() {
            self.bytes.truncate(begin);
            return;
        }
        self.bytes.extend_from_slice(b"\r\n");
        self.push_spans(name, value, kind);
    }

    #[inline]
    fn append_name(&mut self, kind: FieldKind) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(kind.line_start().as_bytes());
        Span::new(start, start + kind.name().len())
    }

    /// Copies bytes that are not a line into the buffer, such as a method or a target.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span::new(start, self.bytes.len())
    }

    /// Loads a parsed message: copies `whole`; `lines` are the names and values within it. Replaces
    /// all earlier contents.
    #[inline]
    pub fn load<'b>(&mut self, whole: &'b [u8], lines: impl Iterator<Item = (&'b [u8], &'b [u8])>) {
        self.clear();
        self.bytes.extend_from_slice(whole);
        let mut flags = HeaderFlags::EMPTY;
        self.lines.extend(lines.map(|(name, value)| {
            let kind = FieldKind::of(name);
            flags.insert(kind);
            Field::new(Span::within(whole, name), Span::within(whole, value), kind)
        }));
        self.flags = flags;
    }

    #[inline]
    fn push_spans(&mut self, name: Span, value: Span, kind: FieldKind) {
        self.flags.insert(kind);
        self.lines.push(Field::new(name, value, kind));
    }

    /// Returns all lines in order, including those that are not forwarded.
    #[inline]
    pub fn received(&self) -> &[Field] {
        &self.lines
    }

    /// Returns the name and value of each forwarded line, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.lines.iter().filter(|line| line.is_forwarded);
        lines.map(|line| (self.text(line.name), self.text(line.value)))
    }

    /// Returns the value of each forwarded line with this name, in order. Ignores case.
    pub fn values(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        let kind = FieldKind::of(name);
        let lines = if self.flags.has(kind) {
            &self.lines[..]
        } else {
            &[]
        };
        // Length and last letter, ignoring case, distinguish nearly all names.
        let fold = |byte: &u8| byte | 0x20;
        let last = name.last().map(fold);
        let is_named = move |line: &Field| {
            line.name.len() == name.len() && {
                let text = self.text(line.name);
                text.last().map(fold) == last && text.eq_ignore_ascii_case(name)
            }
        };
        let lines = lines
            .iter()
            .filter(move |line| line.kind == kind && line.is_forwarded && is_named(line));
        lines.map(|line| self.text(line.value))
    }

    /// Returns whether a line of this kind was received or pushed, forwarded or not.
    #[inline]
    pub fn has(&self, kind: FieldKind) -> bool {
        self.flags.has(kind)
    }

    /// Returns whether a line of this kind is forwarded.
    #[inline]
    pub fn forwards(&self, kind: FieldKind) -> bool {
        let is_one = |line: &Field| line.kind == kind && line.is_forwarded;
        self.flags.has(kind) && self.lines.iter().any(is_one)
    }

    /// Returns the kinds of all lines.
    #[inline]
    pub fn flags(&self) -> HeaderFlags {
        self.flags
    }

    /// Returns the value of each line of this kind, forwarded or not.
    #[inline]
    pub fn values_of(&self, kind: FieldKind) -> impl Iterator<Item = &[u8]> {
        let lines = if self.flags.has(kind) {
            &self.lines[..]
        } else {
            &[]
        };
        let lines = lines.iter().filter(move |line| line.kind == kind);
        lines.map(|line| self.text(line.value))
    }

    /// Returns the value of the only line of this kind, or `None` if there are none or several.
    pub fn only_value_of(&self, kind: FieldKind) -> Option<&[u8]> {
        let mut values = self.values_of(kind);
        values.next().filter(|_| values.next().is_none())
    }

    /// Sets whether lines of this kind are forwarded.
    pub fn set_forwarding(&mut self, kind: FieldKind, forwarding: Forwarding) {
        if self.flags.has(kind) {
            for line in self.lines.iter_mut().filter(|line| line.kind == kind) {
                line.is_forwarded = forwarding == Forwarding::Forward;
            }
        }
    }

    /// Marks all lines of `kinds` as not forwarded.
    pub fn drop_kinds(&mut self, kinds: HeaderFlags) {
        if self.flags.intersects(kinds) {
            for line in self.lines.iter_mut().filter(|line| kinds.has(line.kind)) {
                line.is_forwarded = false;
            }
        }
    }

    /// Keeps only the last forwarded line of this kind. The others are no longer forwarded.
    pub fn forward_last(&mut self, kind: FieldKind) {
        if self.flags.has(kind) {
            let lines = self.lines.iter_mut().rev();
            let mut lines = lines.filter(|line| line.kind == kind && line.is_forwarded);
            lines.next();
            lines.for_each(|line| line.is_forwarded = false);
        }
    }

    /// Gives the first line of this kind another value, which is already in the buffer, and
    /// forwards only that line of its kind.
    pub fn forward_only(&mut self, kind: FieldKind, value: Span) {
        let mut lines = self.lines.iter_mut().filter(|line| line.kind == kind);
        if let Some(first) = lines.next() {
            first.value = value;
            first.is_forwarded = true;
        }
        lines.for_each(|line| line.is_forwarded = false);
    }

    /// Marks the lines named `name` as not forwarded, unless their kind is protected
    /// ([`FieldKind::is_protected`]).
    pub fn drop_named(&mut self, name: &[u8]) {
        for line in &mut self.lines {
            if line.name.len() == name.len()
                && !line.kind.is_protected()
                && line.name.of(&self.bytes).eq_ignore_ascii_case(name)
            {
                line.is_forwarded = false;
            }
        }
    }
}

/// Writes the comma between two members if one precedes it and one follows.
fn join(bytes: &mut Vec<u8>, start: usize, next: usize) {
    if bytes.len() > start && next > 0 {
        bytes.extend_from_slice(b", ");
    }
}

/// Whether lines go to the next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    /// The lines are forwarded as they are.
    Forward,
    /// The lines are not forwarded.
    Drop,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[test]
    fn lines_keep_case_and_order() {
        let fields = fields(&[
            ("x-B", "1"),
            ("Host", "a"),
            ("X-b", "2"),
            ("TE", "trailers"),
        ]);
        let lines: Vec<_> = fields.iter().collect();
        let expected: [(&[u8], &[u8]); 3] = [(b"x-B", b"1"), (b"Host", b"a"), (b"X-b", b"2")];
        assert_eq!(lines, expected);
        assert_eq!(fields.values(b"X-B").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(fields.values(b"te").count(), 0);
        assert_eq!(fields.only_value_of(FieldKind::Te), Some(&b"trailers"[..]));
        assert_eq!(fields.only_value_of(FieldKind::Via), None);
    }

    #[test]
    fn dropped_lines_are_not_seen() {
        let mut fields = fields(&[("X-Hop", "1"), ("Host", "a"), ("Cookie", "c")]);
        fields.drop_named(b"x-hop");
        fields.drop_named(b"host");
        fields.set_forwarding(FieldKind::Cookie, Forwarding::Drop);
        let expected: [(&[u8], &[u8]); 1] = [(b"Host", b"a")];
        assert_eq!(fields.iter().collect::<Vec<_>>(), expected);
        assert_eq!(fields.len(), 3);
        fields.clear();
        assert!(fields.is_empty() && !fields.has(FieldKind::Host));
    }
}
