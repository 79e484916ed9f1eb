//! Types as the job knows them, and as a manifest keeps them.

use tailwater_core::{Result, key::stable_hash};

use super::manifest::StoredSchema;
use crate::changes::Schema;

/// As a manifest keeps it.
pub(crate) fn stored(schema: &Schema) -> StoredSchema {
    let text = schema.0.clone();
    StoredSchema { fingerprint: stable_hash(text.as_str()), text, version: 0 }
}

/// As the job knows it.
pub(crate) fn known(stored: &StoredSchema) -> Result<Schema> {
    Ok(Schema(stored.text.clone()))
}
