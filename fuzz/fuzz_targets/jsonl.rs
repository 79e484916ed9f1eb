//! JSON lines of any bytes: no panic, and the same records whatever the size of the blocks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tailwater_connectors::file::JsonlDecoder;
use tailwater_connectors::market::Trade;

mod blocks;

fuzz_target!(|bytes: &[u8]| blocks::agree(bytes, JsonlDecoder::<Trade>::default));
