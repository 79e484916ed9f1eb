//! Every store of the build gives the checksum of the flat table.

use crate::{Measured, Options, Store, measure};

fn measured<S: Store>(store: &str) -> Measured {
    let name = format!("state-stores-{store}-{}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    measure::<S>(&Options { keys: 500, ops: 20_000, batch: 700, dir }).expect("the store works")
}

fn agrees_with_the_flat_table<S: Store>(store: &str) {
    let expected = measured::<crate::flat::Flat>(&format!("flat-for-{store}"));
    let measured = measured::<S>(store);
    assert_eq!(measured.totals, expected.totals);
    assert!(measured.bytes > 0, "{store} has written nothing");
}

#[test]
#[cfg(feature = "fjall")]
fn fjall_agrees_with_the_flat_table() {
    agrees_with_the_flat_table::<crate::fjall::Fjall>("fjall");
}

#[test]
#[cfg(feature = "lmdb")]
fn lmdb_agrees_with_the_flat_table() {
    agrees_with_the_flat_table::<crate::lmdb::Lmdb>("lmdb");
}

#[test]
#[cfg(feature = "redb")]
fn redb_agrees_with_the_flat_table() {
    agrees_with_the_flat_table::<crate::redb::Redb>("redb");
}

#[test]
#[cfg(feature = "rocksdb")]
fn rocksdb_agrees_with_the_flat_table() {
    agrees_with_the_flat_table::<crate::rocksdb::Rocksdb>("rocksdb");
}
