//! Quantiles with a bounded relative error, from a sketch of logarithmic bins.

use std::marker::PhantomData;

use rkyv::rancor::{Fallible, Source};
use rkyv::ser::{Allocator, Writer};
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::with::{ArchiveWith, DeserializeWith, SerializeWith};
use rkyv::{Archive, Deserialize, Place, Serialize};
use sketches_ddsketch::{Config, DDSketch};
use tailwater_core::{Describe, Error, Result};

use crate::Aggregator;

/// A quantile is at most so much above or below a value of its rank, as a share of that value.
pub const RELATIVE_ERROR: f64 = 0.01;

by_closure! {
    /// See [`quantile`].
    Quantile { q: f64 }
}

/// The `q`-quantile of what `of` gives, within one percent of the value; `None` of no records. What
/// is infinite or no number is left out; below 10^-9 either way counts as zero.
///
/// # Errors
/// When `q` is not between 0 and 1.
pub fn quantile<T, F>(q: f64, of: F) -> Result<Quantile<T, f64, F>>
where
    F: Fn(&T) -> f64 + Clone + Send + 'static,
{
    if !(0.0..=1.0).contains(&q) {
        return Err(Error::configuration(format!("a quantile lies between 0 and 1, not at {q}")));
    }
    Ok(Quantile { q, of, types: PhantomData })
}

/// The bins that the values fell into.
#[derive(Clone, Archive, Serialize, Deserialize, Describe)]
pub struct Sketch {
    #[rkyv(with = AsBytes)]
    #[describe(as = "Vec<u8>")]
    bins: DDSketch,
}

/// Only the error is chosen: the number of bins and the least value are fixed by the encoding.
fn empty() -> DDSketch {
    let defaults = Config::defaults();
    let least = defaults.min_possible();
    DDSketch::new(Config::new(RELATIVE_ERROR, defaults.max_num_bins, least))
}

/// Archives a sketch in the portable encoding of its family.
struct AsBytes;

impl ArchiveWith<DDSketch> for AsBytes {
    type Archived = ArchivedVec<u8>;
    type Resolver = (VecResolver, usize);

    fn resolve_with(_: &DDSketch, (resolver, len): Self::Resolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_len(len, resolver, out);
    }
}

impl<S> SerializeWith<DDSketch, S> for AsBytes
where
    S: Fallible + Allocator + Writer + ?Sized,
{
    fn serialize_with(
        sketch: &DDSketch,
        serializer: &mut S,
    ) -> std::result::Result<Self::Resolver, S::Error> {
        let bytes = sketch.to_java_bytes();
        Ok((ArchivedVec::serialize_from_slice(&bytes, serializer)?, bytes.len()))
    }
}

impl<D> DeserializeWith<ArchivedVec<u8>, DDSketch, D> for AsBytes
where
    D: Fallible<Error: Source> + ?Sized,
{
    fn deserialize_with(
        bytes: &ArchivedVec<u8>,
        _: &mut D,
    ) -> std::result::Result<DDSketch, D::Error> {
        let decoded = DDSketch::from_java_bytes(bytes).map_err(D::Error::new)?;
        // Refuses the bins of another error here rather than at the first merge.
        let mut sketch = empty();
        sketch.merge(&decoded).map_err(D::Error::new)?;
        Ok(sketch)
    }
}

impl<T: 'static, F> Aggregator<T> for Quantile<T, f64, F>
where
    F: Fn(&T) -> f64 + Clone + Send + 'static,
{
    type Accumulator = Sketch;
    type Output = Option<f64>;

    fn create(&self) -> Sketch {
        Sketch { bins: empty() }
    }

    #[inline]
    fn add(&self, sketch: &mut Sketch, record: &T) {
        let value = (self.of)(record);
        if value.is_finite() {
            sketch.bins.add(value);
        }
    }

    fn merge(&self, sketch: &mut Sketch, other: &Sketch) {
        let merged = sketch.bins.merge(&other.bins);
        assert!(merged.is_ok(), "all sketches of an aggregator have the same bins");
    }

    fn finish(&self, sketch: &Sketch) -> Option<f64> {
        sketch.bins.quantile(self.q).ok().flatten()
    }

    fn name(&self) -> String {
        format!("quantile {}", self.q)
    }
}
