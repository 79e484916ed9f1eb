//! Operators that remember nothing: map, filter, flat_map, try_map, inspect.

use std::marker::PhantomData;

use tailwater_core::{Error, Timestamp};

use crate::blame::blame;
use crate::{Collect, Description, Operator};

/// Tells of an operator, unless it is hidden.
fn tell(name: &str, into: &mut Vec<Description>) {
    if !name.is_empty() {
        into.push(Description::new(name, ""));
    }
}

/// Declares an operator with one closure: its struct, its constructor and its clone.
macro_rules! closure_operator {
    ($(#[$doc:meta])* $name:ident<$($param:ident),*>, $kind:literal) => {
        $(#[$doc])*
        pub struct $name<$($param,)* F> {
            name: String,
            function: F,
            types: PhantomData<fn($($param),*)>,
        }

        impl<$($param,)* F> $name<$($param,)* F> {
            /// The operator with the user's function.
            pub fn new(function: F) -> Self {
                Self { name: $kind.to_owned(), function, types: PhantomData }
            }

            /// The same operator, not told by `explain`: for steps that the engine itself puts in.
            #[must_use]
            pub fn hidden(mut self) -> Self {
                self.name.clear();
                self
            }

            /// The same operator under a name of the user's.
            #[must_use]
            pub fn named(mut self, name: impl Into<String>) -> Self {
                self.name = name.into();
                self
            }
        }

        impl<$($param,)* F: Clone> Clone for $name<$($param,)* F> {
            fn clone(&self) -> Self {
                Self {
                    name: self.name.clone(),
                    function: self.function.clone(),
                    types: PhantomData,
                }
            }
        }
    };
}

closure_operator! {
    /// One record in, one out.
    Map<T, U>, "map"
}
closure_operator! {
    /// Keeps the records that the function says `true` to.
    Filter<T>, "filter"
}
closure_operator! {
    /// One record in, any number out.
    FlatMap<T, I>, "flat_map"
}
closure_operator! {
    /// One record in, one out, or an error that ends the job.
    TryMap<T, U, E>, "try_map"
}
closure_operator! {
    /// Shows each record and its event time to the function.
    Inspect<T>, "inspect"
}

impl<T: 'static, U: 'static, F> Operator for Map<T, U, F>
where
    F: FnMut(T) -> U + Send + 'static,
{
    type In = T;
    type Out = U;

    #[inline(always)]
    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<U>) {
        let mapped = blame(&self.name, at, || (self.function)(value));
        out.record(at, mapped);
    }

    fn describe(&self, into: &mut Vec<Description>) {
        tell(&self.name, into);
    }
}

impl<T: 'static, F> Operator for Filter<T, F>
where
    F: FnMut(&T) -> bool + Send + 'static,
{
    type In = T;
    type Out = T;

    #[inline(always)]
    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<T>) {
        if blame(&self.name, at, || (self.function)(&value)) {
            out.record(at, value);
        }
    }

    fn describe(&self, into: &mut Vec<Description>) {
        tell(&self.name, into);
    }
}

impl<T: 'static, I: IntoIterator + 'static, F> Operator for FlatMap<T, I, F>
where
    F: FnMut(T) -> I + Send + 'static,
{
    type In = T;
    type Out = I::Item;

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<I::Item>) {
        let mut items = blame(&self.name, at, || (self.function)(value).into_iter());
        while let Some(item) = blame(&self.name, at, || items.next()) {
            out.record(at, item);
        }
    }

    fn describe(&self, into: &mut Vec<Description>) {
        tell(&self.name, into);
    }
}

impl<T: 'static, U: 'static, E, F> Operator for TryMap<T, U, E, F>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    F: FnMut(T) -> Result<U, E> + Send + 'static,
{
    type In = T;
    type Out = U;

    #[inline]
    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<U>) {
        match blame(&self.name, at, || (self.function)(value)) {
            Ok(mapped) => out.record(at, mapped),
            Err(cause) => out.fail(Error::user(&self.name, at, cause)),
        }
    }

    fn describe(&self, into: &mut Vec<Description>) {
        tell(&self.name, into);
    }
}

impl<T: 'static, F> Operator for Inspect<T, F>
where
    F: FnMut(Timestamp, &T) + Send + 'static,
{
    type In = T;
    type Out = T;

    #[inline(always)]
    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<T>) {
        blame(&self.name, at, || (self.function)(at, &value));
        out.record(at, value);
    }

    fn describe(&self, into: &mut Vec<Description>) {
        tell(&self.name, into);
    }
}
