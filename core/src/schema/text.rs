//! The canonical text of a schema: one line, the same for ever.

use std::fmt::{Formatter, Result};

use super::{Body, Fields, Map, MapKind, Named, Primitive, Schema, Shape};

/// Primitives and their names, which are Rust's.
pub(super) const PRIMITIVES: [(Primitive, &str); 14] = [
    (Primitive::Bool, "bool"),
    (Primitive::Char, "char"),
    (Primitive::I8, "i8"),
    (Primitive::I16, "i16"),
    (Primitive::I32, "i32"),
    (Primitive::I64, "i64"),
    (Primitive::I128, "i128"),
    (Primitive::U8, "u8"),
    (Primitive::U16, "u16"),
    (Primitive::U32, "u32"),
    (Primitive::U64, "u64"),
    (Primitive::U128, "u128"),
    (Primitive::F32, "f32"),
    (Primitive::F64, "f64"),
];

pub(super) fn write(schema: &Schema, f: &mut Formatter<'_>) -> Result {
    match schema.shape() {
        Shape::Primitive(primitive) => {
            let name = PRIMITIVES.iter().find(|(known, _)| known == primitive);
            f.write_str(name.map_or("", |(_, name)| name))
        }
        Shape::String => f.write_str("String"),
        Shape::Option(inner) => write!(f, "Option<{inner}>"),
        Shape::Box(inner) => write!(f, "Box<{inner}>"),
        Shape::Vec(inner) => write!(f, "Vec<{inner}>"),
        Shape::Array(inner, len) => write!(f, "[{inner}; {len}]"),
        Shape::Tuple(parts) => match parts.as_slice() {
            // As in Rust, the comma tells a tuple of one from parentheses.
            [one] => write!(f, "({one},)"),
            parts => in_parentheses(parts, f),
        },
        Shape::Map(map) => write_map(map, f),
        Shape::Named(named) => write_named(named, f),
        Shape::Enclosing(outward) => write!(f, "^{outward}"),
    }
}

fn in_parentheses(parts: &[Schema], f: &mut Formatter<'_>) -> Result {
    f.write_str("(")?;
    for (index, part) in parts.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{part}")?;
    }
    f.write_str(")")
}

fn write_map(map: &Map, f: &mut Formatter<'_>) -> Result {
    let kind = match map.kind {
        MapKind::Hash => "Hash",
        MapKind::BTree => "BTree",
    };
    match &map.value {
        Some(value) => write!(f, "{kind}Map<{}, {value}>", map.key),
        None => write!(f, "{kind}Set<{}>", map.key),
    }
}

fn write_named(named: &Named, f: &mut Formatter<'_>) -> Result {
    if matches!(named.body, Body::Enum(_)) {
        f.write_str("enum ")?;
    }
    f.write_str(&named.name)?;
    if named.version > 0 {
        write!(f, "@{}", named.version)?;
    }
    match &named.body {
        // Where a struct's fields are missing, so that its name is not taken for something else.
        Body::Struct(Fields::Unit) => f.write_str(" {}"),
        Body::Struct(fields) => write_fields(fields, f),
        Body::Enum(variants) => {
            f.write_str(" {")?;
            for (index, variant) in variants.iter().enumerate() {
                write!(f, "{} {}", if index == 0 { "" } else { "," }, variant.name)?;
                write_fields(&variant.fields, f)?;
            }
            f.write_str(" }")
        }
    }
}

fn write_fields(fields: &Fields, f: &mut Formatter<'_>) -> Result {
    match fields {
        Fields::Unit => Ok(()),
        Fields::Tuple(parts) => in_parentheses(parts, f),
        Fields::Named(fields) if fields.is_empty() => f.write_str(" {}"),
        Fields::Named(fields) => {
            f.write_str(" {")?;
            for (index, field) in fields.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                write!(f, "{comma} {}: {}", field.name, field.schema)?;
            }
            f.write_str(" }")
        }
    }
}
