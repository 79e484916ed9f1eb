//! A mesh: channels from cores that write to cores that read.

use crate::{Receiver, Sender, channel};

/// One core's ends of a mesh.
#[derive(Debug)]
pub struct Ends<T> {
    /// To each reading core that it is joined with, in order.
    pub senders: Vec<Sender<T>>,
    /// From each writing core that it is joined with, in order; empty on a core that does not read.
    pub receivers: Vec<Receiver<T>>,
}

/// Channels from `writers` cores to `readers` cores (the first ones), each holding `capacity`
/// records. The ring from a core to itself is smaller: what it holds should stay in the core's
/// first cache.
pub fn mesh<T>(writers: usize, readers: usize, capacity: usize) -> Vec<Ends<T>> {
    mesh_of(writers, readers, capacity, |_, _| true)
}

/// The channels of a [`mesh`] from a writer to a reader that are `joined`, and no others.
pub fn mesh_of<T>(
    writers: usize,
    readers: usize,
    capacity: usize,
    joined: impl Fn(usize, usize) -> bool,
) -> Vec<Ends<T>> {
    let cores = writers.max(readers);
    let mut ends: Vec<_> =
        (0..cores).map(|_| Ends { senders: Vec::new(), receivers: Vec::new() }).collect();
    for writer in 0..writers {
        for reader in (0..readers).filter(|reader| joined(writer, *reader)) {
            let own = writer == reader;
            let capacity = if own { capacity.min(OWN_CAPACITY_MAX) } else { capacity };
            let (sender, receiver) = channel(capacity);
            ends[writer].senders.push(sender);
            ends[reader].receivers.push(receiver);
        }
    }
    ends
}

/// The most records in a core's ring to itself: two batches of the largest size.
const OWN_CAPACITY_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Polled;
    use tailwater_core::Timestamp;

    #[test]
    fn every_writer_reaches_every_reader() {
        let mut ends = mesh::<(usize, usize)>(3, 2, 4);
        for (writer, ends) in ends.iter_mut().enumerate() {
            for (reader, sender) in ends.senders.iter_mut().enumerate() {
                sender.send(Timestamp(0), (writer, reader));
                assert!(sender.flush());
            }
        }
        for (reader, ends) in ends.iter_mut().enumerate() {
            assert_eq!(ends.receivers.len(), if reader < 2 { 3 } else { 0 });
            for (writer, receiver) in ends.receivers.iter_mut().enumerate() {
                let mut batch = Vec::new();
                assert_eq!(receiver.poll(9, &mut batch), Polled::Records(1));
                assert_eq!(batch[0].value, (writer, reader));
            }
        }
    }
}
