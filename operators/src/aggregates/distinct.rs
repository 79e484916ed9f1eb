//! How many different values there were.

use std::collections::HashSet;
use std::marker::PhantomData;

use rkyv::with::AsVec;
use rkyv::{Archive, Deserialize, Serialize};
use tailwater_core::{Describe, Key};

use crate::Aggregator;

by_closure! {
    /// See [`distinct`].
    Distinct {}
}

/// How many different values `of` gives: exact, and as large as the values are many.
pub fn distinct<T, V: Key, F>(of: F) -> Distinct<T, V, F>
where
    F: Fn(&T) -> V + Clone + Send + 'static,
{
    Distinct { of, types: PhantomData }
}

/// The values seen.
#[derive(Clone, Debug, Archive, Serialize, Deserialize, Describe)]
pub struct Seen<V: Key> {
    #[rkyv(with = AsVec)]
    #[describe(as = "Vec<V>")]
    values: HashSet<V>,
}

impl<T: 'static, V: Key, F> Aggregator<T> for Distinct<T, V, F>
where
    F: Fn(&T) -> V + Clone + Send + 'static,
{
    type Accumulator = Seen<V>;
    type Output = u64;

    fn create(&self) -> Seen<V> {
        Seen { values: HashSet::new() }
    }

    #[inline]
    fn add(&self, seen: &mut Seen<V>, record: &T) {
        seen.values.insert((self.of)(record));
    }

    fn merge(&self, seen: &mut Seen<V>, other: &Seen<V>) {
        for value in &other.values {
            if !seen.values.contains(value) {
                seen.values.insert(value.clone());
            }
        }
    }

    fn finish(&self, seen: &Seen<V>) -> u64 {
        seen.values.len() as u64
    }

    fn name(&self) -> String {
        "distinct".to_owned()
    }
}
