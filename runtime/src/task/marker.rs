//! The output end's part of a deterministic merge: gives each record the origin that it is merged
//! by, and sends as few watermarks as will do.

use tailwater_core::{Control, Error, Timestamp};
use tailwater_network::Sender;

use super::lineage::Lineage;
use super::merging::Marked;

/// The rings that a task writes on one core, whose records say where they come from.
pub struct Marker<T> {
    senders: Vec<Sender<Marked<T>>>,
    lineage: Lineage,
    /// The last watermark of the chain: no later record has a place at or before it.
    told: Timestamp,
    /// The last that was sent. There is one before each record, and readers need them only as often
    /// as they look.
    sent: Timestamp,
}

impl<T> Marker<T> {
    /// Writes these rings.
    pub fn new(senders: Vec<Sender<Marked<T>>>, lineage: Lineage) -> Self {
        Self { senders, lineage, told: Timestamp::MIN, sent: Timestamp::MIN }
    }

    /// What the next records come from.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// Sends a record over ring number `ring`.
    ///
    /// # Errors
    /// As [`Lineage::next`].
    pub fn send(&mut self, ring: usize, at: Timestamp, value: T) -> Result<(), Error> {
        let origin = self.lineage.next(at, self.told)?;
        self.senders[ring].send(at, Marked { origin, value });
        Ok(())
    }

    /// Sends a record over all rings; the copies have one origin.
    ///
    /// # Errors
    /// As [`Lineage::next`].
    pub fn send_to_all(&mut self, at: Timestamp, value: T) -> Result<(), Error>
    where
        T: Clone,
    {
        let origin = self.lineage.next(at, self.told)?;
        for sender in &mut self.senders {
            sender.send(at, Marked { origin, value: value.clone() });
        }
        Ok(())
    }

    /// The chain has handed a watermark on.
    pub fn watermark(&mut self, watermark: Timestamp) {
        self.told = self.told.max(watermark);
    }

    /// Sends a control element behind the watermark.
    pub fn control(&mut self, control: Control) {
        self.send_watermark();
        self.senders.iter_mut().for_each(|sender| sender.control(control));
    }

    /// Whether no more than so many records wait for each ring.
    pub fn has_room(&self, overflow_max: usize) -> bool {
        self.senders.iter().all(|sender| sender.has_room(overflow_max))
    }

    /// Publishes everything that fits, the watermark with it; `true` when nothing is left.
    pub fn flush(&mut self) -> bool {
        self.send_watermark();
        self.senders.iter_mut().fold(true, |all, sender| all & sender.flush())
    }

    fn send_watermark(&mut self) {
        if self.told > self.sent {
            self.sent = self.told;
            let control = Control::Watermark(self.sent);
            self.senders.iter_mut().for_each(|sender| sender.control(control));
        }
    }
}
