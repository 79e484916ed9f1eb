//! fjall: a log-structured tree in Rust. Its journal cannot be switched off; it is never synced.

use crate::{CACHE_LEN, Result, Store, stored};
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use peers::state_update::{Update, Value};
use std::path::Path;

pub struct Fjall {
    /// Keeps the background threads alive.
    _database: Database,
    values: Keyspace,
}

impl Store for Fjall {
    fn create(dir: &Path, _: u64) -> Result<Self> {
        let database = Database::builder(dir).cache_size(CACHE_LEN as u64).open()?;
        // All keys that are asked for are there, so the last level needs no filters.
        let options = || KeyspaceCreateOptions::default().expect_point_read_hits(true);
        let values = database.keyspace("values", options)?;
        Ok(Self { _database: database, values })
    }

    fn load(&mut self, keys: u64) -> Result<()> {
        let mut ingestion = self.values.start_ingestion()?;
        for key in 0..keys {
            ingestion.write(key.to_be_bytes(), Value::default().to_bytes())?;
        }
        ingestion.finish()?;
        Ok(())
    }

    fn update_all(&mut self, updates: &[Update], mut emit: impl FnMut(&Value)) -> Result<()> {
        for update in updates {
            let key = update.key.to_be_bytes();
            let mut value = stored(update.key, self.values.get(key)?.as_deref())?;
            value.update(update.amount);
            self.values.insert(key, value.to_bytes())?;
            emit(&value);
        }
        Ok(())
    }
}
