//! The byte format of journal entries: whole numbers of variable length (LEB128), and texts
//! prefixed with their length.

/// Appends numbers and texts to bytes.
pub(crate) trait Write {
    /// Appends a number, seven bits a byte, lowest first.
    fn number(&mut self, value: u64);
    /// Appends a text after its length.
    fn text(&mut self, text: &str);
}

impl Write for Vec<u8> {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.push(value.to_le_bytes()[0]);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.extend_from_slice(text.as_bytes());
    }
}

/// Takes numbers and texts off the front of bytes; `None` if bytes run out or are invalid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read<'a>(pub(crate) &'a [u8]);

impl<'a> Read<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A number that counts or indexes something in memory.
    pub(crate) fn size(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    pub(crate) fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = self.size()?;
        std::str::from_utf8(self.bytes(length)?).ok()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_and_texts_read_back(values: Vec<u64>, text: String) {
            let mut bytes = Vec::new();
            for value in &values {
                bytes.number(*value);
            }
            bytes.text(&text);
            let mut read = Read(&bytes);
            for value in &values {
                prop_assert_eq!(read.number(), Some(*value));
            }
            prop_assert_eq!(read.text(), Some(text.as_str()));
            prop_assert!(read.is_empty());
        }

        #[test]
        fn any_bytes_read_without_panic(bytes: Vec<u8>) {
            let mut read = Read(&bytes);
            while read.number().is_some() {}
            Read(&bytes).text();
        }
    }

    #[test]
    fn a_number_over_64_bits_is_refused() {
        assert_eq!(Read(&[0xff; 10]).number(), None);
        let mut most = Vec::new();
        most.number(u64::MAX);
        assert_eq!(most.len(), 10);
        assert_eq!(Read(&most).number(), Some(u64::MAX));
    }
}
