//! An operator that changes nothing and sees everything: watermarks never go back, and nothing
//! comes after the end.

use std::marker::PhantomData;
use std::sync::Arc;

use tailwater::operators::{Collect, Description, Operator, OperatorContext};
use tailwater::{Result, Timestamp};

use crate::world::World;

/// Watches one place of a job on each core.
pub struct Probe<T> {
    place: &'static str,
    world: Arc<World>,
    core: u32,
    watermark: Timestamp,
    ended: bool,
    types: PhantomData<fn(T)>,
}

impl<T> Probe<T> {
    /// Watches here.
    pub fn new(place: &'static str, world: &Arc<World>) -> Self {
        Self {
            place,
            world: world.clone(),
            core: 0,
            watermark: Timestamp::MIN,
            ended: false,
            types: PhantomData,
        }
    }
}

impl<T> Clone for Probe<T> {
    fn clone(&self) -> Self {
        Self::new(self.place, &self.world)
    }
}

impl<T: 'static> Operator for Probe<T> {
    type In = T;
    type Out = T;

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.core = context.core;
        Ok(())
    }

    fn on_record(&mut self, at: Timestamp, value: T, out: &mut impl Collect<T>) {
        self.world.trace.event(self.place, &[u64::from(self.core), at.0 as u64]);
        if self.ended {
            self.world.violate(format!("a record came to `{}` after the end", self.place));
        }
        self.world.maybe_panic();
        out.record(at, value);
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut impl Collect<T>) {
        self.world.trace.event("watermark", &[u64::from(self.core), watermark.0 as u64]);
        if watermark <= self.watermark && self.watermark != Timestamp::MIN {
            self.world.violate(format!(
                "the watermark at `{}` on core {} went from {} to {watermark}",
                self.place, self.core, self.watermark
            ));
        }
        self.watermark = watermark;
        out.watermark(watermark);
    }

    fn on_end(&mut self, _: &mut impl Collect<T>) {
        self.ended = true;
    }

    fn describe(&self, _: &mut Vec<Description>) {}
}
