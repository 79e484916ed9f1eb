//! Schemas as text: what types say of themselves, that it can be read back, and layouts as rkyv has
//! them.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use rkyv::{Archive, Deserialize, Serialize};

use super::Schema;
use crate::record::Record;
use crate::{Describe, Notional, Price, Stamped, Symbol, Timestamp, Volume};

#[derive(Clone, Archive, Serialize, Deserialize, Describe)]
struct Turnover {
    notional: Notional,
    volume: Volume,
}

#[derive(Clone, Archive, Serialize, Deserialize, Describe)]
#[describe(version = 3)]
enum Side {
    Buy,
    Sell(Price, u8),
    Other { name: String, at: Timestamp },
}

#[derive(Clone, Archive, Serialize, Deserialize, Describe)]
struct Pair<A, B> {
    a: A,
    b: Option<Box<B>>,
}

#[derive(Clone, Archive, Serialize, Deserialize, Describe)]
struct Nothing;

#[derive(Clone, Describe)]
struct Tree {
    _value: u64,
    _children: Vec<(Side, Tree)>,
}

fn text<T: Describe>() -> String {
    T::schema().to_string()
}

#[test]
fn types_say_what_they_look_like() {
    assert_eq!(text::<Turnover>(), "Turnover { notional: Notional(i128), volume: Volume(i128) }");
    let side = "enum Side@3 { Buy, Sell(Price(i64), u8), \
                Other { name: String, at: Timestamp(i64) } }";
    assert_eq!(text::<Side>(), side);
    assert_eq!(text::<Pair<u8, Nothing>>(), "Pair { a: u8, b: Option<Box<Nothing {}>> }");
    assert_eq!(text::<((), (u8,), [Symbol; 2])>(), "((), (u8,), [Symbol([u8; 16]); 2])");
    assert_eq!(text::<BTreeMap<u32, HashSet<char>>>(), "BTreeMap<u32, HashSet<char>>");
    assert_eq!(Side::schema().version(), 3);
    assert_eq!(Side::schema().name(), Some("Side"));
}

#[test]
fn a_recursive_type_ends_and_a_type_in_itself_by_parameter_is_not_one() {
    assert_eq!(
        text::<Tree>(),
        format!("Tree {{ _value: u64, _children: Vec<({}, ^0)> }}", text::<Side>())
    );
    assert_eq!(
        text::<Pair<Pair<u8, u8>, u16>>(),
        "Pair { a: Pair { a: u8, b: Option<Box<u8>> }, b: Option<Box<u16>> }"
    );
}

#[test]
fn text_is_read_back() {
    for schema in [
        Turnover::schema(),
        Side::schema(),
        Tree::schema(),
        <Pair<Nothing, VecDeque<f64>>>::schema(),
        <((), (u8,), (u8, i128), [Vec<Option<bool>>; 3])>::schema(),
        <HashMap<String, BTreeMap<Symbol, Stamped<f32>>>>::schema(),
        <HashSet<(u64,)>>::schema(),
    ] {
        let text = schema.to_string();
        let back = Schema::parse(&text).unwrap();
        assert_eq!(back, schema);
        assert_eq!(back.fingerprint(), schema.fingerprint());
        for end in 0..text.len() {
            assert!(Schema::parse(&text[..end]).is_err(), "{}", &text[..end]);
        }
    }
}

#[test]
fn what_is_no_schema_is_refused() {
    let deep = "Vec<".repeat(100_000);
    for text in
        ["", "u9", "^0", "Vec<u8, u8>", "u8 u8", "A { b: ^1 }", "[u8; x]", "Some<u8>", &deep]
    {
        assert!(Schema::parse(text).is_err(), "{text}");
    }
}

/// The version of the state's bytes on disk hangs on it: it never changes.
#[test]
fn the_fingerprint_is_frozen() {
    assert_eq!(Turnover::schema().fingerprint(), FROZEN, "{:#x}", Turnover::schema().fingerprint());
}

const FROZEN: u64 = 0x8588_046c_0e02_4f90;

#[test]
fn layouts_are_those_of_rkyv() {
    fn check<T: Record>() {
        let layout = T::schema().layout();
        let archived = (size_of::<T::Archived>(), align_of::<T::Archived>());
        assert_eq!((layout.size, layout.align), archived, "{}", T::schema());
    }
    check::<Turnover>();
    check::<Side>();
    check::<Nothing>();
    check::<Pair<u8, u64>>();
    check::<Pair<(u8, u16, u8), String>>();
    check::<Option<u128>>();
    check::<Option<Option<u16>>>();
    check::<Vec<String>>();
    check::<[(u8, u32); 3]>();
    check::<(bool, char, f32, f64, i8, usize)>();
    check::<HashMap<u8, u8>>();
    check::<BTreeMap<u8, u64>>();
    check::<HashSet<String>>();
    check::<Stamped<Symbol>>();
    check::<()>();
}
