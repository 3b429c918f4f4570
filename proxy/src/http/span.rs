//! Ranges of bytes in a message's buffer.

/// A range of bytes in a buffer that another value owns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Creates a span from byte offsets. An offset beyond 4 GiB, which no limit allows, gives an
    /// empty span.
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

    /// Returns the span of `part`, which is a slice of `whole`.
    #[inline]
    pub fn within(whole: &[u8], part: &[u8]) -> Span {
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        Span::new(start, start.wrapping_add(part.len()))
    }

    /// Returns the offset of the first byte.
    #[inline]
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// Returns the offset one past the last byte.
    #[inline]
    pub fn end(self) -> usize {
        self.end as usize
    }

    /// Returns the number of bytes.
    #[inline]
    pub fn len(self) -> usize {
        self.end() - self.start()
    }

    /// Returns whether the span is empty.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Returns the bytes of the span in `buffer`.
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
