//! Inputs that are owed a result, and the watermarks among them, until both go out in their order.
//!
//! ```text
//!             gone: unordered ones leave before their turn     beyond the capacity: not asked for
//!               v                                                v
//! first ->  r0 [ ] r2 | w5 | r4 r5 | w9 | r7 r8   next ->  | w12 | r10 ..
//!           '-- set --'      results of one set may change places; a watermark waits for its set
//! ```

use std::collections::VecDeque;

use tailwater_core::Timestamp;

use super::ResultOrder;

/// The entries are numbered in the order in which they came.
pub(super) struct Queue<T, U> {
    order: ResultOrder,
    entries: VecDeque<Entry<T, U>>,
    /// The number of the first entry.
    first: u64,
    /// The number of the first one whose result nobody was asked for.
    next: u64,
    /// Inputs that are here.
    inputs: usize,
    /// Those of them whose results were asked for.
    asked: usize,
    /// Where the first set ends: the number of the first watermark.
    set_end: u64,
    /// Inputs of the first set that have their results, where they may leave before their turn.
    ready: VecDeque<u64>,
}

enum Entry<T, U> {
    Watermark(Timestamp),
    Input {
        at: Timestamp,
        input: T,
        answer: Option<U>,
    },
    /// It left before its turn.
    Gone,
}

/// What goes out.
pub(super) enum Leaving<T, U> {
    Watermark(Timestamp),
    Result { at: Timestamp, input: T, answer: U },
}

impl<T, U> Queue<T, U> {
    pub fn new(order: ResultOrder) -> Self {
        Self {
            order,
            entries: VecDeque::new(),
            first: 0,
            next: 0,
            inputs: 0,
            asked: 0,
            set_end: u64::MAX,
            ready: VecDeque::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Inputs that have not left.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Inputs whose results were asked for, and that have not left.
    pub fn asked(&self) -> usize {
        self.asked
    }

    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub fn push(&mut self, at: Timestamp, input: T) {
        self.entries.push_back(Entry::Input { at, input, answer: None });
        self.inputs += 1;
    }

    /// A watermark with no input since the last one takes its place, so that any number of them
    /// wait in the room of one.
    pub fn push_watermark(&mut self, watermark: Timestamp) {
        if let Some(Entry::Watermark(last)) = self.entries.back_mut() {
            *last = watermark;
            return;
        }
        self.set_end = self.set_end.min(self.end());
        self.entries.push_back(Entry::Watermark(watermark));
    }

    /// The next input whose result is to be asked for; it counts as asked for.
    pub fn ask_next(&mut self) -> Option<u64> {
        while let Some(entry) = self.entries.get((self.next - self.first) as usize) {
            self.next += 1;
            if matches!(entry, Entry::Input { .. }) {
                self.asked += 1;
                return Some(self.next - 1);
            }
        }
        None
    }

    fn entry(&mut self, number: u64) -> &mut Entry<T, U> {
        &mut self.entries[(number - self.first) as usize]
    }

    /// An input that is owed its result.
    pub fn input(&self, number: u64) -> (Timestamp, &T) {
        match &self.entries[(number - self.first) as usize] {
            Entry::Input { at, input, .. } => (*at, input),
            Entry::Watermark(_) | Entry::Gone => panic!("entry {number} is owed no result"),
        }
    }

    /// An input has its answer.
    pub fn complete(&mut self, number: u64, given: U) {
        let Entry::Input { answer, .. } = self.entry(number) else {
            panic!("entry {number} is owed no result")
        };
        let before = answer.replace(given);
        assert!(before.is_none(), "only the first completion counts");
        if self.order == ResultOrder::Unordered && number < self.set_end {
            self.ready.push_back(number);
        }
    }

    /// What may go out next.
    pub fn pop(&mut self) -> Option<Leaving<T, U>> {
        let gone = match self.ready.pop_front() {
            Some(number) => std::mem::replace(self.entry(number), Entry::Gone),
            None => match self.entries.front()? {
                Entry::Watermark(_) => self.pop_front()?,
                Entry::Input { answer: Some(_), .. } if self.order == ResultOrder::Ordered => {
                    self.pop_front()?
                }
                Entry::Input { .. } | Entry::Gone => return None,
            },
        };
        while let Some(Entry::Gone) = self.entries.front() {
            self.pop_front();
        }
        match gone {
            Entry::Watermark(watermark) => {
                self.begin_set();
                Some(Leaving::Watermark(watermark))
            }
            Entry::Input { at, input, answer: Some(answer) } => {
                (self.inputs, self.asked) = (self.inputs - 1, self.asked - 1);
                Some(Leaving::Result { at, input, answer })
            }
            Entry::Input { .. } | Entry::Gone => panic!("what leaves has its result"),
        }
    }

    fn pop_front(&mut self) -> Option<Entry<T, U>> {
        let entry = self.entries.pop_front()?;
        self.first += 1;
        self.next = self.next.max(self.first);
        Some(entry)
    }

    /// The set behind the watermark that has left may leave now. Each entry is looked at once.
    fn begin_set(&mut self) {
        self.set_end = u64::MAX;
        for (number, entry) in (self.first..).zip(&self.entries) {
            match entry {
                Entry::Watermark(_) => {
                    self.set_end = number;
                    break;
                }
                Entry::Input { answer: Some(_), .. } if self.order == ResultOrder::Unordered => {
                    self.ready.push_back(number);
                }
                Entry::Input { .. } | Entry::Gone => {}
            }
        }
    }

    /// What has not left, in the order in which it came: a watermark is `None` at its time.
    pub fn waiting(&self) -> impl Iterator<Item = (Timestamp, Option<&T>)> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Watermark(watermark) => Some((*watermark, None)),
            Entry::Input { at, input, .. } => Some((*at, Some(input))),
            Entry::Gone => None,
        })
    }
}
