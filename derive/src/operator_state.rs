//! `#[operator_state]`: makes a struct of lists what an operator on a core remembers.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::Parser;
use syn::{Error, Field, Fields, ItemStruct, Path, Result, Type, parse_quote};

/// The states that need no path.
const STATES: [&str; 3] = ["ListState", "UnionState", "BroadcastState"];
/// The name of the operator's own state.
const TAKEN: &str = "ended";

/// The crate of the states.
fn krate(arguments: TokenStream) -> Result<Path> {
    let mut krate = parse_quote!(::tailwater::state);
    let parser = syn::meta::parser(|meta| {
        if !meta.path.is_ident("crate") {
            return Err(meta.error("`#[operator_state]` knows `crate = PATH`"));
        }
        krate = meta.value()?.call(Path::parse_mod_style)?;
        Ok(())
    });
    parser.parse2(arguments)?;
    Ok(krate)
}

pub fn expand(arguments: TokenStream, mut item: ItemStruct) -> Result<TokenStream> {
    let krate = krate(arguments)?;
    let Fields::Named(fields) = &mut item.fields else {
        let what = "name the states: `struct Buffer { orders: ListState<Order> }`";
        return Err(Error::new_spanned(&item, what));
    };
    fields.named.iter_mut().try_for_each(|field| qualify(field, &krate))?;
    let names: Vec<_> = fields.named.iter().filter_map(|field| field.ident.clone()).collect();
    let texts: Vec<_> = names.iter().map(|name| name.to_string()).collect();
    let name = &item.ident;
    let (parameters, arguments, clause) = item.generics.split_for_impl();
    Ok(quote! {
        #item

        #[automatically_derived]
        impl #parameters ::std::default::Default for #name #arguments #clause {
            fn default() -> Self {
                Self { #(#names: ::std::default::Default::default(),)* }
            }
        }

        #[automatically_derived]
        impl #parameters #krate::OperatorState for #name #arguments #clause {
            fn snapshot(
                &self,
                into: &mut #krate::SnapshotWriter,
            ) -> #krate::operator_state::Outcome {
                #(self.#names.snapshot(#texts, into)?;)*
                ::std::result::Result::Ok(())
            }

            fn restore(
                &mut self,
                from: &mut #krate::SnapshotReader,
            ) -> #krate::operator_state::Outcome {
                #(self.#names.restore(#texts, from)?;)*
                ::std::result::Result::Ok(())
            }

            #[inline]
            fn bytes(&self) -> usize {
                0 #(+ self.#names.bytes())*
            }
        }
    })
}

/// Writes a field's type in full.
fn qualify(field: &mut Field, krate: &Path) -> Result<()> {
    if let Some(name) = field.ident.as_ref().filter(|name| *name == TAKEN) {
        let what = format!("`{name}` is a state of the operator's own: choose another name");
        return Err(Error::new_spanned(name, what));
    }
    let what = "a field is a state: `ListState<Order>`";
    let Type::Path(path) = &mut field.ty else {
        return Err(Error::new_spanned(&field.ty, what));
    };
    let state = match path.path.segments.first() {
        Some(first) if path.qself.is_none() && path.path.segments.len() == 1 => first.clone(),
        _ => return Ok(()),
    };
    if !STATES.iter().any(|known| state.ident == known) {
        return Err(Error::new_spanned(path, what));
    }
    field.ty = parse_quote!(#krate::#state);
    Ok(())
}
