//! One oracle for all decoders: what they read does not depend on how much they see at a time.

use std::fmt::Debug;

use tailwater_connectors::file::{Decoder, decode_all};

/// Decodes in one block and in blocks of a few bytes, and compares.
pub fn agree<D: Decoder>(bytes: &[u8], decoder: impl Fn() -> D)
where
    D::Out: PartialEq + Debug,
{
    // Blocks of one byte are the hardest and the slowest: keep them to inputs of a bearable length.
    let bytes = &bytes[..bytes.len().min(4 << 10)];
    let (whole, bad, end) = decode_all(decoder(), bytes, usize::MAX);
    for block_bytes in [1, 7] {
        let (parts, parts_bad, parts_end) = decode_all(decoder(), bytes, block_bytes);
        assert_eq!(whole, parts);
        assert_eq!(bad, parts_bad);
        assert_eq!(end.is_ok(), parts_end.is_ok());
    }
}
