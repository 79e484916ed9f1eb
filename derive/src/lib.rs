//! `#[record]`: makes a struct or enum something that can flow through a job and be kept as state.

use proc_macro::TokenStream;
use quote::quote;
use syn::{Item, parse_macro_input};

/// Derives what a record needs: `Clone`, `Debug`, rkyv's archive (so that it can be state) and
/// serde's text forms (so that it can be read from and written to CSV and JSON lines).
///
/// Goes before other derives. `serde` attributes such as `#[serde(rename = "..")]` work as usual.
#[proc_macro_attribute]
pub fn record(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if !arguments.is_empty() {
        return quote!(compile_error! { "#[record] takes no arguments" }).into();
    }
    let item = parse_macro_input!(item as Item);
    if !matches!(item, Item::Struct(_) | Item::Enum(_)) {
        return quote!(compile_error! { "#[record] goes on a struct or an enum" }).into();
    }
    quote! {
        #[derive(
            Clone, Debug,
            ::tailwater::rkyv::Archive,
            ::tailwater::rkyv::Serialize, ::tailwater::rkyv::Deserialize,
            ::tailwater::serde::Serialize, ::tailwater::serde::Deserialize,
        )]
        #[rkyv(crate = ::tailwater::rkyv)]
        #[serde(crate = "::tailwater::serde")]
        #item
    }
    .into()
}
