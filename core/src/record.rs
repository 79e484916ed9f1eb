//! What may be a record or a piece of state: anything that rkyv can archive, validate and restore.

use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

use crate::{Describe, Error, Result};

/// A type that can flow through a job and be kept as state.
///
/// Implemented for every type with rkyv's derives and [`Describe`]; `#[record]` of the `tailwater`
/// crate writes them.
pub trait Record:
    Clone
    + Send
    + Describe
    + Archive<
        Archived: for<'a> CheckBytes<HighValidator<'a, rancor::Error>>
                      + Deserialize<Self, HighDeserializer<rancor::Error>>,
    > + for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, rancor::Error>>
{
}

impl<T> Record for T where
    T: Clone
        + Send
        + Describe
        + Archive<
            Archived: for<'a> CheckBytes<HighValidator<'a, rancor::Error>>
                          + Deserialize<T, HighDeserializer<rancor::Error>>,
        > + for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, rancor::Error>>
{
}

/// The archived bytes of a value, aligned to 16.
///
/// # Errors
/// When rkyv cannot serialise the value (a shared pointer that is poisoned, for instance).
pub fn to_archive<T: Record>(value: &T) -> Result<AlignedVec> {
    rkyv::to_bytes::<rancor::Error>(value).map_err(|cause| {
        Error::internal(format!("cannot archive a {}", std::any::type_name::<T>())).caused_by(cause)
    })
}

/// The value that archived bytes hold, validated first.
///
/// # Errors
/// When the bytes are not a valid archive of a `T`.
pub fn from_archive<T: Record>(bytes: &[u8]) -> Result<T> {
    // Archives are read in place, so they must start at an aligned address: copy those that do not.
    let mut aligned = AlignedVec::<16>::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    rkyv::from_bytes::<T, rancor::Error>(&aligned).map_err(|cause| {
        Error::format(format!("these bytes are no archive of a {}", std::any::type_name::<T>()))
            .caused_by(cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Price, Symbol, Timestamp};

    fn is_record<T: Record>() {}

    #[test]
    fn the_usual_types_are_records() {
        is_record::<u64>();
        is_record::<(Symbol, Price, Timestamp)>();
        is_record::<Vec<String>>();
        is_record::<Option<i128>>();
    }

    #[test]
    fn a_value_survives_its_archive_and_a_damaged_one_is_refused() {
        let value = vec![(Symbol::new("BTCUSDT").unwrap(), "x".to_owned())];
        let bytes = to_archive(&value).unwrap();
        assert_eq!(from_archive::<Vec<(Symbol, String)>>(&bytes).unwrap(), value);
        let error = from_archive::<Vec<(Symbol, String)>>(&bytes[..bytes.len() - 3]).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Format);
    }
}
