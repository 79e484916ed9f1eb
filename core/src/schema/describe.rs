//! How a type says what it looks like, and what the language's own types say.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::{Body, Field, Fields, Map, MapKind, Named, Primitive, Schema, Shape, Variant};

/// A type that can say what it looks like in its archive.
///
/// `#[record]` derives it, and so does `#[derive(Describe)]`. A field that rkyv archives in a form
/// of its own (`#[rkyv(with = ..)]`) needs `#[describe(as = "Vec<u8>")]`: what its archive looks
/// like.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what it looks like in its archive",
    note = "put `#[record]` on it, or derive `Describe` beside rkyv's traits"
)]
pub trait Describe: 'static {
    /// The schema, as part of the one that `describer` is working on.
    fn describe(describer: &mut Describer) -> Schema;

    /// What the type looks like in its archive.
    fn schema() -> Schema
    where
        Self: Sized,
    {
        Self::describe(&mut Describer::default())
    }
}

/// Puts schemas together, and knows which types it is in the middle of, so that a recursive type
/// comes to an end.
#[derive(Debug, Default)]
pub struct Describer {
    /// The named types around this place, outermost first.
    around: Vec<TypeId>,
}

impl Describer {
    /// The schema of a struct or enum `T`, whose parts `body` describes.
    pub fn named<T: 'static>(
        &mut self,
        name: &str,
        version: u32,
        body: impl FnOnce(&mut Self) -> Body,
    ) -> Schema {
        let this = TypeId::of::<T>();
        if let Some(outward) = self.around.iter().rev().position(|around| *around == this) {
            return Schema::new(Shape::Enclosing(outward as u32));
        }
        self.around.push(this);
        let body = body(self);
        self.around.pop();
        Schema::new(Shape::Named(Named { name: name.to_owned(), version, body }))
    }

    /// A field of type `T`.
    pub fn field<T: Describe>(&mut self, name: &str) -> Field {
        Field { name: name.to_owned(), schema: T::describe(self) }
    }

    /// A variant with its fields.
    pub fn variant(&mut self, name: &str, fields: Fields) -> Variant {
        Variant { name: name.to_owned(), fields }
    }
}

macro_rules! primitives {
    ($($type:ty => $primitive:ident),+ $(,)?) => {
        $(impl Describe for $type {
            fn describe(_: &mut Describer) -> Schema {
                Schema::primitive(Primitive::$primitive)
            }
        })+
    };
}

primitives! {
    bool => Bool, char => Char,
    i8 => I8, i16 => I16, i32 => I32, i64 => I64, i128 => I128,
    u8 => U8, u16 => U16, u32 => U32, u64 => U64, u128 => U128,
    f32 => F32, f64 => F64,
    // The format's pointers, and with them these two, have 32 bits.
    usize => U32, isize => I32,
}

impl Describe for String {
    fn describe(_: &mut Describer) -> Schema {
        Schema::new(Shape::String)
    }
}

macro_rules! around_one {
    ($($type:ident => $shape:ident),+ $(,)?) => {
        $(impl<T: Describe> Describe for $type<T> {
            fn describe(describer: &mut Describer) -> Schema {
                Schema::new(Shape::$shape(Box::new(T::describe(describer))))
            }
        })+
    };
}

// A deque is archived as a vector is.
around_one! { Option => Option, Box => Box, Vec => Vec, VecDeque => Vec }

impl<T: Describe, const N: usize> Describe for [T; N] {
    fn describe(describer: &mut Describer) -> Schema {
        Schema::new(Shape::Array(Box::new(T::describe(describer)), N as u32))
    }
}

fn map<K: Describe>(kind: MapKind, describer: &mut Describer) -> Map {
    Map { kind, key: Box::new(K::describe(describer)), value: None }
}

impl<K: Describe, V: Describe, S: 'static> Describe for HashMap<K, V, S> {
    fn describe(describer: &mut Describer) -> Schema {
        let map = map::<K>(MapKind::Hash, describer);
        let value = Some(Box::new(V::describe(describer)));
        Schema::new(Shape::Map(Map { value, ..map }))
    }
}

impl<K: Describe, V: Describe> Describe for BTreeMap<K, V> {
    fn describe(describer: &mut Describer) -> Schema {
        let map = map::<K>(MapKind::BTree, describer);
        let value = Some(Box::new(V::describe(describer)));
        Schema::new(Shape::Map(Map { value, ..map }))
    }
}

impl<K: Describe, S: 'static> Describe for HashSet<K, S> {
    fn describe(describer: &mut Describer) -> Schema {
        Schema::new(Shape::Map(map::<K>(MapKind::Hash, describer)))
    }
}

impl<K: Describe> Describe for BTreeSet<K> {
    fn describe(describer: &mut Describer) -> Schema {
        Schema::new(Shape::Map(map::<K>(MapKind::BTree, describer)))
    }
}

macro_rules! tuples {
    ($($name:ident)*) => {
        impl<$($name: Describe),*> Describe for ($($name,)*) {
            fn describe(_describer: &mut Describer) -> Schema {
                Schema::new(Shape::Tuple(vec![$($name::describe(_describer)),*]))
            }
        }
    };
}

tuples!();
tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
tuples!(A B C D E F G H I);
tuples!(A B C D E F G H I J);
tuples!(A B C D E F G H I J K);
tuples!(A B C D E F G H I J K L);
