//! The compact form of stored states: numbers as varints, times as differences, nothing that can be worked out.
//!
//! Reading is bounded by the bytes there are: every count is checked against what is left before anything is reserved, so
//! damaged bytes cost an error and never memory.

use waggle_model::Timestamp;

/// Why stored bytes are not a state.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateDecodeError {
    #[error("state is empty")]
    Empty,
    #[error("state has version {got}, this build reads {expected}")]
    Version { got: u8, expected: u8 },
    #[error("state does not decode: {0}")]
    Malformed(&'static str),
}

/// Appends fields to a blob that starts with its version.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(version: u8, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(version);
        Self(bytes)
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Seven bits per byte, the lowest first; the top bit says that more follow.
    pub(crate) fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Numbers near zero of either sign are short.
    pub(crate) fn zigzag(&mut self, number: i64) {
        self.varint((number << 1 ^ number >> 63).cast_unsigned());
    }

    /// How much later than `than`: short where `time` comes after it, exact anyway.
    pub(crate) fn later(&mut self, time: Timestamp, than: Timestamp) {
        self.varint(time.as_millis().wrapping_sub(than.as_millis()).cast_unsigned());
    }

    pub(crate) fn time(&mut self, time: Timestamp) {
        self.zigzag(time.as_millis());
    }

    pub(crate) fn u16(&mut self, number: u16) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn f32(&mut self, number: f32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn f64(&mut self, number: f64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }
}

/// Takes fields off a blob.
pub(crate) struct Reader<'a>(&'a [u8]);

type Decoded<T> = Result<T, StateDecodeError>;

impl<'a> Reader<'a> {
    pub(crate) fn new(expected: u8, bytes: &'a [u8]) -> Decoded<Self> {
        match bytes.split_first() {
            None => Err(StateDecodeError::Empty),
            Some((&got, body)) if got == expected => Ok(Self(body)),
            Some((&got, _)) => Err(StateDecodeError::Version { got, expected }),
        }
    }

    pub(crate) fn finish(&self) -> Decoded<()> {
        if self.0.is_empty() { Ok(()) } else { Err(StateDecodeError::Malformed("it goes on behind its end")) }
    }

    pub(crate) fn byte(&mut self) -> Decoded<u8> {
        let [byte] = self.take()?;
        Ok(byte)
    }

    pub(crate) fn varint(&mut self) -> Decoded<u64> {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(StateDecodeError::Malformed("a number does not fit 64 bits"));
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(number)
    }

    /// A varint of a narrower type.
    pub(crate) fn narrow<T: TryFrom<u64>>(&mut self) -> Decoded<T> {
        T::try_from(self.varint()?).map_err(|_| StateDecodeError::Malformed("a number is too large"))
    }

    pub(crate) fn zigzag(&mut self) -> Decoded<i64> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(crate) fn later(&mut self, than: Timestamp) -> Decoded<Timestamp> {
        Ok(Timestamp::from_millis(than.as_millis().wrapping_add(self.varint()?.cast_signed())))
    }

    pub(crate) fn time(&mut self) -> Decoded<Timestamp> {
        Ok(Timestamp::from_millis(self.zigzag()?))
    }

    pub(crate) fn u16(&mut self) -> Decoded<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Decoded<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Decoded<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn f32(&mut self) -> Decoded<f32> {
        let number = f32::from_le_bytes(self.take()?);
        if number.is_finite() { Ok(number) } else { Err(NOT_FINITE) }
    }

    pub(crate) fn f64(&mut self) -> Decoded<f64> {
        let number = f64::from_le_bytes(self.take()?);
        if number.is_finite() { Ok(number) } else { Err(NOT_FINITE) }
    }

    pub(crate) fn text(&mut self) -> Decoded<&'a str> {
        let n_bytes = self.narrow::<usize>()?;
        let (text, rest) = self.0.split_at_checked(n_bytes).ok_or(TOO_SHORT)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| StateDecodeError::Malformed("a text is not UTF-8"))
    }

    /// The number of entries that follow: at most `max`, and no more than there are bytes for.
    pub(crate) fn count(&mut self, max: usize, min_bytes_each: usize) -> Decoded<usize> {
        let n = self.narrow::<usize>()?;
        if n > max {
            return Err(StateDecodeError::Malformed("a list is longer than any that is written"));
        }
        if n * min_bytes_each > self.0.len() {
            return Err(TOO_SHORT);
        }
        Ok(n)
    }

    fn take<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(TOO_SHORT)?;
        self.0 = rest;
        Ok(*taken)
    }
}

const TOO_SHORT: StateDecodeError = StateDecodeError::Malformed("it ends too early");
const NOT_FINITE: StateDecodeError = StateDecodeError::Malformed("a number is not finite");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_read_back(a in any::<u64>(), b in any::<i64>(), c in any::<i64>(), text in ".{0,9}") {
            let (b_time, c_time) = (Timestamp::from_millis(b), Timestamp::from_millis(c));
            let mut writer = Writer::new(7, 0);
            writer.varint(a);
            writer.zigzag(b);
            writer.later(c_time, b_time);
            writer.text(&text);
            let bytes = writer.finish();
            let mut reader = Reader::new(7, &bytes).unwrap();
            prop_assert_eq!(reader.varint().unwrap(), a);
            prop_assert_eq!(reader.zigzag().unwrap(), b);
            prop_assert_eq!(reader.later(b_time).unwrap(), c_time);
            prop_assert_eq!(reader.text().unwrap(), text);
            reader.finish().unwrap();
        }
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused() {
        let bytes = [&[1_u8][..], &[0xff; 9], &[2]].concat();
        let mut reader = Reader::new(1, &bytes).unwrap();
        assert_eq!(reader.varint(), Err(StateDecodeError::Malformed("a number does not fit 64 bits")));
    }

    #[test]
    fn a_list_longer_than_its_bytes_reserves_nothing() {
        let mut reader = Reader::new(1, &[1, 200, 1]).unwrap();
        assert_eq!(reader.count(500, 1), Err(TOO_SHORT));
        let mut reader = Reader::new(1, &[1, 200, 1]).unwrap();
        assert_eq!(
            reader.count(100, 0),
            Err(StateDecodeError::Malformed("a list is longer than any that is written"))
        );
    }
}
