//! A call for each record.

use std::future::Future;
use std::marker::PhantomData;

use tailwater_core::Timestamp;

use super::{Answered, Ask, Async};

/// Makes a call of the user's function for each record; what it answers goes out.
pub struct Each<T, U, E, F> {
    options: Async<T, U, E>,
    function: F,
    types: PhantomData<fn(T) -> U>,
}

impl<T, U, E, F> Each<T, U, E, F> {
    /// Calls `function`, in this way.
    pub fn new(options: Async<T, U, E>, function: F) -> Self {
        Self { options, function, types: PhantomData }
    }
}

impl<T, U, E, F: Clone> Clone for Each<T, U, E, F> {
    fn clone(&self) -> Self {
        Self::new(self.options.clone(), self.function.clone())
    }
}

impl<T, U, E, F, C> Ask<T> for Each<T, U, E, F>
where
    T: 'static,
    U: Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    F: FnMut(&T) -> C + Clone + Send + 'static,
    C: Future<Output = Result<U, E>> + Send + 'static,
{
    const KEYED: bool = false;

    type Question = T;
    type Answer = U;
    type Error = E;
    type Call = C;
    type Out = U;

    fn options(&mut self) -> &mut Async<T, U, E> {
        &mut self.options
    }

    fn call(&mut self, input: &T) -> C {
        (self.function)(input)
    }

    fn fallback(&mut self, input: &T) -> Option<U> {
        self.options.fallback(input)
    }

    fn answered(
        &mut self,
        number: u64,
        _: &T,
        answer: Answered<U>,
        _: Timestamp,
        mut each: impl FnMut(u64, U),
    ) {
        let (Answered::Call(answer) | Answered::Fallback(answer)) = answer;
        each(number, answer);
    }

    fn result(&mut self, _: T, answer: U) -> U {
        answer
    }

    fn describe(&self) -> String {
        self.options.describe()
    }
}
