//! A part of what is sorted: rows in blocks as they come, and then by hash, time and arrival.
//!
//! ```text
//! Part        | 4 rows | 8 | .. | a block | a block |      a row never moves while more come
//! load   -->  SortedPart: heads, values beside them, and the order of both --> take
//! ```

use tailwater_core::{Error, Result, Stamped};

use super::order::Sorting;
use super::{Head, Row};
use crate::arena::{Block, Blocks};
use crate::prefetch::prefetch_line;

/// The most bytes of a block, unless one row is larger: what a part has and does not use is less.
const BLOCK_BYTES: usize = 4 << 10;
/// Rows of the first block of a part.
const FIRST_ROWS: u32 = 4;

/// Rows of some keys, in order of arrival.
#[derive(Debug)]
pub(super) struct Part<T> {
    full: Vec<Block<Row<T>>>,
    last: Block<Row<T>>,
}

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self { full: Vec::new(), last: Block::default() }
    }
}

impl<T> Part<T> {
    /// Takes a row in; how many bytes of memory it has got for that.
    ///
    /// # Errors
    /// When there is no memory.
    #[inline(always)]
    pub(super) fn push(&mut self, row: Row<T>, blocks: &mut Blocks) -> Result<u64> {
        let is_full = self.last.len() == self.last.len_max();
        let bytes = if is_full { self.grow(blocks)? } else { 0 };
        self.last.push(row);
        // What comes next for this part comes after many for others.
        prefetch_line(self.last.end().cast());
        Ok(bytes)
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, blocks: &mut Blocks) -> Result<u64> {
        let rows = match self.last.len_max() {
            0 => FIRST_ROWS,
            last => 2 * last,
        };
        let rows = rows.min((BLOCK_BYTES / size_of::<Row<T>>()).max(1) as u32);
        let block = blocks.block(rows).ok_or_else(|| {
            Error::configuration("the machine has no memory for sorting: allow it less")
        })?;
        let full = std::mem::replace(&mut self.last, block);
        if full.len() > 0 {
            self.full.push(full);
        }
        Ok(u64::from(rows) * size_of::<Row<T>>() as u64)
    }
}

/// The rows of a part by hash, time and arrival, to be handed out; keeps its memory for the next.
#[derive(Debug)]
pub(super) struct SortedPart<T> {
    heads: Vec<Head>,
    /// Each is there until it is handed out.
    values: Vec<Option<T>>,
    sorting: Sorting,
    /// The next of `sorting`'s order.
    next: usize,
}

impl<T> Default for SortedPart<T> {
    fn default() -> Self {
        let (heads, values) = (Vec::new(), Vec::new());
        Self { heads, values, sorting: Sorting::default(), next: 0 }
    }
}

impl<T> SortedPart<T> {
    /// Whether all has been handed out.
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.heads.len()
    }

    /// Takes another part, when all of the one before has been handed out.
    pub(super) fn load(&mut self, part: Part<T>) {
        let Self { heads, values, sorting, next } = self;
        heads.clear();
        values.clear();
        let mut blocks = part.full;
        blocks.push(part.last);
        for index in 0..blocks.len() {
            if let Some(next) = blocks.get(index + 1) {
                next.prefetch();
            }
            let block = &mut blocks[index];
            heads.reserve(block.len() as usize);
            values.reserve(block.len() as usize);
            block.drain(|Row { head, value }| {
                heads.push(head);
                values.push(Some(value));
            });
        }
        sorting.sort(heads);
        *next = 0;
    }

    /// The next record.
    pub(super) fn next(&mut self) -> Option<(Head, T)> {
        let row = *self.sorting.order().get(self.next)? as usize;
        self.next += 1;
        Some((self.heads[row], taken(&mut self.values[row])))
    }

    /// Appends up to `limit` records of the next key; whether there are more of it. There must be
    /// one.
    pub(super) fn take(&mut self, limit: usize, batch: &mut Vec<Stamped<T>>) -> bool {
        let Self { heads, values, sorting, next } = self;
        let ahead = &sorting.order()[*next..];
        let hash = heads[ahead[0] as usize].hash;
        let of_key = |row: &&u32| heads[**row as usize].hash == hash;
        let count = ahead.iter().take(limit).take_while(of_key).count();
        batch.extend(ahead[..count].iter().map(|row| {
            let row = *row as usize;
            Stamped { at: heads[row].at, value: taken(&mut values[row]) }
        }));
        *next += count;
        ahead.get(count).is_some_and(|row| of_key(&row))
    }
}

fn taken<T>(value: &mut Option<T>) -> T {
    value.take().expect("each row is handed out once")
}
