//! Keys and values to archived bytes and back; those whose own bytes are their archive are copied
//! as they are, and those that refer to nothing outside of themselves are archived in place.
#![allow(unsafe_code)] // Copies values whose bytes are their archive, and makes archives in place.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use rkyv::api::high::{access, deserialize, to_bytes_in};
use rkyv::util::AlignedVec;
use rkyv::{Archive, Place, rancor};
use tailwater_core::{Error, KeyGroups, Record, Result};

use crate::changes::{self, HEADER_BYTES, NAMESPACE_TOMBSTONE, TOMBSTONE, padded};

/// Whether the bytes of a `T` in memory are its archive.
const fn is_copied<T: Archive>() -> bool {
    T::COPY_OPTIMIZATION.is_enabled() && size_of::<T>() == size_of::<T::Archived>()
}

/// Whether the archive of a `T` is an `Archived` and nothing before it. What is archived outside of
/// that is referred to from there, so that its place must be known when the `Archived` is made: it
/// would be in the resolver.
const fn is_in_place<T: Archive>() -> bool {
    is_copied::<T>() || size_of::<T::Resolver>() == 0
}

/// The archive of a value that is [in place](is_in_place), as rkyv writes it: with zeros between
/// the fields.
#[inline(always)]
fn in_place<T: Archive>(value: &T) -> MaybeUninit<T::Archived> {
    debug_assert!(is_in_place::<T>());
    let mut archived = MaybeUninit::zeroed();
    // SAFETY: reads no bytes, from an address that is aligned. A resolver of no size says nothing,
    // so that this one is what serialising the value would give.
    let resolver = unsafe { NonNull::<T::Resolver>::dangling().read() };
    // SAFETY: aligned and ours alone, and all bytes of it are initialised.
    value.resolve(resolver, unsafe { Place::new_unchecked(0, archived.as_mut_ptr()) });
    archived
}

/// Appends the archive of `value`. `scratch` is emptied; it keeps its memory between calls.
#[inline]
pub(crate) fn append<T: Record>(
    value: &T,
    bytes: &mut Vec<u8>,
    scratch: &mut AlignedVec,
) -> Result<()> {
    if const { is_in_place::<T>() } {
        let start = bytes.len();
        bytes.reserve(padded(size_of::<T::Archived>()));
        // SAFETY: there is room for the archive and its padding, which are then initialised; with
        // it in a vector of its own `value` is none of these bytes.
        unsafe {
            put_padded(bytes.as_mut_ptr().add(start), value);
            bytes.set_len(start + size_of::<T::Archived>());
        }
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

/// Whether frames of such keys and values have one length, known to the compiler.
const fn is_of_one_length<K: Archive, V: Archive>() -> bool {
    is_in_place::<K>()
        && is_in_place::<V>()
        && size_of::<i64>() + size_of::<K::Archived>() <= u16::MAX as usize
        && size_of::<V::Archived>() < NAMESPACE_TOMBSTONE as usize
}

/// The bytes of most frames of such keys and values: of all of them where they have one length.
pub(crate) const fn usual_frame_bytes<K: Archive, V: Archive>() -> usize {
    HEADER_BYTES
        + size_of::<i64>()
        + padded(size_of::<K::Archived>())
        + padded(size_of::<V::Archived>())
}

/// As [`append_frame`], for a key with this hash.
#[inline]
pub(crate) fn append_hashed<K: Record, V: Record>(
    bytes: &mut Vec<u8>,
    scratch: &mut AlignedVec,
    whose: Whose,
    (hash, key): (u64, &K),
    value: Option<&V>,
) -> Result<()> {
    let group = whose.key_groups.of_hash(hash) as u16;
    append_frame(bytes, scratch, whose.namespace, (group, key), value)
}

/// Appends a frame: an upsert, or a tombstone where there is no value. On an error nothing was
/// appended.
#[inline(always)]
pub(crate) fn append_frame<K: Record, V: Record>(
    bytes: &mut Vec<u8>,
    scratch: &mut AlignedVec,
    namespace: Option<i64>,
    (group, key): (u16, &K),
    value: Option<&V>,
) -> Result<()> {
    if const { is_of_one_length::<K, V>() } {
        append_in_place(bytes, namespace, (group, key), value);
        return Ok(());
    }
    let start = bytes.len();
    let outcome = append_parts(bytes, scratch, namespace, key, value);
    match outcome {
        Ok((key_len, value_len)) => {
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

/// A frame of a key and a value that are archived in place, with one look at the room for all of
/// it.
#[inline(always)]
fn append_in_place<K: Archive, V: Archive>(
    bytes: &mut Vec<u8>,
    namespace: Option<i64>,
    (group, key): (u16, &K),
    value: Option<&V>,
) {
    bytes.reserve(usual_frame_bytes::<K, V>());
    let start = bytes.len();
    let namespace_bytes = namespace.map_or(0, |_| size_of::<i64>());
    let key_len = (namespace_bytes + size_of::<K::Archived>()) as u16;
    let value_len = value.map_or(TOMBSTONE, |_| size_of::<V::Archived>() as u32);
    let key_at = HEADER_BYTES + namespace_bytes;
    let value_at = key_at + padded(size_of::<K::Archived>());
    let end = value_at + value.map_or(0, |_| padded(size_of::<V::Archived>()));
    // SAFETY: there is room for the longest frame of such a key and value, of which `end` bytes are
    // written: the header, the namespace, the key and the value with the padding of both. Key and
    // value are not among them, as the bytes are the vector's own.
    unsafe {
        let at = bytes.as_mut_ptr().add(start);
        at.cast::<[u8; HEADER_BYTES]>().write(changes::header(value_len, key_len, group));
        if let Some(namespace) = namespace {
            at.add(HEADER_BYTES).cast::<[u8; 8]>().write(namespace.to_le_bytes());
        }
        put_padded(at.add(key_at), key);
        if let Some(value) = value {
            put_padded(at.add(value_at), value);
        }
        bytes.set_len(start + end);
    }
}

/// Writes the archive of a value that is in place, and zeros up to a multiple of eight.
///
/// # Safety
/// So many bytes can be written at `at`, and `value` is not among them.
#[inline(always)]
unsafe fn put_padded<T: Archive>(at: *mut u8, value: &T) {
    let len = size_of::<T::Archived>();
    if !len.is_multiple_of(8) {
        // SAFETY: the last eight of the bytes, which the caller grants.
        unsafe { at.add(padded(len) - 8).cast::<[u8; 8]>().write([0; 8]) };
    }
    if const { is_copied::<T>() } {
        let own = std::ptr::from_ref(value).cast::<u8>();
        // SAFETY: the caller grants the bytes at `at`, and says that they are others. All of the
        // value's are initialised: rkyv's optimisation is on only for types without padding.
        unsafe { own.copy_to_nonoverlapping(at, len) };
    } else {
        let archived = in_place(value);
        // SAFETY: the caller grants the bytes at `at`, and `archived` is a local. Its bytes are
        // initialised: they were zeros, and `resolve` may not leave any that are not.
        unsafe { archived.as_ptr().cast::<u8>().copy_to_nonoverlapping(at, len) };
    }
}

#[inline]
fn append_parts<K: Record, V: Record>(
    bytes: &mut Vec<u8>,
    scratch: &mut AlignedVec,
    namespace: Option<i64>,
    key: &K,
    value: Option<&V>,
) -> Result<(u16, u32)> {
    bytes.reserve(usual_frame_bytes::<K, V>());
    bytes.extend_from_slice(&[0; HEADER_BYTES]);
    let key_start = bytes.len();
    if let Some(namespace) = namespace {
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
    use tailwater_core::{Key, stable_hash};

    use super::*;
    use crate::changes::{Frame, Frames, Payload};

    fn whose(namespace: Option<i64>) -> Whose {
        Whose { namespace, key_groups: KeyGroups::new(128).unwrap() }
    }

    #[test]
    fn frames_hold_what_rkyv_would_write() {
        let (mut bytes, mut scratch) = (Vec::new(), AlignedVec::new());
        let (key, value) = (0x0102_0304u32, (7i128, "text".to_owned(), vec![1u16, 2, 3]));
        let hash = stable_hash(&key);
        let hashed = (hash, &key);
        append_hashed(&mut bytes, &mut scratch, whose(None), hashed, Some(&value)).unwrap();
        append_hashed::<_, u8>(&mut bytes, &mut scratch, whose(Some(-3)), hashed, None).unwrap();
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
    fn frames_of_one_length_are_as_any_others() {
        fn check<K: Key, V: Record + Clone>(key: &K, value: &V) {
            let hash = stable_hash(key);
            for namespace in [None, Some(-3i64)] {
                for value in [Some(value), None] {
                    let (mut bytes, mut scratch) = (vec![0xA5; 8], AlignedVec::new());
                    let hashed = (hash, key);
                    append_hashed(&mut bytes, &mut scratch, whose(namespace), hashed, value)
                        .unwrap();
                    let mut key_bytes = Vec::new();
                    key_bytes.extend(namespace.into_iter().flat_map(i64::to_le_bytes));
                    key_bytes.extend_from_slice(&to_archive(key).unwrap());
                    let archive = value.map(|value| to_archive(value).unwrap());
                    let frame = Frame {
                        group: whose(None).key_groups.of_hash(hash) as u16,
                        key: &key_bytes,
                        payload: match &archive {
                            Some(archive) => Payload::Upsert(archive),
                            None => Payload::Tombstone,
                        },
                    };
                    let mut expected = vec![0xA5; 8];
                    frame.write(&mut expected);
                    assert_eq!(bytes, expected);
                }
            }
        }
        check(&7u64, &[1u64, 2]);
        check(&7u64, &());
        check(&(7u32, 8u64), &(1u8, 2u64, 3u16));
        check(&7u64, &[(1u16, 2u32); 5]);
        check(&7u64, &Some(8u64));
        check(&0x0102_0304u32, &[1u8, 2, 3, 4, 5, 6, 7, 8, 9]);
        check(&[1u8, 2, 3], &0x0102_0304u32);
        check(&-1i128, &[9u16; 40]);
        check(&"a key".to_owned(), &7u64);
        check(&7u16, &vec![1u32, 2, 3]);
    }

    #[test]
    fn bytes_of_another_type_are_refused() {
        let mut scratch = AlignedVec::new();
        assert!(read::<u64>(&[1, 2, 3], &mut scratch).is_err());
        assert!(read::<bool>(&[7], &mut scratch).is_err());
        assert!(read::<Vec<u64>>(&[0x7E; 8], &mut scratch).is_err());
    }
}
