//! A CSV row as serde sees it: every field is text until its type asks for something else.
//!
//! The `csv` crate guesses the type of a field that is asked for as "anything", and guesses a
//! binary float for `61800.30`. Prices must be exact, so here such a field stays text.

use std::fmt;
use std::str::FromStr;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// One row, split into fields.
pub(super) struct Row<'a> {
    pub(super) names: &'a [String],
    pub(super) text: &'a [u8],
    pub(super) ends: &'a [usize],
    /// How many bytes separate the end of a field from the start of the next.
    pub(super) gap: usize,
}

impl<'a> Row<'a> {
    /// The fields in order.
    pub(super) fn fields(self) -> impl Iterator<Item = &'a [u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let field = &self.text[start..end];
            start = end + self.gap;
            field
        })
    }
}

/// Why a row is not a record.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A field does not read as its type.
    Value(String),
    /// The record has a field that no column is named for: no row can be read.
    MissingColumn(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(reason) => f.write_str(reason),
            Self::MissingColumn(field) => write!(f, "no column is named `{field}`"),
        }
    }
}

impl std::error::Error for Refusal {}

impl serde::de::Error for Refusal {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self::Value(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::MissingColumn(field)
    }
}

/// The fields of a row that have not been visited yet.
struct Fields<'a> {
    row: Row<'a>,
    index: usize,
    start: usize,
}

impl<'a> Fields<'a> {
    fn of(row: Row<'a>) -> Self {
        Self { row, index: 0, start: 0 }
    }

    /// The next field and its column's name.
    fn next(&mut self) -> Option<(&'a str, &'a [u8])> {
        let end = *self.row.ends.get(self.index)?;
        let field = &self.row.text[self.start..end];
        let name = self.row.names[self.index].as_str();
        self.start = end + self.row.gap;
        self.index += 1;
        Some((name, field))
    }

    fn name(&self) -> Option<&'a str> {
        (self.index < self.row.ends.len()).then(|| self.row.names[self.index].as_str())
    }
}

impl<'de> Deserializer<'de> for Row<'_> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_map(Fields::of(self))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_seq(Fields::of(self))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_seq(Fields::of(self))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_seq(Fields::of(self))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refusal> {
        self.name().map(|name| seed.deserialize(name.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        let Some((name, field)) = self.next() else {
            return Err(Refusal::custom("a value was asked for behind the last column"));
        };
        seed.deserialize(Field(field)).map_err(|refusal| match refusal {
            Refusal::Value(reason) => Refusal::Value(format!("column `{name}`: {reason}")),
            missing => missing,
        })
    }
}

impl<'de> SeqAccess<'de> for Fields<'_> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Refusal> {
        self.next().map(|(_, field)| seed.deserialize(Field(field))).transpose()
    }
}

/// One field.
struct Field<'a>(&'a [u8]);

impl Field<'_> {
    fn text(&self) -> Result<&str, Refusal> {
        std::str::from_utf8(self.0).map_err(|_| Refusal::custom("the field is not UTF-8"))
    }

    fn parse<T: FromStr>(&self, what: &str) -> Result<T, Refusal> {
        let text = self.text()?;
        text.trim().parse().map_err(|_| Refusal::custom(format!("`{text}` is not {what}")))
    }
}

/// Field types that are read with `FromStr`.
macro_rules! parsed {
    ($($method:ident $visit:ident $what:literal)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            visitor.$visit(self.parse($what)?)
        })*
    };
}

impl<'de> Deserializer<'de> for Field<'_> {
    type Error = Refusal;

    parsed! {
        deserialize_i8 visit_i8 "a whole number of its type"
        deserialize_i16 visit_i16 "a whole number of its type"
        deserialize_i32 visit_i32 "a whole number of its type"
        deserialize_i64 visit_i64 "a whole number of its type"
        deserialize_i128 visit_i128 "a whole number of its type"
        deserialize_u8 visit_u8 "a whole number of its type"
        deserialize_u16 visit_u16 "a whole number of its type"
        deserialize_u32 visit_u32 "a whole number of its type"
        deserialize_u64 visit_u64 "a whole number of its type"
        deserialize_u128 visit_u128 "a whole number of its type"
        deserialize_f32 visit_f32 "a number"
        deserialize_f64 visit_f64 "a number"
        deserialize_char visit_char "one character"
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            b"true" | b"True" | b"TRUE" | b"1" => visitor.visit_bool(true),
            b"false" | b"False" | b"FALSE" | b"0" => visitor.visit_bool(false),
            _ => Err(Refusal::custom(format!("`{}` is not true or false", self.text()?))),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_bytes(self.0)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_bytes(self.0)
    }

    /// An empty field is nothing.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if self.0.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_enum(self.text()?.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        str string unit unit_struct seq tuple tuple_struct map struct identifier
    }
}
