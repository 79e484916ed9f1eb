//! `#[record]` and `Describe` make a struct or enum something that can flow through a job and be
//! kept as state; `#[keyed_state]` makes a struct the state of each key, `#[operator_state]` the
//! state of an operator on each core, and `Outputs` makes an enum the outputs of an operator.

mod describe;
mod keyed_state;
mod operator_state;
mod outputs;

use proc_macro::TokenStream;
use quote::quote;
use syn::{DeriveInput, Item, ItemStruct, LitInt, parse_macro_input};

/// Derives what a record needs: `Clone`, `Debug`, rkyv's archive (so that it can be state), serde's
/// text forms (so that it can be read from and written to CSV and JSON lines) and its schema (so
/// that a checkpoint can tell what has changed).
///
/// Goes before other derives. `serde` attributes such as `#[serde(rename = "..")]` work as usual. A
/// change of meaning that the fields do not show is told by a version: `#[record(version = 2)]`.
#[proc_macro_attribute]
pub fn record(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut version: Option<LitInt> = None;
    let parser = syn::meta::parser(|meta| {
        if !meta.path.is_ident("version") {
            return Err(meta.error("`#[record]` knows `version = NUMBER`"));
        }
        version = Some(meta.value()?.parse()?);
        Ok(())
    });
    parse_macro_input!(arguments with parser);
    let item = parse_macro_input!(item as Item);
    if !matches!(item, Item::Struct(_) | Item::Enum(_)) {
        return quote!(compile_error! { "#[record] goes on a struct or an enum" }).into();
    }
    let version = version.map(|version| quote!(, version = #version));
    quote! {
        #[derive(
            Clone, Debug,
            ::tailwater::rkyv::Archive,
            ::tailwater::rkyv::Serialize, ::tailwater::rkyv::Deserialize,
            ::tailwater::serde::Serialize, ::tailwater::serde::Deserialize,
            ::tailwater::Describe,
        )]
        #[rkyv(crate = ::tailwater::rkyv)]
        #[serde(crate = "::tailwater::serde")]
        #[describe(crate = ::tailwater #version)]
        #item
    }
    .into()
}

/// Derives `Describe`: what the type looks like in its archive.
///
/// `#[describe(crate = PATH)]` names the crate whose `schema` module is meant (`::tailwater_core`
/// without), `#[describe(version = 2)]` the version, and on a field `#[describe(as = "Vec<u8>")]`
/// what rkyv makes of it where it has a `#[rkyv(with = ..)]`.
#[proc_macro_derive(Describe, attributes(describe))]
pub fn describe(item: TokenStream) -> TokenStream {
    let input = parse_macro_input!(item as DeriveInput);
    describe::derive(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Derives `Outputs` for an enum of what an operator emits: `Stream::outputs` then gives a stream
/// for each variant. A variant holds one record.
#[proc_macro_derive(Outputs)]
pub fn outputs(item: TokenStream) -> TokenStream {
    let input = parse_macro_input!(item as DeriveInput);
    outputs::derive(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes a struct the state of each key: its fields say what is remembered, and their names are the
/// names in checkpoints.
///
/// A field is a `Value<V>`, `Map<K, V>`, `List<V>`, `Reducing<V, R>` or `Aggregating<T, A>`; the
/// key goes before its parameters. `#[ttl(Ttl::after(10.minutes()))]` on a field lets what it holds
/// expire. `#[keyed_state(key = TYPE, crate = PATH)]`: the crate is that of the states,
/// `::tailwater::state` without.
#[proc_macro_attribute]
pub fn keyed_state(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as ItemStruct);
    keyed_state::expand(arguments.into(), item)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Makes a struct the state of an operator on each core: its fields say what is remembered, and
/// their names are the names in checkpoints.
///
/// A field is a `ListState<T>`, `UnionState<T>` or `BroadcastState<K, V>`. The struct begins empty.
/// `#[operator_state(crate = PATH)]`: the crate is that of the states, `::tailwater::state`
/// without.
#[proc_macro_attribute]
pub fn operator_state(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as ItemStruct);
    operator_state::expand(arguments.into(), item)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
