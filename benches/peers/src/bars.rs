//! The windows of tick-vwap: a table of bars per open window, emitted when the watermark passes.

use crate::workloads::{Output, SYMBOLS, Tick, WINDOW_NS, table_hash};
use hashbrown::HashTable;

/// Keeps the start of a window that is not there away from every event time.
const NO_WINDOW: i64 = i64::MIN;

/// An accumulator; one cache line, so that an update touches one.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Bar {
    notional: i64,
    open: i64,
    close: i64,
    high: i64,
    low: i64,
    /// Event times of open and close, from the start of the window; `WINDOW_NS` fits 30 bits.
    open_offset_ns: u32,
    close_offset_ns: u32,
    /// A window of this workload holds at most 2^28.
    volume: u32,
    count: u32,
    symbol: u32,
}

impl Bar {
    #[inline(always)]
    fn new(tick: &Tick, offset_ns: u32) -> Self {
        Self {
            notional: tick.price * i64::from(tick.size),
            open: tick.price,
            close: tick.price,
            high: tick.price,
            low: tick.price,
            open_offset_ns: offset_ns,
            close_offset_ns: offset_ns,
            volume: tick.size,
            count: 1,
            symbol: tick.symbol,
        }
    }

    #[inline(always)]
    fn add(&mut self, tick: &Tick, offset_ns: u32) {
        if (offset_ns, tick.price) < (self.open_offset_ns, self.open) {
            (self.open_offset_ns, self.open) = (offset_ns, tick.price);
        }
        if (offset_ns, tick.price) > (self.close_offset_ns, self.close) {
            (self.close_offset_ns, self.close) = (offset_ns, tick.price);
        }
        self.high = self.high.max(tick.price);
        self.low = self.low.min(tick.price);
        self.notional += tick.price * i64::from(tick.size);
        self.volume += tick.size;
        self.count += 1;
    }

    fn output(&self, window_start: i64) -> Output {
        Output {
            symbol: u64::from(self.symbol),
            window: (window_start / WINDOW_NS) as u64,
            values: [
                self.open as u64,
                self.high as u64,
                self.low as u64,
                self.close as u64,
                (self.notional / i64::from(self.volume)) as u64,
                u64::from(self.volume),
                u64::from(self.count),
            ],
        }
    }
}

struct Window {
    start: i64,
    bars: HashTable<Bar>,
}

impl Window {
    fn end(&self) -> i64 {
        self.start.saturating_add(WINDOW_NS)
    }

    /// Returns the count of the bar after the tick.
    #[inline(always)]
    fn add(&mut self, tick: &Tick, offset_ns: u32) -> u32 {
        let hash = table_hash(u64::from(tick.symbol));
        match self.bars.find_mut(hash, |bar| bar.symbol == tick.symbol) {
            Some(bar) => {
                bar.add(tick, offset_ns);
                bar.count
            }
            None => {
                let rehash = |bar: &Bar| table_hash(u64::from(bar.symbol));
                self.bars.insert_unique(hash, Bar::new(tick, offset_ns), rehash);
                1
            }
        }
    }
}

/// The open windows of the symbols that one core owns.
pub struct Windows {
    /// The window of the last tick: ticks are nearly in order, so it is almost always the next's.
    current: Window,
    others: Vec<Window>,
    /// Tables of closed windows, kept for their capacity.
    spare: Vec<HashTable<Bar>>,
    symbols: usize,
    /// The least end of an open window.
    next_end: i64,
}

impl Windows {
    /// Windows over the share of the symbols that one of `cores` cores owns.
    pub fn new(cores: u64) -> Self {
        let symbols = SYMBOLS.div_ceil(cores) as usize;
        // Event time keeps at most two windows open at once on a core that is not far ahead.
        let spare = (0..2).map(|_| HashTable::with_capacity(symbols)).collect();
        Self {
            current: Window { start: NO_WINDOW, bars: HashTable::new() },
            others: Vec::new(),
            spare,
            symbols,
            next_end: i64::MAX,
        }
    }

    /// Adds a tick to its bar and returns how many ticks the bar holds.
    #[inline(always)]
    pub fn add(&mut self, tick: &Tick) -> u32 {
        let mut offset_ns = tick.ts.wrapping_sub(self.current.start) as u64;
        if offset_ns >= WINDOW_NS as u64 {
            self.switch_to(tick.ts - tick.ts.rem_euclid(WINDOW_NS));
            offset_ns = (tick.ts - self.current.start) as u64;
        }
        self.current.add(tick, offset_ns as u32)
    }

    #[cold]
    #[inline(never)]
    fn switch_to(&mut self, start: i64) {
        let position = self.others.iter().position(|window| window.start == start);
        let next = match position {
            Some(position) => self.others.swap_remove(position),
            None => {
                let symbols = self.symbols;
                let bars = self.spare.pop().unwrap_or_else(|| HashTable::with_capacity(symbols));
                Window { start, bars }
            }
        };
        let last = std::mem::replace(&mut self.current, next);
        if last.start != NO_WINDOW {
            self.others.push(last);
        }
        self.next_end = self.next_end.min(self.current.end());
    }

    /// Emits the bars of every window whose last nanosecond the watermark has reached; the end of
    /// the input is the watermark `i64::MAX`.
    #[inline]
    pub fn advance(&mut self, watermark: i64, emit: impl FnMut(Output)) {
        if watermark >= self.next_end - 1 {
            self.close(watermark, emit);
        }
    }

    #[cold]
    #[inline(never)]
    fn close(&mut self, watermark: i64, mut emit: impl FnMut(Output)) {
        if self.current.start != NO_WINDOW {
            let empty = Window { start: NO_WINDOW, bars: HashTable::new() };
            self.others.push(std::mem::replace(&mut self.current, empty));
        }
        let mut position = 0;
        while position < self.others.len() {
            if watermark < self.others[position].end() - 1 {
                position += 1;
                continue;
            }
            let mut window = self.others.swap_remove(position);
            for bar in &window.bars {
                emit(bar.output(window.start));
            }
            window.bars.clear();
            self.spare.push(window.bars);
        }
        self.next_end = self.others.iter().map(Window::end).min().unwrap_or(i64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::{Totals, tick, watermark_after};

    #[test]
    fn windows_closed_as_the_watermark_passes_give_the_published_checksum() {
        let mut windows = Windows::new(1);
        let mut totals = Totals::default();
        for i in 0..1_000_000 {
            windows.add(&tick(i));
            windows.advance(watermark_after(i), |output| totals.add(output.hash()));
        }
        assert_eq!(totals.outputs, 496, "the first window closes before the end");
        windows.advance(i64::MAX, |output| totals.add(output.hash()));
        let expected = Totals { outputs: 10_496, checksum: 0x5ee9_c260_8541_492e };
        assert_eq!(totals, expected);
    }
}
