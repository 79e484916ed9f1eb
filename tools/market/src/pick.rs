//! Picks symbols with skewed activity in constant time: Walker's alias method, on integers.

/// Picks an index with a probability in proportion to its weight.
#[derive(Debug)]
pub(crate) struct Pick {
    /// For each column the share of it that is its own, in 2^-64, and whose the rest is.
    columns: Vec<(u64, u32)>,
}

/// The weight of the symbol at `rank` (from 0): Zipf's law, scaled so that the rarest still counts.
pub(crate) fn zipf(rank: u32) -> u64 {
    (1 << 32) / (u64::from(rank) + 1)
}

impl Pick {
    /// Picks among `weights`, of which there must be at least one, none zero, their sum below 2^48.
    pub(crate) fn new(weights: &[u64]) -> Self {
        let total: u64 = weights.iter().sum();
        let count = weights.len() as u64;
        // Scaled so that a full column holds `total`.
        let mut left: Vec<u128> =
            weights.iter().map(|&w| u128::from(w) * u128::from(count)).collect();
        let full = u128::from(total);
        let mut columns: Vec<(u64, u32)> =
            (0..weights.len() as u32).map(|i| (u64::MAX, i)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..left.len()).partition(|&index| left[index] < full);
        while let (Some(&poor), Some(&rich)) = (small.last(), large.last()) {
            small.pop();
            columns[poor] = (((left[poor] << 64) / full) as u64, rich as u32);
            left[rich] -= full - left[poor];
            if left[rich] < full {
                large.pop();
                small.push(rich);
            }
        }
        Self { columns }
    }

    /// The index that 64 random bits pick.
    #[inline]
    pub(crate) fn index(&self, random: u64) -> usize {
        let product = u128::from(random) * self.columns.len() as u128;
        let column = (product >> 64) as usize;
        let (own, other) = self.columns[column];
        if product as u64 <= own { column } else { other as usize }
    }
}

#[cfg(test)]
mod tests {
    use tailwater_core::Random;

    use super::*;

    #[test]
    fn picks_in_proportion_to_weights() {
        let weights: Vec<u64> = (0..10).map(zipf).collect();
        let pick = Pick::new(&weights);
        let (mut random, mut counts) = (Random::from_seed(7), [0_u64; 10]);
        for _ in 0..1_000_000 {
            counts[pick.index(random.next_u64())] += 1;
        }
        let total: u64 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(&weights) {
            let expected = 1_000_000 * weight / total;
            assert!(count.abs_diff(expected) < 2_000, "{count} picks, expected {expected}");
        }
    }

    #[test]
    fn one_weight_is_always_picked() {
        let pick = Pick::new(&[17]);
        assert_eq!((pick.index(0), pick.index(u64::MAX)), (0, 0));
    }
}
