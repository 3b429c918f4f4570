//! Ranges of bytes in a message's buffer.

/// A range of bytes in a buffer that somebody else owns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// From byte offsets. Offsets beyond 4 GiB, which no limit admits, give a span that
    /// reads as empty.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked for the larger one"
    )]
    pub fn new(start: usize, end: usize) -> Span {
        if start <= end && u32::try_from(end).is_ok() {
            Span {
                start: start as u32,
                end: end as u32,
            }
        } else {
            Span::default()
        }
    }

    /// The span of `part`, a slice of `whole`.
    #[inline]
    pub fn within(whole: &[u8], part: &[u8]) -> Span {
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        Span::new(start, start.wrapping_add(part.len()))
    }

    /// First byte.
    #[inline]
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// One past the last byte.
    #[inline]
    pub fn end(self) -> usize {
        self.end as usize
    }

    /// Number of bytes.
    #[inline]
    pub fn len(self) -> usize {
        self.end() - self.start()
    }

    /// Whether it covers no bytes.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The bytes that it covers in `buffer`.
    #[inline]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start()..self.end()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_out_of_range_is_empty() {
        assert_eq!(Span::new(2, 9).of(b"abc"), b"");
        assert_eq!(Span::new(2, 1).of(b"abc"), b"");
        assert_eq!(Span::new(usize::MAX, usize::MAX), Span::default());
    }

    #[test]
    fn a_part_is_found_in_its_whole() {
        let whole = b"abcdef";
        assert_eq!(Span::within(whole, &whole[2..4]).of(whole), b"cd");
        assert_eq!(Span::within(whole, b"elsewhere").of(whole).len(), 0);
    }
}
