//! Which segments of a chain to merge next, and when to begin it anew: pure functions.

use std::ops::Range;

use crate::changes::Changes;

/// A chain never has more segments: each is a file that a restore opens and an index that it holds,
/// and entries in it may be old, so that a restore reads more than there is. Sixteen opened files
/// cost a restore less than a millisecond.
pub const CHAIN_MAX: usize = 16;
/// From this length on deltas are merged with each other. It leaves a merge the time of a few
/// checkpoints before [`CHAIN_MAX`] would make a checkpoint wait for it.
const MERGE_AT: usize = 11;
/// A merge takes so many deltas at least: fewer would write the same bytes again too often.
const DELTAS_MIN: usize = 4;
/// A new base is not made from fewer segments, so that small states are not written all the time.
const BASE_MIN: usize = 4;

const _: () = assert!(MERGE_AT < CHAIN_MAX && DELTAS_MIN < MERGE_AT && BASE_MIN < MERGE_AT);

/// A full checkpoint follows a delta that has this part of the bytes of the base.
const FULL_FROM: (u64, u64) = (2, 3);
/// It does so only for a base of so many bytes: smaller ones are merged and read in no time.
const FULL_BYTES_MIN: u64 = 4 << 20;

/// Whether the next checkpoint had better be full, by the lengths of a chain: its newest delta has
/// nearly as many bytes as its base. Full ones then cost hardly more, a chain that begins anew need
/// not be merged, and a restore reads each key once. After one that `paid` it pays again as long as
/// its `changes` would have made such a delta.
pub fn full_pays(lens: &[u64], paid: bool, changes: Changes) -> bool {
    match lens {
        [base, .., delta] => is_large(*base, *delta),
        [base] => paid && *base >= FULL_BYTES_MIN && are_most(changes),
        [] => false,
    }
}

/// Whether a delta has nearly as many bytes as its base.
fn is_large(base: u64, delta: u64) -> bool {
    base >= FULL_BYTES_MIN && delta / FULL_FROM.0 >= base / FULL_FROM.1
}

/// Whether so much changed that a delta of it would be large.
fn are_most(Changes { changed, entries }: Changes) -> bool {
    entries > 0 && changed as u64 / FULL_FROM.0 >= entries as u64 / FULL_FROM.1
}

/// The segments to merge next, of a chain whose first is full, by their lengths in bytes; `None`
/// while the chain is good as it is.
///
/// * All of them, once the deltas have as many bytes as the base: a restore reads at most about
///   twice what there is, and each changed byte is written once more for it.
/// * Else, in a long chain, the newest run of deltas of like size: each is at most half as large
///   again as all that are newer. So the older of two deltas is the larger, and a byte is written
///   again only when what it lies in has doubled, about.
pub fn plan(lens: &[u64]) -> Option<Range<usize>> {
    let count = lens.len();
    let (base, deltas) = lens.split_first()?;
    if count >= BASE_MIN && deltas.iter().sum::<u64>() >= *base {
        return Some(0..count);
    }
    if count < MERGE_AT {
        return None;
    }
    let like_sizes = (DELTAS_MIN + 1..=count).rev().map(|end| run_before(lens, end));
    let mut runs = like_sizes.filter(|run| run.len() >= DELTAS_MIN);
    runs.next().or_else(|| cheapest(lens))
}

/// The longest run of deltas of like size that ends before `end`.
fn run_before(lens: &[u64], end: usize) -> Range<usize> {
    let (mut first, mut bytes) = (end - 1, lens[end - 1]);
    while first > 1 && 2 * u128::from(lens[first - 1]) <= 3 * u128::from(bytes) {
        first -= 1;
        bytes += lens[first];
    }
    first..end
}

/// The run of deltas that takes the fewest bytes for each segment that it saves.
fn cheapest(lens: &[u64]) -> Option<Range<usize>> {
    let ends = |first: usize| first + DELTAS_MIN..=lens.len();
    let runs = (1..lens.len()).flat_map(|first| ends(first).map(move |end| first..end));
    let cost = |run: &Range<usize>| {
        let bytes: u64 = lens[run.clone()].iter().sum();
        (u128::from(bytes), run.len() as u128 - 1)
    };
    // Fractions, compared without dividing.
    runs.min_by(|a, b| {
        let ((bytes_a, saved_a), (bytes_b, saved_b)) = (cost(a), cost(b));
        (bytes_a * saved_b).cmp(&(bytes_b * saved_a))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Appends deltas and merges as planned, at once; the longest chain, and the bytes that merges
    /// wrote for a byte of deltas.
    fn run(base: u64, deltas: impl Iterator<Item = u64>) -> (usize, f64) {
        let mut chain = vec![base];
        let (mut longest, mut appended, mut merged) = (1, 0, 0);
        for delta in deltas {
            chain.push(delta);
            appended += delta;
            longest = longest.max(chain.len());
            while let Some(range) = plan(&chain) {
                // Nothing that is changed twice: the worst case but for a base, which stays.
                let bytes: u64 = match range.start {
                    0 => base,
                    _ => chain[range.clone()].iter().sum(),
                };
                merged += bytes;
                chain.splice(range, [bytes]);
                if chain.len() == 1 {
                    break;
                }
            }
        }
        (longest, merged as f64 / appended as f64)
    }

    #[test]
    fn full_ones_follow_large_deltas_and_each_other_while_all_changes() {
        let base = FULL_BYTES_MIN;
        let none = Changes::default();
        let pays = |lens: &[u64]| full_pays(lens, false, none);
        assert!(!pays(&[]) && !pays(&[base]));
        assert!(pays(&[base, base]) && pays(&[base, 1, base / 3 * 2 + 2]));
        assert!(!pays(&[base, base, base / 2]) && !pays(&[base - 1, base]));

        let most = Changes { changed: 70, entries: 100 };
        assert!(full_pays(&[base], true, most));
        assert!(!full_pays(&[base], true, Changes { changed: 60, entries: 100 }));
        // Nothing is known of what changed, or all is new since there was nothing before.
        assert!(!full_pays(&[base], true, none) && !full_pays(&[base], false, most));
        assert!(!full_pays(&[base - 1], true, most) && !full_pays(&[], true, most));
        assert!(!full_pays(&[base, base / 2], true, most), "the bytes say more");
    }

    #[test]
    fn chains_stay_short_and_little_is_written_twice() {
        for (base, delta) in [(480, 48), (480, 480), (480, 5), (1_000_000, 5), (0, 10), (10, 0)] {
            let (longest, amplification) = run(base, std::iter::repeat_n(delta, 5_000));
            assert!(longest <= MERGE_AT, "{base} {delta}: {longest} segments");
            if delta > 0 {
                assert!(amplification < 8.0, "{base} {delta}: {amplification}");
            }
        }
        let (_, amplification) = run(480, std::iter::repeat_n(48, 5_000));
        assert!(amplification <= 1.05, "a base for as many bytes of deltas: {amplification}");
    }

    proptest! {
        #[test]
        fn any_chain_can_be_made_short(lens in prop::collection::vec(0..1_000_000u64, 1..40)) {
            let mut chain = lens;
            while let Some(range) = plan(&chain) {
                prop_assert!(range.len() >= DELTAS_MIN && range.end <= chain.len());
                let bytes = chain[range.clone()].iter().sum();
                chain.splice(range, [bytes]);
            }
            prop_assert!(chain.len() < MERGE_AT);
        }
    }
}
