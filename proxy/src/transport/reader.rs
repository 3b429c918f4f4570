//! Reader of binary fields in network byte order, with a bounds check before each.

/// The rest of a message. If fewer bytes are left than a method needs, it returns `None` and reads
/// nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns the bytes that are left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads the next `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// Reads the next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Reads a one-byte length and that many bytes.
    pub(super) fn prefixed_u8(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let length = ahead.u8()?;
        let taken = ahead.take(length.into())?;
        *self = ahead;
        Some(taken)
    }

    /// Reads a two-byte length and that many bytes.
    pub(super) fn prefixed_u16(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let length = ahead.u16()?;
        let taken = ahead.take(length.into())?;
        *self = ahead;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_beyond_the_end() {
        let mut reader = Reader::new(&[2, 7, 8, 0, 3, 1, 2]);
        assert_eq!(reader.prefixed_u8(), Some(&[7, 8][..]));
        assert_eq!(reader.prefixed_u16(), None);
        assert_eq!(reader.array::<5>(), None);
        assert_eq!(reader.rest().len(), 4);
        assert_eq!(reader.u16(), Some(3));
        assert_eq!(reader.take(3), None);
        assert_eq!(reader.take(2), Some(&[1, 2][..]));
        assert_eq!(reader.u8(), None);
        assert!(reader.is_empty());
    }
}
