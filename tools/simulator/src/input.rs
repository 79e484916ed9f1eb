//! What the jobs of the simulator read: a few splits of small records, drawn from a seed.

use tailwater::prelude::*;
use tailwater_core::Random;

/// Nanoseconds of event time from one record of a split to the next, on average.
pub const STEP: i64 = 1_000;

/// A record of a job's input.
#[record]
#[derive(Copy, PartialEq, Eq)]
pub struct Tick {
    /// Whose it is.
    pub key: u32,
    /// Where it comes from.
    pub split: u32,
    /// Its place there.
    pub index: u32,
    /// Its event time.
    pub at: Timestamp,
    /// Something to add up.
    pub amount: i64,
}

/// How records find their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Every split has every key: the order of a key's records is anybody's guess.
    Shared,
    /// The splits share no key: a key's records keep their order.
    OfOneSplit,
    /// The same, with so few keys and so many records that a key has some in every checkpoint of a
    /// long chain.
    FewOfOneSplit,
}

/// The input of one run.
#[derive(Clone, Debug)]
pub struct Input {
    /// The records of each split.
    pub splits: Vec<Vec<Tick>>,
    /// How far the times of a split's records are out of order, at most.
    pub disorder: Span,
}

impl Input {
    /// Draws an input.
    pub fn draw(random: &mut Random, keys: Keys) -> Self {
        let splits = 1 + random.below(4) as u32;
        let key_count_max = match keys {
            Keys::FewOfOneSplit => 8,
            _ if random.chance(1, 3) => 200,
            _ => 24,
        };
        let key_count = 1 + random.below(key_count_max) as u32;
        let disorder = if random.chance(1, 4) { 0 } else { random.below(30) as i64 * STEP };
        let longest = match keys {
            Keys::FewOfOneSplit => 200 + random.below(800),
            // Long enough for more results at once than fit anywhere.
            _ if random.chance(1, 8) => 200 + random.below(800),
            _ => 40 + random.below(160),
        };
        let of_split = |split, random: &mut Random| {
            let count = 1 + random.below(longest) as u32;
            let tick = |index, random: &mut Random| {
                // The lower of two draws: some keys are busier than others.
                let key = random.below(u64::from(key_count)).min(random.below(key_count.into()));
                let key = match keys {
                    Keys::Shared => key as u32,
                    _ => key as u32 * splits + split,
                };
                let early = random.below(disorder as u64 + 1) as i64;
                let at = i64::from(index) * STEP + random.below(STEP as u64) as i64 - early;
                let amount = random.below(2_000) as i64 - 500;
                Tick { key, split, index, at: Timestamp(at), amount }
            };
            (0..count).map(|index| tick(index, random)).collect()
        };
        let splits = (0..splits).map(|split| of_split(split, random)).collect();
        // A time within its step may be ahead of its place by less than one step.
        Self { splits, disorder: Span(disorder + STEP) }
    }

    /// All records, split by split.
    pub fn ticks(&self) -> impl Iterator<Item = &Tick> {
        self.splits.iter().flatten()
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        self.splits.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_is_later_than_the_disorder_allows() {
        for seed in 0..200 {
            let input = Input::draw(&mut Random::from_seed(seed), Keys::Shared);
            for split in &input.splits {
                let mut newest = Timestamp::MIN;
                for tick in split {
                    assert!(newest == Timestamp::MIN || tick.at >= newest - input.disorder);
                    newest = newest.max(tick.at);
                }
            }
        }
    }

    #[test]
    fn keys_of_one_split_are_not_shared() {
        let input = Input::draw(&mut Random::from_seed(3), Keys::OfOneSplit);
        let splits = input.splits.len() as u32;
        assert!(input.ticks().all(|tick| tick.key % splits == tick.split));
    }
}
