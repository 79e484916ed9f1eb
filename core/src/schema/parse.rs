//! Reads a schema's text form back.

use super::text::PRIMITIVES;
use super::{Body, Field, Fields, Map, MapKind, Named, Schema, Shape, Variant};
use crate::{Error, Result};

/// No type that a program holds nests this deep; a text that does is damaged, or made to overflow
/// the stack.
const DEPTH_MAX: usize = 64;

impl Schema {
    /// The schema that a text form describes: the opposite of `to_string`.
    ///
    /// # Errors
    /// When the text is no schema, with the place in it.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser { text, at: 0, depth: 0, named: 0 };
        let schema = parser.schema()?;
        parser.spaces();
        if parser.at < text.len() {
            return Err(parser.refuse("the end"));
        }
        Ok(schema)
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Named types around this place.
    named: u32,
}

impl Parser<'_> {
    fn refuse(&self, wanted: &str) -> Error {
        let start = self.text.get(self.at..).unwrap_or("");
        let found: String = start.chars().take(20).collect();
        Error::format(format!(
            "no schema: expected {wanted} at byte {}, found `{found}`; the text was written by \
             another version or is damaged",
            self.at
        ))
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.spaces();
        let is_next = self.rest().starts_with(token);
        self.at += if is_next { token.len() } else { 0 };
        is_next
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        if self.take(token) { Ok(()) } else { Err(self.refuse(&format!("`{token}`"))) }
    }

    fn word(&mut self) -> Result<String> {
        self.spaces();
        let rest = self.rest();
        let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if len == 0 {
            return Err(self.refuse("a name"));
        }
        let word = rest[..len].to_owned();
        self.at += len;
        Ok(word)
    }

    fn number(&mut self) -> Result<u32> {
        let at = self.at;
        let number = self.word().ok().and_then(|word| word.parse().ok());
        number.ok_or_else(|| {
            self.at = at;
            self.refuse("a number")
        })
    }

    fn schema(&mut self) -> Result<Schema> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.refuse("fewer types within types"));
        }
        let shape = self.shape()?;
        self.depth -= 1;
        Ok(Schema::new(shape))
    }

    fn shape(&mut self) -> Result<Shape> {
        if self.take("^") {
            let outward = self.number()?;
            return if outward < self.named {
                Ok(Shape::Enclosing(outward))
            } else {
                Err(self.refuse("a type that encloses this place before it"))
            };
        }
        if self.take("[") {
            let inner = self.schema()?;
            self.expect(";")?;
            let len = self.number()?;
            self.expect("]")?;
            return Ok(Shape::Array(Box::new(inner), len));
        }
        if self.take("(") {
            return Ok(Shape::Tuple(self.parts()?));
        }
        let word = self.word()?;
        if let Some((primitive, _)) = PRIMITIVES.iter().find(|(_, name)| *name == word) {
            return Ok(Shape::Primitive(*primitive));
        }
        // What has parameters is the language's own; a named type never has any.
        if self.rest().starts_with('<') {
            return self.container(&word);
        }
        match word.as_str() {
            "String" => Ok(Shape::String),
            "enum" => self.enumeration(),
            _ => self.structure(word),
        }
    }

    fn container(&mut self, word: &str) -> Result<Shape> {
        self.expect("<")?;
        let first = Box::new(self.schema()?);
        let second = if self.take(",") { Some(Box::new(self.schema()?)) } else { None };
        self.expect(">")?;
        Ok(match (word, second) {
            ("Option", None) => Shape::Option(first),
            ("Box", None) => Shape::Box(first),
            ("Vec", None) => Shape::Vec(first),
            ("HashMap", value @ Some(_)) | ("HashSet", value @ None) => {
                Shape::Map(Map { kind: MapKind::Hash, key: first, value })
            }
            ("BTreeMap", value @ Some(_)) | ("BTreeSet", value @ None) => {
                Shape::Map(Map { kind: MapKind::BTree, key: first, value })
            }
            _ => return Err(self.refuse("a known container before it")),
        })
    }

    /// The rest of `(A, B)`.
    fn parts(&mut self) -> Result<Vec<Schema>> {
        let mut parts = Vec::new();
        while !self.take(")") {
            parts.push(self.schema()?);
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(parts)
    }

    fn version(&mut self) -> Result<u32> {
        if self.rest().starts_with('@') {
            self.at += 1;
            return self.number();
        }
        Ok(0)
    }

    fn structure(&mut self, name: String) -> Result<Shape> {
        let version = self.version()?;
        self.named += 1;
        let fields = match self.fields()? {
            Fields::Unit => return Err(self.refuse("the fields of a struct")),
            Fields::Named(fields) if fields.is_empty() => Fields::Unit,
            fields => fields,
        };
        self.named -= 1;
        Ok(Shape::Named(Named { name, version, body: Body::Struct(fields) }))
    }

    fn enumeration(&mut self) -> Result<Shape> {
        let name = self.word()?;
        let version = self.version()?;
        self.named += 1;
        let mut variants = Vec::new();
        self.expect("{")?;
        while !self.take("}") {
            let name = self.word()?;
            variants.push(Variant { name, fields: self.fields()? });
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        self.named -= 1;
        Ok(Shape::Named(Named { name, version, body: Body::Enum(variants) }))
    }

    fn fields(&mut self) -> Result<Fields> {
        if self.rest().starts_with('(') {
            self.at += 1;
            return Ok(Fields::Tuple(self.parts()?));
        }
        if !self.take("{") {
            return Ok(Fields::Unit);
        }
        let mut fields = Vec::new();
        while !self.take("}") {
            let name = self.word()?;
            self.expect(":")?;
            fields.push(Field { name, schema: self.schema()? });
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Fields::Named(fields))
    }
}
