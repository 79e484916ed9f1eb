//! ITCH of any bytes: no panic, and the same messages and trades whatever the size of the blocks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tailwater_connectors::market::itch::{ItchMessageDecoder, ItchTradeDecoder};

mod blocks;

fuzz_target!(|bytes: &[u8]| {
    blocks::agree(bytes, || ItchMessageDecoder);
    blocks::agree(bytes, ItchTradeDecoder::default);
});
