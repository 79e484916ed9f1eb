//! The same computations as the jobs', one record after the other, with no engine.

use std::collections::BTreeMap;

use crate::input::{Input, Tick};

/// Count and sum of a key in a window of event time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Records.
    pub count: u64,
    /// Their amounts.
    pub amount: i128,
}

impl Sum {
    fn add(&mut self, tick: &Tick) {
        self.count += 1;
        self.amount += i128::from(tick.amount);
    }
}

/// A window of a key: when it ends, whose it is, when it starts. Sorted as ordered output is.
pub type Cell = (i64, u32, i64);

/// Windows of `size` that begin every `slide`.
pub fn sliding(input: &Input, size: i64, slide: i64) -> BTreeMap<Cell, Sum> {
    let mut windows: BTreeMap<Cell, Sum> = BTreeMap::new();
    for tick in input.ticks() {
        let mut start = tick.at.0.div_euclid(slide) * slide;
        while start > tick.at.0 - size {
            windows.entry((start + size, tick.key, start)).or_default().add(tick);
            start -= slide;
        }
    }
    windows
}

/// Sessions that a pause of more than `gap` ends.
pub fn sessions(input: &Input, gap: i64) -> BTreeMap<Cell, Sum> {
    let mut by_key: BTreeMap<u32, Vec<&Tick>> = BTreeMap::new();
    for tick in input.ticks() {
        by_key.entry(tick.key).or_default().push(tick);
    }
    let mut sessions = BTreeMap::new();
    for (key, mut ticks) in by_key {
        ticks.sort_by_key(|tick| tick.at);
        let mut open: Option<(i64, i64, Sum)> = None;
        for tick in ticks {
            match &mut open {
                Some((_, end, sum)) if tick.at.0 <= *end => {
                    *end = tick.at.0 + gap;
                    sum.add(tick);
                }
                _ => {
                    if let Some((start, end, sum)) = open.take() {
                        sessions.insert((end, key, start), sum);
                    }
                    let mut sum = Sum::default();
                    sum.add(tick);
                    open = Some((tick.at.0, tick.at.0 + gap, sum));
                }
            }
        }
        if let Some((start, end, sum)) = open {
            sessions.insert((end, key, start), sum);
        }
    }
    sessions
}

#[cfg(test)]
mod tests {
    use tailwater::{Span, Timestamp};

    use super::*;

    fn input(times: &[i64]) -> Input {
        let ticks = times.iter().enumerate().map(|(index, &at)| Tick {
            key: 0,
            split: 0,
            index: index as u32,
            at: Timestamp(at),
            amount: 1,
        });
        Input { splits: vec![ticks.collect()], disorder: Span(0) }
    }

    #[test]
    fn windows_of_negative_times() {
        let windows = sliding(&input(&[-1, 0]), 60, 60);
        assert_eq!(windows.keys().copied().collect::<Vec<_>>(), [(0, 0, -60), (60, 0, 0)]);
        let windows = sliding(&input(&[55]), 50, 20);
        assert_eq!(windows.keys().map(|cell| cell.2).collect::<Vec<_>>(), [20, 40]);
    }

    #[test]
    fn sessions_that_touch_are_one() {
        let found = sessions(&input(&[30, 0]), 30);
        assert_eq!(found[&(60, 0, 0)].count, 2);
        assert_eq!(sessions(&input(&[0, 31]), 30).len(), 2);
    }
}
