//! Archived bytes as a value for people, read by a schema alone: a tool prints entries of types
//! that it has never heard of.
//!
//! The bytes may be damaged: every read is within bounds, and what makes no sense is an error with
//! its place.

use super::layout::{Layout, TAG};
use super::{Body, Fields, Named, Primitive, Schema, Shape};
use crate::record::from_archive;
use crate::{Describe, Error, Notional, Price, Result, Size, Symbol, Volume};

/// A value without its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Rendered {
    /// An absent option, or nothing.
    Null,
    /// A truth.
    Bool(bool),
    /// A whole number below zero.
    Int(i128),
    /// A whole number from zero.
    Unsigned(u128),
    /// A floating-point number.
    Float(f64),
    /// Text; symbols and money as well.
    Text(String),
    /// Values in a row.
    List(Vec<Rendered>),
    /// Values with names.
    Struct(Vec<(String, Rendered)>),
    /// A variant of an enum with what it holds.
    Variant(String, Box<Rendered>),
    /// What is there, where it is not shown.
    Opaque(String),
}

/// How deep values may lie within each other: a damaged pointer must not make a circle.
const DEPTH_MAX: usize = 64;
/// How many values a rendering may have, for the same reason.
const VALUES_MAX: usize = 1 << 20;

impl Schema {
    /// The value whose archive is `bytes`, by this schema.
    ///
    /// # Errors
    /// When the bytes are no archive of such a value; the message says at which byte.
    pub fn render(&self, bytes: &[u8]) -> Result<Rendered> {
        let size = self.layout().size;
        let root = bytes.len().checked_sub(size).ok_or_else(|| {
            damaged(0, &format!("{} bytes are too few for `{self}`", bytes.len()))
        })?;
        let mut reader = Reader { bytes, around: Vec::new(), depth: 0, values: 0 };
        reader.value(self, root)
    }
}

#[cold]
fn damaged(at: usize, what: &str) -> Error {
    Error::format(format!("the archive is damaged at byte {at}: {what}"))
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// The named types around this place, outermost first.
    around: Vec<&'a Named>,
    depth: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        let found = at.checked_add(N).and_then(|end| self.bytes.get(at..end));
        let found = found.and_then(|bytes| bytes.try_into().ok());
        found.ok_or_else(|| damaged(at, "it ends here"))
    }

    /// Where a pointer at `at` leads to.
    fn follow(&self, at: usize) -> Result<usize> {
        let offset = i32::from_le_bytes(self.take(at)?);
        usize::try_from(at as i64 + i64::from(offset))
            .map_err(|_| damaged(at, "a pointer leads out of it"))
    }

    fn value(&mut self, schema: &'a Schema, at: usize) -> Result<Rendered> {
        self.values += 1;
        if self.depth == DEPTH_MAX || self.values == VALUES_MAX {
            return Err(damaged(at, "its values do not end"));
        }
        self.depth += 1;
        let rendered = self.shape(schema, at);
        self.depth -= 1;
        rendered
    }

    fn shape(&mut self, schema: &'a Schema, at: usize) -> Result<Rendered> {
        match schema.shape() {
            Shape::Primitive(primitive) => self.primitive(*primitive, at),
            Shape::String => self.text(at),
            Shape::Box(inner) => self.value(inner, self.follow(at)?),
            Shape::Option(inner) => match self.take::<1>(at)? {
                [0] => Ok(Rendered::Null),
                [1] => {
                    let mut layout = TAG;
                    let offset = layout.append(inner.layout());
                    self.value(inner, at + offset)
                }
                _ => Err(damaged(at, "an option is neither absent nor present")),
            },
            Shape::Vec(inner) => {
                let len = u32::from_le_bytes(self.take(at + 4)?);
                self.row(inner, self.follow(at)?, len)
            }
            Shape::Array(inner, len) => self.row(inner, at, *len),
            Shape::Tuple(parts) if parts.is_empty() => Ok(Rendered::Null),
            Shape::Tuple(parts) => self.parts(parts.iter(), START, at).map(Rendered::List),
            Shape::Map(_) => Ok(Rendered::Opaque(schema.to_string())),
            Shape::Named(named) => match known(schema, self.bytes, at) {
                Some(text) => text.map(Rendered::Text),
                None => self.named(named, at),
            },
            Shape::Enclosing(outward) => {
                let index = self.around.len().checked_sub(1 + *outward as usize);
                let Some(named) = index.map(|index| self.around[index]) else {
                    return Err(damaged(at, "the schema leads out of itself"));
                };
                self.named(named, at)
            }
        }
    }

    fn named(&mut self, named: &'a Named, at: usize) -> Result<Rendered> {
        self.around.push(named);
        let rendered = match &named.body {
            Body::Struct(fields) => self.fields(fields, START, at),
            Body::Enum(variants) => {
                let [tag] = self.take(at)?;
                let Some(variant) = variants.get(usize::from(tag)) else {
                    return Err(damaged(at, &format!("`{}` has no variant {tag}", named.name)));
                };
                let name = variant.name.clone();
                match &variant.fields {
                    Fields::Unit => Ok(Rendered::Text(name)),
                    fields => self
                        .fields(fields, TAG, at)
                        .map(|value| Rendered::Variant(name, Box::new(value))),
                }
            }
        };
        self.around.pop();
        rendered
    }

    /// The fields of a struct or variant, which begin behind `layout`.
    fn fields(&mut self, fields: &'a Fields, layout: Layout, at: usize) -> Result<Rendered> {
        match fields {
            Fields::Unit => Ok(Rendered::Null),
            Fields::Tuple(schemas) => {
                let mut values = self.parts(schemas.iter(), layout, at)?;
                match values.len() {
                    1 => Ok(values.remove(0)),
                    _ => Ok(Rendered::List(values)),
                }
            }
            Fields::Named(named) => {
                let schemas = named.iter().map(|field| &field.schema);
                let values = self.parts(schemas, layout, at)?;
                let names = named.iter().map(|field| field.name.clone());
                Ok(Rendered::Struct(names.zip(values).collect()))
            }
        }
    }

    fn parts(
        &mut self,
        schemas: impl Iterator<Item = &'a Schema>,
        mut layout: Layout,
        at: usize,
    ) -> Result<Vec<Rendered>> {
        let mut parts = Vec::new();
        for schema in schemas {
            let offset = layout.append(schema.layout());
            parts.push(self.value(schema, at + offset)?);
        }
        Ok(parts)
    }

    fn row(&mut self, inner: &'a Schema, at: usize, len: u32) -> Result<Rendered> {
        let size = inner.layout().size;
        let places = (0..len as usize).map(|index| at.saturating_add(index.saturating_mul(size)));
        places.map(|place| self.value(inner, place)).collect::<Result<_>>().map(Rendered::List)
    }

    fn primitive(&self, primitive: Primitive, at: usize) -> Result<Rendered> {
        let int = |value: i128| match u128::try_from(value) {
            Ok(value) => Rendered::Unsigned(value),
            Err(_) => Rendered::Int(value),
        };
        Ok(match primitive {
            Primitive::Bool => match self.take(at)? {
                [0] => Rendered::Bool(false),
                [1] => Rendered::Bool(true),
                _ => return Err(damaged(at, "a `bool` is neither true nor false")),
            },
            Primitive::Char => {
                let code = u32::from_le_bytes(self.take(at)?);
                let found = char::from_u32(code);
                let found = found.ok_or_else(|| damaged(at, "a `char` is none"))?;
                Rendered::Text(found.to_string())
            }
            Primitive::I8 => int(i8::from_le_bytes(self.take(at)?).into()),
            Primitive::I16 => int(i16::from_le_bytes(self.take(at)?).into()),
            Primitive::I32 => int(i32::from_le_bytes(self.take(at)?).into()),
            Primitive::I64 => int(i64::from_le_bytes(self.take(at)?).into()),
            Primitive::I128 => int(i128::from_le_bytes(self.take(at)?)),
            Primitive::U8 => Rendered::Unsigned(u8::from_le_bytes(self.take(at)?).into()),
            Primitive::U16 => Rendered::Unsigned(u16::from_le_bytes(self.take(at)?).into()),
            Primitive::U32 => Rendered::Unsigned(u32::from_le_bytes(self.take(at)?).into()),
            Primitive::U64 => Rendered::Unsigned(u64::from_le_bytes(self.take(at)?).into()),
            Primitive::U128 => Rendered::Unsigned(u128::from_le_bytes(self.take(at)?)),
            Primitive::F32 => Rendered::Float(f32::from_le_bytes(self.take(at)?).into()),
            Primitive::F64 => Rendered::Float(f64::from_le_bytes(self.take(at)?)),
        })
    }

    /// Text of up to eight bytes lies in place and ends at a byte that no text has; longer text
    /// lies elsewhere, and two bits of the length say so.
    fn text(&self, at: usize) -> Result<Rendered> {
        let inline: [u8; 8] = self.take(at)?;
        let text = if inline[0] & 0xC0 != 0x80 {
            let len = inline.iter().position(|byte| *byte == 0xFF).unwrap_or(inline.len());
            self.bytes.get(at..at + len)
        } else {
            let marked = u32::from_le_bytes(self.take(at)?);
            let len = (marked & 0x3F) | ((marked & !0xFF) >> 2);
            let offset = i32::from_le_bytes(self.take(at + 4)?);
            let start = usize::try_from(at as i64 + i64::from(offset)).ok();
            start.and_then(|start| self.bytes.get(start..start.checked_add(len as usize)?))
        };
        let text = text.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| damaged(at, "this is no text"))?;
        Ok(Rendered::Text(text.to_owned()))
    }
}

/// Before the first field.
const START: Layout = Layout { size: 0, align: 1 };

/// Types of this crate that people read otherwise than their fields say.
fn known(schema: &Schema, bytes: &[u8], at: usize) -> Option<Result<String>> {
    fn read<T: crate::Record + Describe + ToString>(
        schema: &Schema,
        bytes: &[u8],
        at: usize,
    ) -> Option<Result<String>> {
        (*schema == T::schema()).then(|| {
            let end = at.saturating_add(schema.layout().size);
            let own = bytes.get(at..end).ok_or_else(|| damaged(at, "it ends here"))?;
            from_archive::<T>(own).map(|value| value.to_string())
        })
    }
    match schema.name()? {
        "Symbol" => read::<Symbol>(schema, bytes, at),
        "Price" => read::<Price>(schema, bytes, at),
        "Size" => read::<Size>(schema, bytes, at),
        "Volume" => read::<Volume>(schema, bytes, at),
        "Notional" => read::<Notional>(schema, bytes, at),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rkyv::{Archive, Deserialize, Serialize};

    use super::*;
    use crate::record::to_archive;
    use crate::{Record, Timestamp};

    fn rendered<T: Record + Describe>(value: &T) -> Rendered {
        T::schema().render(&to_archive(value).unwrap()).unwrap()
    }

    fn text(text: &str) -> Rendered {
        Rendered::Text(text.to_owned())
    }

    #[derive(Clone, Debug, Archive, Serialize, Deserialize, Describe)]
    enum Side {
        Buy,
        Other(u8),
        Named { name: String, weight: u64 },
    }

    #[derive(Clone, Debug, Archive, Serialize, Deserialize, Describe)]
    struct Order {
        open: bool,
        symbol: Symbol,
        price: Price,
        side: Side,
        notes: Vec<String>,
        parent: Option<Box<u32>>,
        levels: [(i64, u16); 2],
        at: Timestamp,
        money: i128,
    }

    fn order(side: Side, note: &str) -> Order {
        Order {
            open: true,
            symbol: Symbol::new("BTCUSDT").unwrap(),
            price: "101.25".parse().unwrap(),
            side,
            notes: vec![note.to_owned(), "short".to_owned(), String::new()],
            parent: Some(Box::new(7)),
            levels: [(-3, 4), (5, 6)],
            at: Timestamp(9),
            money: -(1 << 100),
        }
    }

    #[test]
    fn a_struct_is_shown_by_its_fields() {
        let long = "a note that is longer than eight bytes, and than sixty-four: its length takes two bytes";
        let Rendered::Struct(fields) = rendered(&order(Side::Buy, long)) else {
            panic!("a struct")
        };
        let of = |name: &str| &fields.iter().find(|(field, _)| field == name).unwrap().1;
        assert_eq!(*of("open"), Rendered::Bool(true));
        assert_eq!((of("symbol"), of("price")), (&text("BTCUSDT"), &text("101.25")));
        assert_eq!(*of("side"), text("Buy"));
        assert_eq!(*of("notes"), Rendered::List(vec![text(long), text("short"), text("")]));
        assert_eq!(*of("parent"), Rendered::Unsigned(7));
        let level = |a, b| Rendered::List(vec![a, Rendered::Unsigned(b)]);
        let levels = vec![level(Rendered::Int(-3), 4), level(Rendered::Unsigned(5), 6)];
        assert_eq!(*of("levels"), Rendered::List(levels));
        assert_eq!((of("at"), of("money")), (&Rendered::Unsigned(9), &Rendered::Int(-(1 << 100))));
    }

    #[test]
    fn variants_options_and_maps_are_shown() {
        let other = Rendered::Variant("Other".to_owned(), Box::new(Rendered::Unsigned(200)));
        assert_eq!(rendered(&Side::Other(200)), other);
        let Rendered::Variant(name, fields) =
            rendered(&Side::Named { name: "n".to_owned(), weight: 1 << 40 })
        else {
            panic!("a variant")
        };
        let weight = ("weight".to_owned(), Rendered::Unsigned(1 << 40));
        let expected = Rendered::Struct(vec![("name".to_owned(), text("n")), weight]);
        assert_eq!((name.as_str(), *fields), ("Named", expected));
        assert_eq!(rendered(&None::<u64>), Rendered::Null);
        assert_eq!(rendered(&(1.5f64, 'x')), Rendered::List(vec![Rendered::Float(1.5), text("x")]));
        let map = BTreeMap::from([(1u8, 2u8)]);
        assert_eq!(rendered(&map), Rendered::Opaque("BTreeMap<u8, u8>".to_owned()));
    }

    /// Whatever is flipped or cut, there is an answer.
    #[test]
    fn damaged_bytes_are_refused_or_read_but_never_followed_out() {
        let bytes = to_archive(&order(Side::Other(3), "a note that lies elsewhere")).unwrap();
        let schema = Order::schema();
        for len in 0..bytes.len() {
            let _ = schema.render(&bytes[..len]);
        }
        for index in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut damaged = bytes.to_vec();
                damaged[index] ^= flip;
                let _ = schema.render(&damaged);
            }
        }
        let error = schema.render(&bytes[..8]).unwrap_err();
        assert!(error.to_string().contains("at byte 0"), "{error}");
    }
}
