//! Little-endian numbers and texts, written to a vector and read from a slice with bounds checked.

use tailwater_core::{Error, Result};

/// Reads fields one after the other; runs out with an error that says where.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How far it has read.
    pub fn at(&self) -> usize {
        self.at
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let left = &self.bytes[self.at..];
        let Some(taken) = left.get(..len) else {
            return Err(Error::format(format!(
                "{len} bytes are wanted at byte {}, {} are left",
                self.at,
                left.len()
            )));
        };
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Bytes behind their length.
    pub fn blob(&mut self) -> Result<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    /// A text behind its length.
    pub fn text(&mut self) -> Result<&'a str> {
        let at = self.at;
        std::str::from_utf8(self.blob()?)
            .map_err(|cause| Error::format(format!("no text at byte {at}")).caused_by(cause))
    }

    /// A number of things of at least `len_min` bytes each, which the bytes that are left can hold:
    /// a damaged count must not reserve memory.
    pub fn count(&mut self, len_min: usize) -> Result<usize> {
        let count = self.u32()? as usize;
        let left = self.bytes.len() - self.at;
        if count.saturating_mul(len_min) > left {
            return Err(Error::format(format!("{count} things do not fit {left} bytes")));
        }
        Ok(count)
    }
}

/// Appends bytes behind their length.
///
/// # Panics
/// When there are 4 GiB of them or more.
pub(crate) fn put_blob(into: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("texts and values are shorter than 4 GiB");
    into.extend_from_slice(&len.to_le_bytes());
    into.extend_from_slice(bytes);
}

/// Appends zeros up to a multiple of `unit`, a power of two.
pub(crate) fn pad(into: &mut Vec<u8>, unit: usize) {
    into.resize(into.len().next_multiple_of(unit), 0);
}

/// The little-endian `u32` at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut array = [0; 4];
    array.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(array)
}

/// The little-endian `u64` at `at`.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut array = [0; 8];
    array.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(array)
}
