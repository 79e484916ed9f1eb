//! redb: a copy-on-write B-tree in Rust. A transaction a batch, committed without durability.

use crate::{CACHE_LEN, Result, Store};
use peers::state_update::{Update, VALUE_LEN, Value};
use redb::{Builder, Database, Durability, ReadableTable, TableDefinition, WriteTransaction};
use std::path::Path;

const VALUES: TableDefinition<u64, [u8; VALUE_LEN]> = TableDefinition::new("values");
/// Keys in a transaction of the load.
const LOAD_BATCH_LEN: usize = 1 << 20;
/// Pages that a commit without durability frees are of use only after a durable one: so many
/// batches to one of these keep the file from growing without end.
const BATCHES_A_DURABLE_COMMIT: u64 = 100;

pub struct Redb {
    database: Database,
    batches: u64,
}

impl Store for Redb {
    fn create(dir: &Path, _: u64) -> Result<Self> {
        let database = Builder::new().set_cache_size(CACHE_LEN).create(dir.join("redb"))?;
        Ok(Self { database, batches: 0 })
    }

    fn load(&mut self, keys: u64) -> Result<()> {
        for first in (0..keys).step_by(LOAD_BATCH_LEN) {
            let transaction = self.database.begin_write()?;
            let mut table = transaction.open_table(VALUES)?;
            for key in first..(first + LOAD_BATCH_LEN as u64).min(keys) {
                table.insert(key, Value::default().to_bytes())?;
            }
            drop(table);
            transaction.commit()?;
        }
        Ok(())
    }

    fn update_all(&mut self, updates: &[Update], emit: impl FnMut(&Value)) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        self.batches += 1;
        if !self.batches.is_multiple_of(BATCHES_A_DURABLE_COMMIT) {
            transaction.set_durability(Durability::None)?;
        }
        update_in(&transaction, updates, emit)?;
        transaction.commit()?;
        Ok(())
    }
}

fn update_in(
    transaction: &WriteTransaction,
    updates: &[Update],
    mut emit: impl FnMut(&Value),
) -> Result<()> {
    let mut table = transaction.open_table(VALUES)?;
    for update in updates {
        let found = table.get(update.key)?.map(|found| found.value());
        let mut value = crate::stored(update.key, found.as_ref().map(|bytes| bytes.as_slice()))?;
        value.update(update.amount);
        table.insert(update.key, value.to_bytes())?;
        emit(&value);
    }
    Ok(())
}
