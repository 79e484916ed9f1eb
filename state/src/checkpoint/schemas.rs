//! Types as the job knows them, and as a manifest keeps them.

use tailwater_core::{Error, Result, Schema};

use super::manifest::{Manifest, StateSort, StoredSchema};

/// As a manifest keeps it.
pub(crate) fn stored(schema: &Schema) -> StoredSchema {
    let (text, fingerprint, version) = (schema.to_string(), schema.fingerprint(), schema.version());
    StoredSchema { text, fingerprint, version }
}

/// As the job knows it.
pub(crate) fn known(stored: &StoredSchema) -> Result<Schema> {
    let schema = Schema::parse(&stored.text)?;
    if schema.fingerprint() != stored.fingerprint {
        let text = &stored.text;
        return Err(Error::format(format!("`{text}` does not have the fingerprint it came with")));
    }
    Ok(schema)
}

/// Sees that all types of a checkpoint can be read.
pub(crate) fn check(manifest: &Manifest) -> Result<()> {
    for entry in &manifest.states {
        let schemas = match &entry.sort {
            StateSort::Tracked { key, value, .. } => vec![key, value],
            StateSort::List { item, .. } => vec![item],
        };
        for schema in schemas {
            known(schema).map_err(|cause| {
                let (operator, state) = (&entry.operator, &entry.state);
                cause.context(format!("cannot read the type of `{operator}/{state}`"))
            })?;
        }
    }
    Ok(())
}
