//! The two ends of the codec: a reader that never runs past its bytes, and the few writing helpers.

use crate::error::DecodeError;

pub(crate) type Result<T> = std::result::Result<T, DecodeError>;

/// A cursor over bytes that knows its offset from the start of the message, for the sake of errors.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// Offset of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8]> {
        let Some((head, tail)) = self.bytes.split_at_checked(len) else {
            return Err(DecodeError::Short { what, at: self.at, needed: len, had: self.bytes.len() });
        };
        (self.bytes, self.at) = (tail, self.at + len);
        Ok(head)
    }

    /// A reader over the next `len` bytes, which this one skips.
    pub(crate) fn sub(&mut self, len: usize, what: &'static str) -> Result<Reader<'a>> {
        let at = self.at;
        Ok(Reader { bytes: self.take(len, what)?, at })
    }

    pub(crate) fn skip(&mut self, len: usize, what: &'static str) -> Result<()> {
        self.take(len, what).map(|_| ())
    }

    /// Skips padding that some peers leave out at the very end.
    pub(crate) fn skip_up_to(&mut self, len: usize) {
        let (_, tail) = self.bytes.split_at(len.min(self.bytes.len()));
        self.at += self.bytes.len() - tail.len();
        self.bytes = tail;
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let all = self.bytes;
        self.at += all.len();
        self.bytes = &[];
        all
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64> {
        self.array(what).map(u64::from_be_bytes)
    }

    pub(crate) fn u128(&mut self, what: &'static str) -> Result<u128> {
        self.array(what).map(u128::from_be_bytes)
    }

    pub(crate) fn mac(&mut self, what: &'static str) -> Result<[u8; 6]> {
        self.array(what)
    }

    /// A NUL-padded string in `len` bytes, the last of which is NUL; each byte that is not UTF-8 becomes a question mark,
    /// so that the string has room where it came from.
    pub(crate) fn text(&mut self, len: usize, what: &'static str) -> Result<String> {
        let bytes = self.take(len, what)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(len.saturating_sub(1));
        let mut text = String::new();
        for chunk in bytes.get(..end).unwrap_or_default().utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|_| '?'));
        }
        Ok(text)
    }

    /// Refuses leftovers.
    pub(crate) fn end(&self, what: &'static str) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        Err(DecodeError::Trailing { what, at: self.at, extra: self.bytes.len() })
    }

    /// Reads a type-length header and hands out its body: the type, and a reader for the rest of the `length` bytes.
    pub(crate) fn type_length(&mut self, what: &'static str) -> Result<(u16, Reader<'a>)> {
        let at = self.at;
        let type_ = self.u16(what)?;
        let length = usize::from(self.u16(what)?);
        let Some(body) = length.checked_sub(4) else {
            return Err(DecodeError::Length { what, at, value: length });
        };
        Ok((type_, self.sub(body, what)?))
    }
}

/// Big-endian appending.
pub(crate) trait Writer {
    fn u8(&mut self, value: u8);
    fn u16(&mut self, value: u16);
    fn u32(&mut self, value: u32);
    fn u64(&mut self, value: u64);
    fn u128(&mut self, value: u128);
    fn bytes(&mut self, bytes: &[u8]);
    fn zeros(&mut self, count: usize);
    /// Zeros until the distance from `start` is a multiple of eight.
    fn pad_from(&mut self, start: usize);
    /// Writes the low `len` bytes of a value.
    fn uint(&mut self, value: u128, len: usize);
    /// `text` cut and NUL-padded to `len` bytes, with at least one NUL.
    fn text(&mut self, text: &str, len: usize);
    /// Overwrites two bytes at `at` with the length since `start`. Lengths beyond 65,535 cannot be said in OpenFlow and
    /// saturate, so that the peer answers with an error instead of losing the stream's framing silently.
    fn patch_length(&mut self, at: usize, start: usize);
}

impl Writer for Vec<u8> {
    fn u8(&mut self, value: u8) {
        self.push(value);
    }
    fn u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }
    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }
    fn u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes());
    }
    fn u128(&mut self, value: u128) {
        self.extend_from_slice(&value.to_be_bytes());
    }
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
    fn zeros(&mut self, count: usize) {
        self.resize(self.len() + count, 0);
    }
    fn pad_from(&mut self, start: usize) {
        let used = self.len().saturating_sub(start);
        self.zeros(used.next_multiple_of(8) - used);
    }
    fn uint(&mut self, value: u128, len: usize) {
        let bytes = value.to_be_bytes();
        self.extend_from_slice(bytes.get(16usize.saturating_sub(len)..).unwrap_or(&bytes));
    }
    fn text(&mut self, text: &str, len: usize) {
        let mut end = text.len().min(len.saturating_sub(1));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.extend_from_slice(text.as_bytes().get(..end).unwrap_or_default());
        self.zeros(len - end);
    }
    fn patch_length(&mut self, at: usize, start: usize) {
        let length = u16::try_from(self.len().saturating_sub(start)).unwrap_or(u16::MAX);
        if let Some(place) = self.get_mut(at..at + 2) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }
}

/// Appends one property (OpenFlow 1.4 style: type, length without padding, value, padding). A switch expects numbers of
/// less than 32 bits in the upper end of 32, with the length saying 8.
pub(crate) fn property(out: &mut Vec<u8>, type_: u16, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.u16(type_);
    out.u16(0);
    write(out);
    out.patch_length(start + 2, start);
    out.pad_from(start);
}

/// Hands out properties until the reader is empty: offset, type, value.
pub(crate) fn properties(
    reader: &mut Reader<'_>,
    mut each: impl FnMut(usize, u16, &mut Reader<'_>) -> Result<()>,
) -> Result<()> {
    while !reader.is_empty() {
        let at = reader.at();
        let (type_, mut value) = reader.type_length("property")?;
        let length = value.left() + 4;
        reader.skip_up_to(length.next_multiple_of(8) - length);
        each(at, type_, &mut value)?;
        // Numbers shorter than 32 bits are followed by zeros up to 32.
        if value.left() >= 4 {
            return Err(DecodeError::Trailing { what: "property", at: value.at(), extra: value.left() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_length_whatever_is_in_it() {
        for bytes in [[0xff; 16], *b"sixteen letters!", *b"caf\xc3\xa9\0\0\0\0\0\0\0\0\0\0\0"] {
            let text = Reader::new(&bytes).text(16, "name").unwrap();
            let mut again = Vec::new();
            again.text(&text, 16);
            assert_eq!(again.len(), 16);
            assert_eq!(Reader::new(&again).text(16, "name"), Ok(text));
        }
        assert_eq!(Reader::new(&[0xff; 4]).text(4, "name"), Ok("???".to_owned()));
    }
}
