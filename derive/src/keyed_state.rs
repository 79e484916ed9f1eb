//! `#[keyed_state]`: turns a struct of what is to be remembered of a key into one of the engine's
//! states.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::Parser;
use syn::{Attribute, Error, Expr, Field, Fields, GenericArgument, ItemStruct, Path, Result, Type};
use syn::{PathArguments, TypePath, parse_quote};

/// The states that need no path.
const STATES: [&str; 5] = ["Value", "List", "Map", "Reducing", "Aggregating"];
/// Names of the operator's own states.
const TAKEN: [&str; 5] = ["timers", "watermark", "firing", "clock", "broadcast"];

struct Options {
    key: Type,
    /// The crate of the states.
    krate: Path,
}

fn options(arguments: TokenStream) -> Result<Options> {
    let (mut key, mut krate) = (None, parse_quote!(::tailwater::state));
    let parser = syn::meta::parser(|meta| {
        if meta.path.is_ident("key") {
            key = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("crate") {
            krate = meta.value()?.call(Path::parse_mod_style)?;
        } else {
            return Err(meta.error("`#[keyed_state]` knows `key = TYPE` and `crate = PATH`"));
        }
        Ok(())
    });
    parser.parse2(arguments)?;
    let key = key.ok_or_else(|| {
        let call = proc_macro2::Span::call_site();
        Error::new(call, "say what the stream is keyed by: `#[keyed_state(key = Symbol)]`")
    })?;
    Ok(Options { key, krate })
}

pub fn expand(arguments: TokenStream, mut item: ItemStruct) -> Result<TokenStream> {
    let Options { key, krate } = options(arguments)?;
    let keyed = quote!(#krate::keyed);
    let Fields::Named(fields) = &mut item.fields else {
        return Err(Error::new_spanned(
            &item,
            "name the states: `struct Book { last: Value<..> }`",
        ));
    };
    let mut ttls = Vec::new();
    for field in &mut fields.named {
        ttls.push(rewrite(field, &key, &keyed)?);
    }
    let names: Vec<_> = fields.named.iter().filter_map(|field| field.ident.clone()).collect();
    let texts: Vec<_> = names.iter().map(|name| name.to_string()).collect();
    let types: Vec<_> = fields.named.iter().map(|field| field.ty.clone()).collect();
    let current = format_ident!("__current");
    fields.named.push(Field {
        attrs: Vec::new(),
        vis: syn::Visibility::Inherited,
        mutability: syn::FieldMutability::None,
        ident: Some(current.clone()),
        colon_token: Some(Default::default()),
        ty: parse_quote!(#keyed::CurrentKey<#key>),
    });
    let (name, visibility) = (&item.ident, &item.vis);
    let (parameters, arguments, clause) = item.generics.split_for_impl();
    Ok(quote! {
        #item

        impl #parameters #name #arguments #clause {
            /// The key that the callback is about.
            #[allow(dead_code)]
            #visibility fn key(&self) -> &#key {
                self.#current.key()
            }
        }

        #[automatically_derived]
        impl #parameters #keyed::KeyedState for #name #arguments #clause {
            type Key = #key;

            fn new(context: &#krate::StateContext) -> Self {
                Self {
                    #(#names: <#types as #keyed::StatePart<#key>>::new(context, #ttls),)*
                    #current: ::std::default::Default::default(),
                }
            }

            #[inline]
            fn enter(&mut self, hash: u64, key: &#key, now: #keyed::Now) {
                self.#current.enter(hash, key);
                #(#keyed::StatePart::<#key>::enter(&mut self.#names, hash, key, now);)*
            }

            #[inline]
            fn prefetch(&self, hash: u64) {
                #(#keyed::StatePart::<#key>::prefetch(&self.#names, hash);)*
            }

            fn visit(&mut self, visit: &mut #keyed::Visit<'_, #key>) -> #keyed::Visited {
                #(visit(#texts, &mut self.#names)?;)*
                ::std::result::Result::Ok(())
            }
        }
    })
}

/// Puts the key and the stamp among the parameters of a field's type; gives its TTL.
fn rewrite(field: &mut Field, key: &Type, keyed: &TokenStream) -> Result<TokenStream> {
    if let Some(name) = field.ident.as_ref().filter(|name| TAKEN.iter().any(|n| *name == n)) {
        let what = format!("`{name}` is a state of the operator's own: choose another name");
        return Err(Error::new_spanned(name, what));
    }
    let ttl = take_ttl(&mut field.attrs)?;
    let Type::Path(TypePath { qself: None, path }) = &mut field.ty else {
        return Err(Error::new_spanned(&field.ty, "a field is a state: `Value<Quote>`"));
    };
    let is_known = path.get_ident().is_none() && path.segments.len() == 1;
    let Some(last) = path.segments.last_mut() else {
        return Err(Error::new_spanned(path, "a field is a state: `Value<Quote>`"));
    };
    let PathArguments::AngleBracketed(arguments) = &mut last.arguments else {
        return Err(Error::new_spanned(path, "say what it holds: `Value<Quote>`"));
    };
    let stamp: GenericArgument = match ttl {
        Some(_) => parse_quote!(#keyed::Expiring),
        None => parse_quote!(#keyed::Lasting),
    };
    arguments.args.insert(0, parse_quote!(#key));
    arguments.args.push(stamp);
    if is_known && STATES.iter().any(|state| last.ident == state) {
        let state = last.clone();
        field.ty = parse_quote!(#keyed::#state);
    }
    Ok(match ttl {
        Some(ttl) => quote!(#ttl),
        None => quote!(#keyed::Ttl::never()),
    })
}

/// Takes `#[ttl(EXPRESSION)]` off a field.
fn take_ttl(attributes: &mut Vec<Attribute>) -> Result<Option<Expr>> {
    let mut ttl = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("ttl")) {
        ttl = Some(attribute.parse_args()?);
    }
    attributes.retain(|attribute| !attribute.path().is_ident("ttl"));
    Ok(ttl)
}
