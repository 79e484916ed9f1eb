//! What a type looks like in its archive: names, fields and layouts, as a value with a text form.
//!
//! A checkpoint keeps the text beside the bytes, so that it can tell by name what has changed
//! since, and a tool can print entries of types that it has never heard of.
//!
//! ```text
//! Trade { symbol: Symbol([u8; 16]), price: Price(i64), note: Option<String> }      a struct
//! Price(i64)                                                                       a tuple struct
//! enum Side { Buy, Sell, Other(u8), Named { name: String } }                       an enum
//! Trade@3 { .. }                                                                   version 3
//! Tree { value: u64, children: Vec<^0> }     ^0: the named type around it, ^1: the one around that
//! ```

mod describe;
mod layout;
mod parse;
mod render;
mod text;

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

pub use describe::{Describe, Describer};
pub use layout::Layout;
pub use render::Rendered;

use crate::stable_hash;

/// What a type looks like in its archive. Compare two, print one (`to_string`), read one back
/// (`parse`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Shared: every barrier hands schemas on, and none changes one.
    shape: Arc<Shape>,
}

/// One layer of a [`Schema`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A number, a `bool`, a `char`.
    Primitive(Primitive),
    /// Text.
    String,
    /// `Option<T>`.
    Option(Box<Schema>),
    /// Something on the heap.
    Box(Box<Schema>),
    /// A sequence of any length: `Vec` or `VecDeque`.
    Vec(Box<Schema>),
    /// A sequence of so many.
    Array(Box<Schema>, u32),
    /// A tuple; `()` is one of nothing.
    Tuple(Vec<Schema>),
    /// A map or, without values, a set.
    Map(Map),
    /// A type with a name.
    Named(Named),
    /// The named type so many named types further out, 0 the innermost: how recursive types end.
    Enclosing(u32),
}

/// What lies in an archive as it is, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in Rust")]
pub enum Primitive {
    Bool,
    Char,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
}

/// How the entries of a map or set are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// `HashMap` or `HashSet`.
    Hash,
    /// `BTreeMap` or `BTreeSet`.
    BTree,
}

/// A map or, without values, a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// How its entries are found.
    pub kind: MapKind,
    /// Its keys.
    pub key: Box<Schema>,
    /// Its values; a set has none.
    pub value: Option<Box<Schema>>,
}

/// A struct or enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name, without a path and without parameters.
    pub name: String,
    /// What its author says that it is the how-manieth form; 0 where nothing is said.
    pub version: u32,
    /// What it is made of.
    pub body: Body,
}

/// What a named type is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A struct.
    Struct(Fields),
    /// An enum.
    Enum(Vec<Variant>),
}

/// The fields of a struct or variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fields {
    /// None.
    Unit,
    /// By place.
    Tuple(Vec<Schema>),
    /// By name.
    Named(Vec<Field>),
}

/// A field with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub schema: Schema,
}

/// A variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub fields: Fields,
}

impl Schema {
    /// A schema of one layer.
    pub fn new(shape: Shape) -> Self {
        Self { shape: Arc::new(shape) }
    }

    /// That of `T`, put together once on each thread.
    pub fn of<T: Describe>() -> Self {
        thread_local! {
            static KNOWN: RefCell<HashMap<TypeId, Schema>> = RefCell::default();
        }
        let of = TypeId::of::<T>();
        KNOWN.with_borrow_mut(|known| known.entry(of).or_insert_with(T::schema).clone())
    }

    /// The schema of a primitive.
    pub fn primitive(primitive: Primitive) -> Self {
        Self::new(Shape::Primitive(primitive))
    }

    /// Its outermost layer.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The name of a named type.
    pub fn name(&self) -> Option<&str> {
        match self.shape() {
            Shape::Named(named) => Some(&named.name),
            _ => None,
        }
    }

    /// The version that a named type's author gave it (`#[record(version = 3)]`); 0 without.
    pub fn version(&self) -> u32 {
        match self.shape() {
            Shape::Named(named) => named.version,
            _ => 0,
        }
    }

    /// A hash of the text form: the same in every process and version. Equal where the schemas are.
    pub fn fingerprint(&self) -> u64 {
        stable_hash(self.to_string().as_str())
    }
}

impl Fields {
    /// The fields' types, in their order.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        let (by_place, by_name): (&[Schema], &[Field]) = match self {
            Self::Unit => (&[], &[]),
            Self::Tuple(schemas) => (schemas, &[]),
            Self::Named(fields) => (&[], fields),
        };
        by_place.iter().chain(by_name.iter().map(|field| &field.schema))
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(self, f)
    }
}

#[cfg(test)]
mod tests;
