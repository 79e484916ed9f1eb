//! `Describe`: the schema of a struct or enum, from its declaration.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Data, DeriveInput, Error, Field, Fields, LitInt, LitStr, Path, Result, Type};

/// What `#[describe(..)]` and `#[record(..)]` say of a type.
struct Options {
    krate: Path,
    version: LitInt,
}

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Options { krate, version } = options(&input.attrs)?;
    let schema = quote!(#krate::schema);
    let name = &input.ident;
    let name_text = name.to_string();
    let body = match &input.data {
        Data::Struct(data) => {
            let fields = fields_of(&schema, &data.fields)?;
            quote!(#schema::Body::Struct(#fields))
        }
        Data::Enum(data) => {
            let mut variants = Vec::new();
            for variant in &data.variants {
                let name = variant.ident.to_string();
                let fields = fields_of(&schema, &variant.fields)?;
                variants.push(quote! {
                    { let fields = #fields; describer.variant(#name, fields) }
                });
            }
            quote!(#schema::Body::Enum(::std::vec![#(#variants),*]))
        }
        Data::Union(_) => {
            return Err(Error::new_spanned(name, "a union does not say what it holds"));
        }
    };
    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(syn::parse_quote!(#schema::Describe));
    }
    let (parameters, arguments, clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #parameters #schema::Describe for #name #arguments #clause {
            fn describe(describer: &mut #schema::Describer) -> #schema::Schema {
                describer.named::<Self>(#name_text, #version, |describer| {
                    let _ = &describer;
                    #body
                })
            }
        }
    })
}

fn options(attributes: &[Attribute]) -> Result<Options> {
    let mut options =
        Options { krate: syn::parse_quote!(::tailwater_core), version: syn::parse_quote!(0) };
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("describe")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("crate") {
                options.krate = meta.value()?.call(Path::parse_mod_style)?;
                Ok(())
            } else if meta.path.is_ident("version") {
                options.version = meta.value()?.parse()?;
                options.version.base10_parse::<u32>().map(|_| ())
            } else {
                Err(meta.error("`describe` knows `crate = PATH` and `version = NUMBER`"))
            }
        })?;
    }
    Ok(options)
}

/// The value of type `Fields` that describes `fields`.
fn fields_of(schema: &TokenStream, fields: &Fields) -> Result<TokenStream> {
    let mut parts = Vec::new();
    for field in fields {
        let archived = archived_type(field)?;
        parts.push(match &field.ident {
            Some(name) => {
                let name = name.to_string();
                let name = name.trim_start_matches("r#");
                quote!(describer.field::<#archived>(#name))
            }
            None => quote!(<#archived as #schema::Describe>::describe(describer)),
        });
    }
    Ok(match fields {
        Fields::Unit => quote!(#schema::Fields::Unit),
        Fields::Unnamed(_) => quote!(#schema::Fields::Tuple(::std::vec![#(#parts),*])),
        Fields::Named(_) => quote!(#schema::Fields::Named(::std::vec![#(#parts),*])),
    })
}

/// The type that a field's archive looks like: its own, unless `#[describe(as = "..")]` says
/// another.
fn archived_type(field: &Field) -> Result<TokenStream> {
    let mut stated = None;
    let mut is_archived_otherwise = false;
    for attribute in &field.attrs {
        if attribute.path().is_ident("describe") {
            attribute.parse_nested_meta(|meta| {
                if !meta.path.is_ident("as") {
                    return Err(meta.error("a field's `describe` knows `as = \"TYPE\"`"));
                }
                stated = Some(meta.value()?.parse::<LitStr>()?.parse::<Type>()?);
                Ok(())
            })?;
        } else if attribute.path().is_ident("rkyv") {
            let text = attribute.meta.to_token_stream().to_string();
            is_archived_otherwise |= text.contains("with =");
        }
    }
    match stated {
        Some(stated) => Ok(stated.into_token_stream()),
        None if is_archived_otherwise => Err(Error::new_spanned(
            &field.ty,
            "say what the archive of this field looks like: `#[describe(as = \"Vec<u8>\")]`",
        )),
        None => Ok(field.ty.to_token_stream()),
    }
}
