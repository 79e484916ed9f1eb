//! CSV of any bytes: no panic, and the same rows whatever the size of the blocks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tailwater_connectors::file::{CsvDecoder, Dialect};
use tailwater_connectors::market::Trade;

mod blocks;

fuzz_target!(|bytes: &[u8]| {
    blocks::agree(bytes, || CsvDecoder::<Trade>::new(Dialect::default()));
    blocks::agree(bytes, || CsvDecoder::<(String, Option<i64>)>::new(Dialect::default()));
});
