//! A snapshot as operators see it: named values written at a barrier and read back before the first
//! record.
//!
//! Values are archived with rkyv. Where the bytes go is the business of a checkpoint store; here
//! they stay in memory. Names are paths, `operator/state`, made by [`SnapshotWriter::scope`].

use std::collections::BTreeMap;

use tailwater_core::record::{from_archive, to_archive};
use tailwater_core::{Error, Record, Result};

/// Collects what the operators of one task remember at a barrier.
#[derive(Debug, Default)]
pub struct SnapshotWriter {
    scope: Vec<String>,
    entries: BTreeMap<String, Vec<u8>>,
}

/// Gives operators back what they wrote.
#[derive(Debug, Default)]
pub struct SnapshotReader {
    scope: Vec<String>,
    entries: BTreeMap<String, Vec<u8>>,
}

impl SnapshotWriter {
    /// Calls `write` with `name` in front of every name that it puts.
    pub fn scope<R>(&mut self, name: &str, write: impl FnOnce(&mut Self) -> R) -> R {
        self.scope.push(name.to_owned());
        let result = write(self);
        self.scope.pop();
        result
    }

    /// Writes one value under `name`.
    ///
    /// # Errors
    /// When the value cannot be archived, or the name is taken in this scope.
    pub fn put<T: Record>(&mut self, name: &str, value: &T) -> Result<()> {
        let path = path(&self.scope, name);
        let bytes = to_archive(value)?.into_vec();
        match self.entries.insert(path.clone(), bytes) {
            None => Ok(()),
            Some(_) => Err(Error::internal(format!("two states are named `{path}`"))),
        }
    }

    /// All that was written, for reading back.
    pub fn into_reader(self) -> SnapshotReader {
        SnapshotReader { scope: Vec::new(), entries: self.entries }
    }

    /// How many bytes the archived values take.
    pub fn bytes(&self) -> usize {
        self.entries.values().map(Vec::len).sum()
    }
}

impl SnapshotReader {
    /// Calls `read` with `name` in front of every name that it gets.
    pub fn scope<R>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> R) -> R {
        self.scope.push(name.to_owned());
        let result = read(self);
        self.scope.pop();
        result
    }

    /// The value under `name`, or `None` where the snapshot has none.
    ///
    /// # Errors
    /// When the bytes are not a valid archive of a `T`.
    pub fn get<T: Record>(&mut self, name: &str) -> Result<Option<T>> {
        let path = path(&self.scope, name);
        let Some(bytes) = self.entries.get(&path) else { return Ok(None) };
        from_archive(bytes)
            .map(Some)
            .map_err(|error| error.context(format!("cannot restore the state `{path}`")))
    }
}

fn path(scope: &[String], name: &str) -> String {
    let mut path = scope.join("/");
    path.push('/');
    path.push_str(name);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_keep_equal_names_apart() {
        let mut writer = SnapshotWriter::default();
        for operator in ["a", "b"] {
            writer.scope(operator, |writer| writer.put("count", &operator.len())).unwrap();
        }
        assert!(writer.scope("a", |writer| writer.put("count", &1u8)).is_err());
        let mut reader = writer.into_reader();
        assert_eq!(reader.scope("a", |reader| reader.get::<u64>("missing")).unwrap(), None);
        assert_eq!(reader.scope("b", |reader| reader.get::<usize>("count")).unwrap(), Some(1));
    }
}
