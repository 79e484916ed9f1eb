//! Merges neighbouring segments of a chain into one, in small steps, by the bytes of the keys.
//!
//! Each state is walked (`walk.rs`) and what holds is written, key groups in order. A segment that
//! is merged from a base on needs no tombstones; any other keeps them, for what is older.

use tailwater_core::{Error, Result};

use super::layout::SegmentHeader;
use super::manifest::{StateEntry, StateSort};
use super::segment_reader::Segment;
use super::segment_writer::{SegmentRef, SegmentWriter};
use super::stripes::Stripes;
use super::walk::{Scratch, Walk};
use crate::changes::{EVERY_GROUP, Frame, Payload};
use crate::store::CheckpointStore;

/// What a merge made, or that there is more to do.
pub(crate) enum Step {
    More(Box<Merge>),
    Done(SegmentRef),
}

/// A merge under way. Dropped, it never was.
pub(crate) struct Merge {
    /// The oldest first.
    inputs: Vec<Segment>,
    /// What is still to be merged.
    states: Vec<StateEntry>,
    output: SegmentWriter,
    /// The state that is being merged: the last one.
    state: Option<(Walk, Stripes)>,
    scratch: Scratch,
}

impl Merge {
    /// Begins to merge these segments, the oldest first, of a job whose newest checkpoint has these
    /// states; what others left in the segments is dropped, and values are.
    pub fn begin(
        store: &dyn CheckpointStore,
        name: String,
        inputs: &[SegmentRef],
        states: &[StateEntry],
    ) -> Result<Self> {
        let inputs = inputs.iter().map(|input| Segment::open(store, input));
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let (Some(oldest), Some(newest)) = (inputs.first(), inputs.last()) else {
            return Err(Error::internal("a merge needs segments"));
        };
        let header = SegmentHeader { last: newest.header.last, ..oldest.header.clone() };
        let tracked = states.iter().filter(|s| matches!(s.sort, StateSort::Tracked { .. }));
        let states = tracked.cloned().collect();
        let output = SegmentWriter::begin(store, name, header)?;
        Ok(Self { inputs, states, output, state: None, scratch: Scratch::default() })
    }

    /// Does some work: reads half a megabyte or one block, and writes what is left of it.
    pub fn step(mut self: Box<Self>) -> Result<Step> {
        let Some((walk, stripes)) = &mut self.state else {
            let Some(entry) = self.states.last() else {
                return Ok(Step::Done(self.output.finish()?));
            };
            let name = (entry.operator.as_str(), entry.state.as_str());
            let walk = Walk::begin(&self.inputs, name, entry.since, &mut self.scratch)?;
            let number = self.output.number_of(name.0, name.1)?;
            let mut stripes = Stripes::new(number, self.output.header().key_groups);
            if !self.output.header().is_full {
                write_ended(&walk, &mut stripes, &mut self.output)?;
            }
            self.state = Some((walk, stripes));
            return Ok(Step::More(self));
        };
        let is_full = self.output.header().is_full;
        let output = &mut self.output;
        let more =
            walk.step(&self.inputs, &mut self.scratch, &mut |frame, whole| match frame.payload {
                Payload::Upsert(_) => stripes.add_frame(&frame, whole, output),
                _ if is_full => Ok(()),
                _ => stripes.add_frame(&frame, whole, output),
            })?;
        if !more {
            stripes.flush(&mut self.output)?;
            self.state = None;
            self.states.pop();
        }
        Ok(Step::More(self))
    }
}

/// The namespaces that ended end in the merged segment too: before its upserts, which are later.
fn write_ended(walk: &Walk, stripes: &mut Stripes, output: &mut SegmentWriter) -> Result<()> {
    for (namespace, groups) in walk.ended() {
        let key = namespace.to_le_bytes();
        let payload = Payload::NamespaceTombstone(groups);
        let frame = Frame { group: EVERY_GROUP, key: &key, payload };
        let mut whole = Vec::new();
        frame.write(&mut whole);
        stripes.add_frame(&frame, &whole, output)?;
    }
    Ok(())
}
