//! Panes: slices of event time in order, each with its own table, whose slots are used again and
//! again.

use crate::Table;

/// Tables of dropped panes that are kept for new ones. A watermark that jumps drops many panes at
/// once; what is beyond this is given back.
const SPARES_MAX: usize = 64;

/// A slice of event time.
pub struct Pane<K, V> {
    /// Where it lies on the grid of panes; grows with time.
    pub ordinal: i64,
    /// What it holds for each key.
    pub table: Table<K, V>,
}

/// The panes that hold something, in order of time.
pub struct Panes<K, V> {
    live: Vec<Pane<K, V>>,
    spare: Vec<Table<K, V>>,
}

impl<K, V> Default for Panes<K, V> {
    fn default() -> Self {
        Self { live: Vec::new(), spare: Vec::new() }
    }
}

impl<K, V> Panes<K, V> {
    /// All panes in order.
    #[inline]
    pub fn all(&self) -> &[Pane<K, V>] {
        &self.live
    }

    /// The table of the pane at `index` of [`all`](Panes::all).
    #[inline]
    pub fn table_mut(&mut self, index: usize) -> &mut Table<K, V> {
        &mut self.live[index].table
    }

    /// As [`table_mut`](Panes::table_mut), or `None` where there are fewer panes.
    #[inline]
    pub fn table_at_mut(&mut self, index: usize) -> Option<&mut Table<K, V>> {
        self.live.get_mut(index).map(|pane| &mut pane.table)
    }

    /// How many panes lie before `ordinal`: the index of its pane, if there is one.
    #[inline]
    pub fn index_of(&self, ordinal: i64) -> usize {
        self.live.partition_point(|pane| pane.ordinal < ordinal)
    }

    /// The pane at `ordinal`.
    #[inline]
    pub fn get(&self, ordinal: i64) -> Option<&Pane<K, V>> {
        self.live.get(self.index_of(ordinal)).filter(|pane| pane.ordinal == ordinal)
    }

    /// The panes from `first` to `last`, both included.
    pub fn range(&self, first: i64, last: i64) -> &[Pane<K, V>] {
        let from = self.index_of(first);
        let count = self.live[from..].partition_point(|pane| pane.ordinal <= last);
        &self.live[from..from + count]
    }

    /// The index of the pane at `ordinal`, which is made where there is none.
    pub fn get_or_create(&mut self, ordinal: i64) -> usize {
        let index = self.index_of(ordinal);
        if self.live.get(index).is_none_or(|pane| pane.ordinal != ordinal) {
            let table = self.spare.pop().unwrap_or_default();
            self.live.insert(index, Pane { ordinal, table });
        }
        index
    }

    /// Drops the `count` oldest panes.
    pub fn drop_oldest(&mut self, count: usize) {
        for mut pane in self.live.drain(..count) {
            if self.spare.len() < SPARES_MAX {
                pane.table.clear();
                self.spare.push(pane.table);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panes_stay_in_order_and_their_slots_are_used_again() {
        let mut panes = Panes::<u8, u8>::default();
        for ordinal in [5, -3, 9, 5] {
            let index = panes.get_or_create(ordinal);
            panes.table_mut(index).get_or_insert_with(0, 1, || 2);
        }
        let ordinals = |panes: &[Pane<u8, u8>]| panes.iter().map(|p| p.ordinal).collect::<Vec<_>>();
        assert_eq!(ordinals(panes.all()), [-3, 5, 9]);
        assert_eq!(ordinals(panes.range(-2, 9)), [5, 9]);
        assert_eq!(ordinals(panes.range(6, 8)), [0; 0]);
        assert!(panes.get(4).is_none() && panes.get(9).is_some());
        panes.drop_oldest(2);
        let index = panes.get_or_create(10);
        assert_eq!(index, 1);
        assert!(panes.all()[index].table.is_empty());
        assert!(panes.all()[index].table.slot_bytes() > 0);
    }
}
