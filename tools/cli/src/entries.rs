//! The entries of a state in a checkpoint as people and programs read them, by the schemas that
//! the checkpoint keeps.

use std::ops::ControlFlow;

use serde_json::{Map, Number, Value};
use tailwater::Result;
use tailwater::state::RestoreSource;
use tailwater::state::checkpoint::{OpenedCheckpoint, StateEntry, StateSort, StoredSchema};
use tailwater_core::Schema;
use tailwater_core::schema::Rendered;

/// An entry of a tracked state, or an item of a list.
pub struct Shown {
    /// The key group, or the core that wrote the item.
    place: (&'static str, u64),
    namespace: Option<i64>,
    /// An item has no key.
    key: Option<Value>,
    value: Value,
}

impl Shown {
    /// The key as it is asked for: text without quotes.
    pub fn key_text(&self) -> String {
        self.key.as_ref().map(plain).unwrap_or_default()
    }

    /// A line for people.
    pub fn to_text(&self) -> String {
        let namespace = self.namespace.map(|namespace| format!("[{namespace}] "));
        let key = self.key.as_ref().map(|key| format!("{} = ", plain(key)));
        format!(
            "{}{}{}",
            namespace.unwrap_or_default(),
            key.unwrap_or_default(),
            plain(&self.value)
        )
    }

    /// An object for programs.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert(self.place.0.to_owned(), self.place.1.into());
        if let Some(namespace) = self.namespace {
            object.insert("namespace".to_owned(), namespace.into());
        }
        if let Some(key) = &self.key {
            object.insert("key".to_owned(), key.clone());
        }
        object.insert("value".to_owned(), self.value.clone());
        Value::Object(object)
    }
}

/// Hands on each entry of a state until `show` breaks.
///
/// # Errors
/// When the checkpoint cannot be read, an entry is not what its schema says, or with the error of
/// `show`.
pub fn each(
    opened: &OpenedCheckpoint,
    entry: &StateEntry,
    show: &mut dyn FnMut(Shown) -> Result<ControlFlow<()>>,
) -> Result<()> {
    match &entry.sort {
        StateSort::Tracked { key, value, namespaced } => {
            let (key, value) = (schema(key)?, schema(value)?);
            opened.entries(&entry.operator, &entry.state, &mut |live| {
                let (namespace, key_bytes) = match live.key.split_first_chunk::<8>() {
                    Some((namespace, rest)) if *namespaced => {
                        (Some(i64::from_le_bytes(*namespace)), rest)
                    }
                    _ => (None, live.key),
                };
                show(Shown {
                    place: ("key_group", live.group.into()),
                    namespace,
                    key: Some(json(key.render(key_bytes)?)),
                    value: json(value.render(live.value)?),
                })
            })
        }
        StateSort::List { item, .. } => {
            let item = schema(item)?;
            let Some(stored) = opened.values(&entry.operator, &entry.state)? else { return Ok(()) };
            for (core, items) in stored.cores.iter().enumerate() {
                for bytes in items {
                    let value = json(item.render(bytes)?);
                    let place = ("core", core as u64);
                    if show(Shown { place, namespace: None, key: None, value })?.is_break() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        }
    }
}

fn schema(stored: &StoredSchema) -> Result<Schema> {
    Schema::parse(&stored.text).map_err(|error| {
        error.context(format!("cannot read the checkpoint's schema `{}`", stored.text))
    })
}

/// A number that does not fit JSON's is text.
fn json(rendered: Rendered) -> Value {
    match rendered {
        Rendered::Null => Value::Null,
        Rendered::Bool(value) => value.into(),
        Rendered::Int(value) => i64::try_from(value).map_or(value.to_string().into(), Value::from),
        Rendered::Unsigned(value) => {
            u64::try_from(value).map_or(value.to_string().into(), Value::from)
        }
        Rendered::Float(value) => {
            Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
        }
        Rendered::Text(text) => text.into(),
        Rendered::List(values) => values.into_iter().map(json).collect(),
        Rendered::Struct(fields) => {
            fields.into_iter().map(|(name, value)| (name, json(value))).collect()
        }
        Rendered::Variant(name, value) => Value::Object(Map::from_iter([(name, json(*value))])),
        Rendered::Opaque(what) => format!("<{what}>").into(),
    }
}

/// Text as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
