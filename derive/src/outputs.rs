//! `Outputs`: an enum of what an operator emits, told apart into a stream for each variant.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Fields, Result};

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(name, "outputs are an enum, with a variant for each"));
    };
    if data.variants.is_empty() {
        return Err(Error::new_spanned(name, "name at least one output"));
    }
    let core = quote!(::tailwater::__private);
    let (mut ways, mut streams) = (quote!(#core::Infallible), quote!(()));
    let (mut types, mut arms, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (index, variant) in data.variants.iter().enumerate() {
        let field = match &variant.fields {
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => &fields.unnamed[0],
            _ => {
                let what = "an output has one record: `Alert(Alert)`";
                return Err(Error::new_spanned(variant, what));
            }
        };
        let ident = &variant.ident;
        let mut way = quote!(#core::Either::First(value));
        for _ in 0..index {
            way = quote!(#core::Either::Second(#way));
        }
        arms.push(quote!(Self::#ident(value) => #way));
        names.push(format_ident!("stream_{index}"));
        types.push(&field.ty);
    }
    for (ty, stream) in types.iter().zip(&names).rev() {
        ways = quote!(#core::Either<#ty, #ways>);
        streams = quote!((#stream, #streams));
    }
    let (parameters, arguments, clause) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #parameters ::tailwater::Outputs for #name #arguments #clause {
            type Ways = #ways;
            type Streams = (#(#core::Fresh<#types>,)*);

            #[inline]
            fn way(self) -> Self::Ways {
                match self { #(#arms),* }
            }

            fn streams(
                #streams: <Self::Ways as #core::Ways>::Streams,
            ) -> Self::Streams {
                (#(#names,)*)
            }
        }
    })
}
