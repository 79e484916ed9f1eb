//! The flat table as a store: what all others are checked by.

use crate::{Result, Store};
use peers::flat_values::FlatValues;
use peers::state_update::{Update, Value};
use std::path::Path;

pub struct Flat {
    values: FlatValues,
}

impl Store for Flat {
    fn create(_: &Path, keys: u64) -> Result<Self> {
        Ok(Self { values: FlatValues::with_capacity(keys) })
    }

    fn load(&mut self, keys: u64) -> Result<()> {
        (0..keys).for_each(|key| *self.values.value(key) = Value::default());
        Ok(())
    }

    fn update_all(&mut self, updates: &[Update], emit: impl FnMut(&Value)) -> Result<()> {
        self.values.update_all(updates, emit);
        Ok(())
    }
}
