//! LMDB: a copy-on-write B-tree in a memory map. A transaction a batch; nothing is ever synced.

use crate::{Result, Store, stored};
use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, PutFlags};
use peers::state_update::{Update, Value};
use std::path::Path;

/// Address space an entry: ten times what it takes, since pages are copied before they are freed.
const MAP_LEN_A_KEY: usize = 512;
/// Address space of a small store: some batches of pages.
const MAP_LEN_MIN: usize = 1 << 30;

pub struct Lmdb {
    env: Env,
    values: Database<Bytes, Bytes>,
}

impl Store for Lmdb {
    fn create(dir: &Path, keys: u64) -> Result<Self> {
        let mut options = EnvOpenOptions::new();
        options.map_size((keys as usize * MAP_LEN_A_KEY).max(MAP_LEN_MIN).next_multiple_of(4096));
        // SAFETY: without syncing a crash of the machine may damage the file; it is made for one
        // run and removed after it.
        unsafe { options.flags(EnvFlags::NO_SYNC | EnvFlags::WRITE_MAP | EnvFlags::NO_MEM_INIT) };
        // SAFETY: the file lies in a directory that this run has just made, so that no one else
        // changes it.
        let env = unsafe { options.open(dir)? };
        let mut transaction = env.write_txn()?;
        let values = env.create_database(&mut transaction, None)?;
        transaction.commit()?;
        Ok(Self { env, values })
    }

    fn load(&mut self, keys: u64) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        let value = Value::default().to_bytes();
        for key in 0..keys {
            let key = key.to_be_bytes();
            self.values.put_with_flags(&mut transaction, PutFlags::APPEND, &key, &value)?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn update_all(&mut self, updates: &[Update], mut emit: impl FnMut(&Value)) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for update in updates {
            let key = update.key.to_be_bytes();
            let mut value = stored(update.key, self.values.get(&transaction, &key)?)?;
            value.update(update.amount);
            self.values.put(&mut transaction, &key, &value.to_bytes())?;
            emit(&value);
        }
        transaction.commit()?;
        Ok(())
    }
}
