//! How many bytes a type takes in its archive, and how it is aligned: rkyv's layout with the
//! features that the workspace fixes (little-endian, aligned, pointers of 32 bits).

use super::{Body, Fields, Map, MapKind, Primitive, Schema, Shape};

/// The archived size and alignment of a type, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How many bytes it takes.
    pub size: usize,
    /// What its address is a multiple of.
    pub align: usize,
}

/// A pointer to elsewhere in the archive, relative to where itself lies.
const POINTER: Layout = Layout { size: 4, align: 4 };
/// A pointer and a length: vectors and text.
const SLICE: Layout = Layout { size: 8, align: 4 };
/// The tag of an option or enum.
pub(super) const TAG: Layout = Layout { size: 1, align: 1 };

impl Layout {
    /// Puts `next` behind this, as `repr(C)` does, and says at which offset it lies.
    pub(super) fn append(&mut self, next: Self) -> usize {
        let offset = self.size.next_multiple_of(next.align);
        self.size = offset + next.size;
        self.align = self.align.max(next.align);
        offset
    }

    /// Filled up to a multiple of the alignment.
    pub(super) fn padded(self) -> Self {
        Self { size: self.size.next_multiple_of(self.align), ..self }
    }
}

impl Primitive {
    /// Its size, which is its alignment as well.
    pub const fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::Char | Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
            Self::I128 | Self::U128 => 16,
        }
    }
}

impl Schema {
    /// The size and alignment of the type's archived form, without what it points to.
    pub fn layout(&self) -> Layout {
        match self.shape() {
            Shape::Primitive(primitive) => {
                Layout { size: primitive.size(), align: primitive.size() }
            }
            Shape::String | Shape::Vec(_) => SLICE,
            Shape::Box(_) => POINTER,
            Shape::Option(inner) => after_tag([&**inner].into_iter()).padded(),
            Shape::Array(inner, len) => {
                let one = inner.layout();
                Layout { size: one.size * *len as usize, ..one }
            }
            Shape::Tuple(parts) => in_a_row(parts.iter()),
            // A pointer and a length; a hash table has its capacity as well.
            Shape::Map(Map { kind: MapKind::BTree, .. }) => SLICE,
            Shape::Map(Map { kind: MapKind::Hash, .. }) => Layout { size: 12, align: 4 },
            Shape::Named(named) => match &named.body {
                Body::Struct(fields) => in_a_row(fields.schemas()),
                Body::Enum(variants) => {
                    let all = variants.iter().map(|variant| variant_layout(&variant.fields));
                    let greatest = all.fold(TAG, |greatest, layout| Layout {
                        size: greatest.size.max(layout.size),
                        align: greatest.align.max(layout.align),
                    });
                    greatest.padded()
                }
            },
            // Only ever behind a pointer: no type contains itself in place.
            Shape::Enclosing(_) => Layout { size: 0, align: 1 },
        }
    }
}

fn in_a_row<'a>(parts: impl Iterator<Item = &'a Schema>) -> Layout {
    let mut layout = Layout { size: 0, align: 1 };
    for part in parts {
        layout.append(part.layout());
    }
    layout.padded()
}

fn after_tag<'a>(parts: impl Iterator<Item = &'a Schema>) -> Layout {
    let mut layout = TAG;
    for part in parts {
        layout.append(part.layout());
    }
    layout
}

/// A variant is a struct that begins with the tag.
fn variant_layout(fields: &Fields) -> Layout {
    after_tag(fields.schemas()).padded()
}
