//! Instrument names in one register pair: up to sixteen bytes, compared and hashed without a
//! pointer.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

use crate::{Describe, Error, Result};

/// An instrument's name of at most [`Symbol::LEN_MAX`] bytes of UTF-8, stored in place.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Archive,
    Serialize,
    Deserialize,
    Describe,
)]
pub struct Symbol([u8; Symbol::LEN_MAX]);

impl Symbol {
    /// The longest name in bytes: enough for exchange tickers, small enough for two registers.
    pub const LEN_MAX: usize = 16;

    /// A name; zero bytes cannot be part of it.
    ///
    /// # Errors
    /// When the name is longer than [`Symbol::LEN_MAX`] bytes or contains a zero byte.
    pub fn new(name: &str) -> Result<Self> {
        Self::from_bytes(name.as_bytes()).ok_or_else(|| {
            Error::format(format!("`{name}` is no symbol: at most {} bytes", Self::LEN_MAX))
        })
    }

    /// A name from UTF-8 bytes, or `None` where they are none, too many, or contain a zero.
    #[inline]
    pub fn from_bytes(name: &[u8]) -> Option<Self> {
        if name.len() > Self::LEN_MAX || name.contains(&0) || std::str::from_utf8(name).is_err() {
            return None;
        }
        let mut bytes = [0; Self::LEN_MAX];
        bytes[..name.len()].copy_from_slice(name);
        Some(Self(bytes))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|&byte| byte == 0).unwrap_or(Self::LEN_MAX);
        // Every constructor checks; an archive that was tampered with reads as the empty name.
        std::str::from_utf8(&self.0[..len]).unwrap_or("")
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl std::str::FromStr for Symbol {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl serde::Serialize for Symbol {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Symbol {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Symbol;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an instrument name of at most {} bytes", Symbol::LEN_MAX)
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Symbol, E> {
                Symbol::new(name).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}
