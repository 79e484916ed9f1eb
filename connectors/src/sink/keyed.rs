//! A table that results overwrite by key: replays write the same rows again, so nothing needs to be
//! taken back.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Builder, ConcurrencyMode, Database, ReadOnlyDatabase, ReadableDatabase};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tailwater_core::{Error, ErrorKind, Result, Stamped};
use tailwater_operators::{Sink, SinkContext, SinkWriter};

use super::cycle::Cycle;
use super::two_phase::{Commit, RestoredState, TwoPhase};
use super::writer;

/// Rows: the version and the record as JSON, by key.
const ROWS: TableDefinition<'_, &str, (u64, &str)> = TableDefinition::new("rows");

/// Rows that are written before they become visible together, if nothing else makes them so: it
/// bounds what the database keeps in memory.
const ROWS_OPEN_MAX: u64 = 1 << 16;

/// A sink that keeps the last record of each key in the file `path`, which is made if it is not
/// there. Rows of earlier runs stay, and are overwritten.
///
/// With checkpoints every result is in the file when the checkpoint that covers it is complete. A
/// job that goes on from a checkpoint writes again what it wrote after it: the table then shows
/// older rows for a moment, unless the rows have a [`version`](KeyedTable::version), and ends as if
/// nothing had happened.
///
/// The file is a redb database; [`KeyedRows`] reads it, also while the job runs.
pub fn keyed_table<T, K>(path: impl Into<PathBuf>, key: K) -> KeyedTable<T, K, fn(&T) -> u64>
where
    K: Fn(&T) -> String + Send + Sync + 'static,
{
    KeyedTable {
        path: path.into(),
        key: Arc::new(key),
        version: Arc::new(|_| 0),
        types: PhantomData,
    }
}

/// A table as a sink; see [`keyed_table`].
pub struct KeyedTable<T, K, V> {
    path: PathBuf,
    key: Arc<K>,
    version: Arc<V>,
    types: PhantomData<fn(T)>,
}

impl<T, K, V> KeyedTable<T, K, V> {
    /// A row is not overwritten by one of a lower version: an event time, for instance. With it the
    /// table never goes back.
    #[must_use]
    pub fn version<W>(self, version: W) -> KeyedTable<T, K, W>
    where
        W: Fn(&T) -> u64 + Send + Sync + 'static,
    {
        let Self { path, key, types, .. } = self;
        KeyedTable { path, key, version: Arc::new(version), types }
    }
}

impl<T, K, V> fmt::Debug for KeyedTable<T, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedTable").field(&self.path).finish()
    }
}

impl<T, K, V> Sink<T> for KeyedTable<T, K, V>
where
    T: Serialize + Send + 'static,
    K: Fn(&T) -> String + Send + Sync + 'static,
    V: Fn(&T) -> u64 + Send + Sync + 'static,
{
    fn name(&self) -> String {
        format!("table {}", self.path.display())
    }

    /// A database has one writer.
    fn single_writer(&self) -> bool {
        true
    }

    fn may_repeat(&self) -> bool {
        false
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        let database = Builder::new()
            .set_concurrency_mode(ConcurrencyMode::SingleWriter)
            .create(&self.path)
            .map_err(|cause| failed("open", &self.path, cause))?;
        let mut table = Table {
            path: self.path.clone(),
            database,
            key: Arc::clone(&self.key),
            version: Arc::clone(&self.version),
            open: None,
            rows_open: 0,
        };
        // So that readers find a table from the first moment on.
        table.in_transaction(|open| open.open_table(ROWS).map(drop).map_err(Into::into))?;
        table.finish()?;
        writer::open(Cycle::new(table, context)?, context)
    }
}

#[cold]
fn failed(what: &str, path: &Path, cause: impl Into<redb::Error>) -> Error {
    let message = format!("cannot {what} the table `{}`", path.display());
    Error::new(ErrorKind::Io, message).caused_by(cause.into())
}

/// The open database.
struct Table<K, V> {
    path: PathBuf,
    database: Database,
    key: Arc<K>,
    version: Arc<V>,
    open: Option<WriteTransaction>,
    rows_open: u64,
}

impl<K, V> Table<K, V> {
    fn in_transaction(
        &mut self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<()> {
        let begin = |database: &Database| -> Result<WriteTransaction, redb::Error> {
            Ok(database.begin_write()?)
        };
        let open = match self.open.take() {
            Some(open) => open,
            None => begin(&self.database).map_err(|cause| failed("write", &self.path, cause))?,
        };
        write(self.open.insert(open)).map_err(|cause| failed("write", &self.path, cause))
    }

    /// Makes what was written durable and visible.
    fn finish(&mut self) -> Result<()> {
        self.rows_open = 0;
        match self.open.take() {
            Some(open) => open.commit().map_err(|cause| failed("write", &self.path, cause)),
            None => Ok(()),
        }
    }
}

impl<T, K, V> TwoPhase<T> for Table<K, V>
where
    T: Serialize + Send + 'static,
    K: Fn(&T) -> String + Send + Sync + 'static,
    V: Fn(&T) -> u64 + Send + Sync + 'static,
{
    fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        let mut rows = Vec::with_capacity(batch.len());
        for Stamped { value, .. } in batch.drain(..) {
            let text = serde_json::to_string(&value).map_err(|cause| {
                let what = std::any::type_name::<T>();
                Error::format(format!("a `{what}` cannot be written as JSON")).caused_by(cause)
            })?;
            rows.push(((self.key)(&value), (self.version)(&value), text));
        }
        self.rows_open += rows.len() as u64;
        self.in_transaction(|open| {
            let mut table = open.open_table(ROWS)?;
            for (key, version, text) in &rows {
                let newer = table.get(key.as_str())?.is_some_and(|row| row.value().0 > *version);
                if !newer {
                    table.insert(key.as_str(), (*version, text.as_str()))?;
                }
            }
            Ok(())
        })?;
        if self.rows_open >= ROWS_OPEN_MAX { self.finish() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.finish()
    }

    /// The rows are where they belong: there is nothing to commit later.
    fn pre_commit(&mut self, _: u64) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn commit(&mut self, _: u64, _: &[u8], _: u32) -> Result<Commit> {
        Ok(Commit::Done)
    }

    /// What was written after the checkpoint is written again.
    fn abort(&mut self, _: Option<&RestoredState>) -> Result<()> {
        Ok(())
    }

    fn idle(&mut self) -> Result<()> {
        self.finish()
    }

    fn close(&mut self) -> Result<()> {
        self.finish()
    }
}

/// The rows of a [`keyed_table`], for readers: of this process or another, also while a job writes.
pub struct KeyedRows {
    path: PathBuf,
    database: ReadOnlyDatabase,
}

impl fmt::Debug for KeyedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedRows").field(&self.path).finish()
    }
}

impl KeyedRows {
    /// Opens the file of a table.
    ///
    /// # Errors
    /// When it is not there, or no table.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let database = Builder::new()
            .set_concurrency_mode(ConcurrencyMode::SingleWriter)
            .open_read_only(&path)
            .map_err(|cause| failed("open", &path, cause))?;
        Ok(Self { path, database })
    }

    /// The record of a key.
    ///
    /// # Errors
    /// When the table cannot be read, or the row is no `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let read = || -> Result<Option<String>, redb::Error> {
            let table = self.database.begin_read()?.open_table(ROWS)?;
            Ok(table.get(key)?.map(|row| row.value().1.to_owned()))
        };
        let text = read().map_err(|cause| failed("read", &self.path, cause))?;
        text.map(|text| self.parse(key, &text)).transpose()
    }

    /// All records with their keys, in the order of keys, as they were at one moment.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn all<T: DeserializeOwned>(&self) -> Result<Vec<(String, T)>> {
        let read = || -> Result<Vec<(String, String)>, redb::Error> {
            let table = self.database.begin_read()?.open_table(ROWS)?;
            let mut rows = Vec::new();
            for row in table.iter()? {
                let (key, row) = row?;
                rows.push((key.value().to_owned(), row.value().1.to_owned()));
            }
            Ok(rows)
        };
        let rows = read().map_err(|cause| failed("read", &self.path, cause))?;
        rows.into_iter()
            .map(|(key, text)| self.parse(&key, &text).map(|record| (key, record)))
            .collect()
    }

    fn parse<T: DeserializeOwned>(&self, key: &str, text: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|cause| {
            let (path, what) = (self.path.display(), std::any::type_name::<T>());
            Error::format(format!("the row `{key}` of the table `{path}` is no `{what}`"))
                .caused_by(cause)
        })
    }
}

#[cfg(test)]
mod tests;
