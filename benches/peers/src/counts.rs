//! The state of keyed-count behind one trait, and its general-purpose form, a hash map.

use crate::workloads::{Amount, Count, table_hash};
use hashbrown::HashTable;

/// A running count and sum per key.
pub trait Counts {
    /// A table that holds `keys` keys without growing.
    fn with_capacity(keys: u64) -> Self;

    /// Which of two cores owns a key, by the lowest bit.
    #[inline(always)]
    fn half(key: u64) -> u64 {
        key
    }

    /// Adds each record to its key and emits the key's new count and sum, in order.
    fn add_all(&mut self, records: &[Amount], emit: impl FnMut(Count));

    /// The sum over all keys.
    fn sum(&mut self) -> u64;
}

/// Hashbrown's table: what a programmer takes who does not write a table.
pub struct HashCounts {
    table: HashTable<Count>,
}

impl Counts for HashCounts {
    fn with_capacity(keys: u64) -> Self {
        Self { table: HashTable::with_capacity(keys as usize) }
    }

    #[inline]
    fn add_all(&mut self, records: &[Amount], mut emit: impl FnMut(Count)) {
        for record in records {
            let entry = self.table.entry(
                table_hash(record.key),
                |count| count.key == record.key,
                |count| table_hash(count.key),
            );
            let mut entry = entry.or_insert(Count { key: record.key, count: 0, sum: 0 });
            let count = entry.get_mut();
            count.count += 1;
            count.sum += record.amount;
            emit(*count);
        }
    }

    fn sum(&mut self) -> u64 {
        self.table.iter().map(|count| count.sum).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flat_table::{Any, Dense, FlatCounts};
    use crate::workloads::{Totals, amount};

    fn count_a_million<C: Counts>() {
        let mut counts = C::with_capacity(1_000_000);
        let mut totals = Totals::default();
        let records: Vec<Amount> = (0..1_000_000).map(|i| amount(i, 1_000_000)).collect();
        for block in records.chunks(1000) {
            counts.add_all(block, |count| totals.add(count.hash()));
        }
        assert_eq!(totals, Totals { outputs: 1_000_000, checksum: 0x085e_ce28_890a_a1b7 });
        assert_eq!(counts.sum(), 128_371_744);
    }

    #[test]
    fn hash_counts_give_the_published_checksum() {
        count_a_million::<HashCounts>();
    }

    #[test]
    fn flat_counts_give_the_published_checksum() {
        count_a_million::<FlatCounts<Dense>>();
        count_a_million::<FlatCounts<Any>>();
    }

    #[test]
    fn a_flat_table_of_a_few_keys_probes_around_its_end() {
        let mut counts = FlatCounts::<Dense>::with_capacity(3);
        let records: Vec<Amount> =
            (0..30).map(|i| Amount { key: i % 3 * 1_000_003, amount: 1 }).collect();
        let mut last = Count::default();
        counts.add_all(&records, |count| last = count);
        assert_eq!(last, Count { key: 2_000_006, count: 10, sum: 10 });
        assert_eq!(counts.sum(), 30);
    }
}
