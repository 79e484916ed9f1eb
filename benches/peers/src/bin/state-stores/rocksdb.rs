//! RocksDB as its users set it for point look-ups: filters, a cache for all data, no write-ahead
//! log and no compression.

use crate::{CACHE_LEN, Result, Store, stored};
use peers::state_update::{Update, Value};
use rocksdb::{DB, Options, WriteOptions};
use std::path::Path;

pub struct Rocksdb {
    database: DB,
    writes: WriteOptions,
}

impl Store for Rocksdb {
    fn create(dir: &Path, _: u64) -> Result<Self> {
        let mut options = Options::default();
        options.create_if_missing(true);
        // Hash indices in blocks, 10 bits of filter a key, an LRU cache.
        options.optimize_for_point_lookup((CACHE_LEN >> 20) as u64);
        options.increase_parallelism(std::thread::available_parallelism()?.get() as i32);
        let mut writes = WriteOptions::default();
        writes.disable_wal(true);
        Ok(Self { database: DB::open(&options, dir)?, writes })
    }

    fn load(&mut self, keys: u64) -> Result<()> {
        let value = Value::default().to_bytes();
        for key in 0..keys {
            self.database.put_opt(key.to_be_bytes(), value, &self.writes)?;
        }
        self.database.flush()?;
        self.database.compact_range::<&[u8], &[u8]>(None, None);
        Ok(())
    }

    fn update_all(&mut self, updates: &[Update], mut emit: impl FnMut(&Value)) -> Result<()> {
        for update in updates {
            let key = update.key.to_be_bytes();
            let mut value = stored(update.key, self.database.get_pinned(key)?.as_deref())?;
            value.update(update.amount);
            self.database.put_opt(key, value.to_bytes(), &self.writes)?;
            emit(&value);
        }
        Ok(())
    }
}
