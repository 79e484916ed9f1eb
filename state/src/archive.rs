//! Keys and values to archived bytes and back; those whose own bytes are their archive are copied
//! as they are.
#![allow(unsafe_code)] // Copies values whose bytes are their archive.

use rkyv::api::high::{access, deserialize, to_bytes_in};
use rkyv::util::AlignedVec;
use rkyv::{Archive, rancor};
use tailwater_core::{Error, KeyGroups, Record, Result};

use crate::changes::{self, HEADER_BYTES, NAMESPACE_TOMBSTONE, TOMBSTONE};

/// Whether the bytes of a `T` in memory are its archive.
const fn is_copied<T: Archive>() -> bool {
    T::COPY_OPTIMIZATION.is_enabled() && size_of::<T>() == size_of::<T::Archived>()
}

/// Appends the archive of `value`. `scratch` is emptied; it keeps its memory between calls.
#[inline]
pub(crate) fn append<T: Record>(
    value: &T,
    bytes: &mut Vec<u8>,
    scratch: &mut AlignedVec,
) -> Result<()> {
    if const { is_copied::<T>() } {
        // SAFETY: rkyv's optimisation is on only for types without padding, so that all bytes are
        // initialised.
        let own = unsafe {
            std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>())
        };
        bytes.extend_from_slice(own);
        return Ok(());
    }
    let mut writer = std::mem::take(scratch);
    writer.clear();
    let archive = to_bytes_in::<_, rancor::Error>(value, writer).map_err(|cause| {
        Error::internal(format!("cannot archive a {}", std::any::type_name::<T>())).caused_by(cause)
    })?;
    bytes.extend_from_slice(&archive);
    *scratch = archive;
    Ok(())
}

/// What a frame says beside key and value.
#[derive(Clone, Copy)]
pub(crate) struct Whose {
    pub(crate) namespace: Option<i64>,
    pub(crate) key_groups: KeyGroups,
}

/// Appends a frame: an upsert, or a tombstone where there is no value. On an error nothing was
/// appended.
#[inline]
pub(crate) fn append_frame<K: Record, V: Record>(
    bytes: &mut Vec<u8>,
    scratch: &mut AlignedVec,
    whose: Whose,
    (hash, key): (u64, &K),
    value: Option<&V>,
) -> Result<()> {
    let start = bytes.len();
    let outcome = append_parts(bytes, scratch, whose, key, value);
    match outcome {
        Ok((key_len, value_len)) => {
            let group = whose.key_groups.of_hash(hash) as u16;
            let header = changes::header(value_len, key_len, group);
            bytes[start..start + HEADER_BYTES].copy_from_slice(&header);
            Ok(())
        }
        Err(error) => {
            bytes.truncate(start);
            Err(error)
        }
    }
}

#[inline]
fn append_parts<K: Record, V: Record>(
    bytes: &mut Vec<u8>,
    scratch: &mut AlignedVec,
    whose: Whose,
    key: &K,
    value: Option<&V>,
) -> Result<(u16, u32)> {
    bytes.reserve(const { HEADER_BYTES + size_of::<i64>() + size_of::<K>() + size_of::<V>() + 16 });
    bytes.extend_from_slice(&[0; HEADER_BYTES]);
    let key_start = bytes.len();
    if let Some(namespace) = whose.namespace {
        bytes.extend_from_slice(&namespace.to_le_bytes());
    }
    append(key, bytes, scratch)?;
    let key_len = u16::try_from(bytes.len() - key_start).map_err(|_| {
        Error::overflow("a key's archive takes more than 65,535 bytes: use a shorter key")
    })?;
    pad(bytes);
    let Some(value) = value else { return Ok((key_len, TOMBSTONE)) };
    let value_start = bytes.len();
    append(value, bytes, scratch)?;
    let value_len = u32::try_from(bytes.len() - value_start)
        .ok()
        .filter(|len| *len < NAMESPACE_TOMBSTONE)
        .ok_or_else(|| Error::overflow("a value's archive takes more than 4 GiB"))?;
    pad(bytes);
    Ok((key_len, value_len))
}

#[inline(always)]
fn pad(bytes: &mut Vec<u8>) {
    // Frames start at multiples of eight, counted from the start of the chunk.
    let short = bytes.len().wrapping_neg() % 8;
    if short != 0 {
        bytes.extend_from_slice(&[0; 8][..short]);
    }
}

/// The value that validated bytes hold.
#[inline]
pub(crate) fn read<T: Record>(bytes: &[u8], scratch: &mut AlignedVec) -> Result<T> {
    if (bytes.as_ptr() as usize).is_multiple_of(align_of::<T::Archived>()) {
        return read_aligned(bytes);
    }
    scratch.clear();
    scratch.extend_from_slice(bytes);
    read_aligned(scratch)
}

#[inline]
fn read_aligned<T: Record>(bytes: &[u8]) -> Result<T> {
    let outcome = access::<T::Archived, rancor::Error>(bytes).and_then(|archived| {
        if const { is_copied::<T>() } {
            // SAFETY: the archive was validated, and for such a type it is, byte for byte, the
            // value: the optimisation holds both ways. The bytes are moved out unaligned.
            return Ok(unsafe { std::ptr::from_ref(archived).cast::<T>().read_unaligned() });
        }
        deserialize::<T, rancor::Error>(archived)
    });
    outcome.map_err(|cause| {
        Error::format(format!("these bytes are no archive of a {}", std::any::type_name::<T>()))
            .caused_by(cause)
    })
}

#[cfg(test)]
mod tests {
    use tailwater_core::record::to_archive;
    use tailwater_core::stable_hash;

    use super::*;
    use crate::changes::{Frames, Payload};

    fn whose(namespace: Option<i64>) -> Whose {
        Whose { namespace, key_groups: KeyGroups::new(128).unwrap() }
    }

    #[test]
    fn frames_hold_what_rkyv_would_write() {
        let (mut bytes, mut scratch) = (Vec::new(), AlignedVec::new());
        let (key, value) = (0x0102_0304u32, (7i128, "text".to_owned(), vec![1u16, 2, 3]));
        let hash = stable_hash(&key);
        let hashed = (hash, &key);
        append_frame(&mut bytes, &mut scratch, whose(None), hashed, Some(&value)).unwrap();
        append_frame::<_, u8>(&mut bytes, &mut scratch, whose(Some(-3)), hashed, None).unwrap();
        let frames: Vec<_> = Frames::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(frames[0].key, &to_archive(&key).unwrap()[..]);
        assert_eq!(u32::from(frames[0].group), whose(None).key_groups.of_hash(hash));
        let Payload::Upsert(archive) = frames[0].payload else { panic!("an upsert") };
        assert_eq!(archive, &to_archive(&value).unwrap()[..]);
        assert_eq!(read::<(i128, String, Vec<u16>)>(archive, &mut scratch).unwrap(), value);
        assert_eq!(frames[1].payload, Payload::Tombstone);
        assert_eq!(frames[1].key[..8], (-3i64).to_le_bytes());
        assert_eq!(read::<u32>(&frames[1].key[8..], &mut scratch).unwrap(), key);
    }

    #[test]
    fn bytes_of_another_type_are_refused() {
        let mut scratch = AlignedVec::new();
        assert!(read::<u64>(&[1, 2, 3], &mut scratch).is_err());
        assert!(read::<bool>(&[7], &mut scratch).is_err());
        assert!(read::<Vec<u64>>(&[0x7E; 8], &mut scratch).is_err());
    }
}
