//! A list for each key, in chunks: appending touches the last one.

use tailwater_core::{Key, Record, Result, stable_hash};

use super::ttl::Life;
use super::{CurrentKey, Kept, Lasting, Now, Stamp, StatePart, Ttl};
use crate::{
    Changes, Declaration, Drain, Frame, SnapshotKind, StateContext, StateTable, TrackedState,
};

/// The bytes of a chunk's elements, about: what an append writes again in the next checkpoint.
const CHUNK_BYTES: usize = 1 << 10;
/// Even large elements share a chunk, and small ones do not make it long to archive.
const CHUNK_LEN: (usize, usize) = (4, 64);

/// A list for each key, in the order of appending.
///
/// Appending costs the same whatever the length. Declared with a TTL each element lives for itself
/// (SEMANTICS 54).
pub struct List<K, V, S = Lasting> {
    table: StateTable<(K, u64), Vec<Kept<V, S>>>,
    /// Where each list begins and ends; derived from the table.
    index: StateTable<K, Extent>,
    current: CurrentKey<K>,
    life: Life,
    /// All elements of the current key have expired, were seen, and go before anything else.
    is_doomed: bool,
}

/// The chunks of a list from `first` to `last`; those without elements are absent.
#[derive(Clone, Copy, Debug)]
struct Extent {
    first: u64,
    last: u64,
    len: u64,
    /// The elements of the last chunk.
    last_len: usize,
}

impl Extent {
    const EMPTY: Self = Self { first: 0, last: 0, len: 0, last_len: 0 };
}

type Chunks<K, V, S> = StateTable<(K, u64), Vec<Kept<V, S>>>;

impl<K: Key, V: Record, S: Stamp> List<K, V, S> {
    /// The most elements in a chunk.
    pub const CHUNK_LEN: usize = {
        let each = if size_of::<Kept<V, S>>() == 0 { 1 } else { size_of::<Kept<V, S>>() };
        let fit = CHUNK_BYTES / each;
        if fit < CHUNK_LEN.0 {
            CHUNK_LEN.0
        } else if fit > CHUNK_LEN.1 {
            CHUNK_LEN.1
        } else {
            fit
        }
    };

    /// Appends an element.
    #[inline]
    pub fn push(&mut self, value: V) {
        self.bury();
        let Self { table, index, current, life, .. } = self;
        let (hash, key) = (current.hash(), current.key());
        if index.get(hash, key).is_none() {
            index.get_or_insert_with(hash, key.clone(), || Extent::EMPTY);
        }
        let extent = index.get_mut(hash, key).expect("it was just put there");
        if extent.last_len >= Self::CHUNK_LEN {
            extent.last += 1;
            extent.last_len = 0;
        }
        extent.last_len += 1;
        extent.len += 1;
        let kept = Kept { value, stamp: life.stamp() };
        let probe = (current.lend(), extent.last);
        let hash = stable_hash(&probe);
        match table.get_mut(hash, &probe) {
            Some(chunk) => {
                chunk.push(kept);
                current.give_back(probe.0);
            }
            None => {
                current.give_back(probe.0.clone());
                table.get_or_insert_with(hash, probe, || vec![kept]);
            }
        }
    }

    /// Appends elements.
    pub fn extend(&mut self, values: impl IntoIterator<Item = V>) {
        values.into_iter().for_each(|value| self.push(value));
    }

    /// Replaces the list.
    pub fn replace(&mut self, values: impl IntoIterator<Item = V>) {
        self.clear();
        self.extend(values);
    }

    /// All elements, from either end.
    pub fn iter(&mut self) -> impl DoubleEndedIterator<Item = &V> {
        if !S::IS_LASTING {
            self.look();
        }
        let Self { table, index, current, .. } = self;
        chunks(table, index, current).flatten().map(|kept| &kept.value)
    }

    /// The element that was appended last.
    pub fn last(&mut self) -> Option<&V> {
        self.iter().next_back()
    }

    /// How many elements there are that have not expired.
    pub fn len(&mut self) -> usize {
        self.bury();
        let Self { table, index, current, life, .. } = self;
        let Some(extent) = index.get(current.hash(), current.key()) else { return 0 };
        if S::IS_LASTING {
            return extent.len as usize;
        }
        let elements = chunks(table, index, current).flatten();
        elements.filter(|kept| !life.is_expired(kept.stamp)).count()
    }

    /// Whether there is no element that has not expired.
    pub fn is_empty(&mut self) -> bool {
        self.len() == 0
    }

    /// Keeps the elements that `keep` likes. Chunks that lose none are not touched.
    pub fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        self.bury();
        self.retain_kept(|kept, _| keep(&kept.value));
    }

    /// Drops all but the last `len` elements, and looks at no more than it drops.
    pub fn keep_last(&mut self, len: usize) {
        self.bury();
        let Self { table, index, current, .. } = self;
        let (hash, key) = (current.hash(), current.key());
        let Some(extent) = index.get_mut(hash, key) else { return };
        let mut surplus = (extent.len as usize).saturating_sub(len);
        while surplus > 0 {
            let probe = (key.clone(), extent.first);
            let chunk_hash = stable_hash(&probe);
            let chunk_len = table.get(chunk_hash, &probe).map_or(0, Vec::len);
            if chunk_len <= surplus {
                table.remove(chunk_hash, &probe);
                extent.first += 1;
                (surplus, extent.len) = (surplus - chunk_len, extent.len - chunk_len as u64);
            } else if let Some(chunk) = table.get_mut(chunk_hash, &probe) {
                chunk.drain(..surplus);
                extent.len -= surplus as u64;
                if extent.first == extent.last {
                    extent.last_len -= surplus;
                }
                surplus = 0;
            }
        }
        if extent.len == 0 {
            index.remove(hash, key);
        }
    }

    /// Forgets all elements.
    pub fn clear(&mut self) {
        self.is_doomed = false;
        let Self { table, index, current, .. } = self;
        let (hash, key) = (current.hash(), current.key());
        let Some(Extent { first, last, .. }) = index.remove(hash, key) else { return };
        for number in first..=last {
            let probe = (current.lend(), number);
            table.remove(stable_hash(&probe), &probe);
            current.give_back(probe.0);
        }
    }

    /// Another TTL than the declared one, from here on.
    pub fn set_ttl(&mut self, ttl: Ttl) {
        self.life = Life::new(ttl);
    }

    #[inline]
    fn bury(&mut self) {
        if self.is_doomed {
            self.clear();
        }
    }

    fn retain_kept(&mut self, mut keep: impl FnMut(&Kept<V, S>, &Life) -> bool) {
        let Self { table, index, current, life, .. } = self;
        let (hash, key) = (current.hash(), current.key());
        let Some(Extent { first, last, .. }) = index.get(hash, key).copied() else { return };
        for number in first..=last {
            retain_in_chunk(table, index, (key, number), |kept| keep(kept, life));
        }
    }

    /// What reading does to elements that may expire (SEMANTICS 52-54).
    fn look(&mut self) {
        self.bury();
        if self.life.hides_expired() {
            self.retain_kept(|kept, life| !life.is_expired(kept.stamp));
        } else {
            let Self { table, index, current, life, .. } = self;
            let mut elements = chunks(table, index, current).flatten().peekable();
            let is_empty = elements.peek().is_none();
            if !is_empty && elements.all(|kept| life.is_expired(kept.stamp)) {
                self.is_doomed = true;
                return;
            }
        }
        if self.life.is_refreshed_by_reads() {
            self.refresh();
        }
    }

    fn refresh(&mut self) {
        let Self { table, index, current, life, .. } = self;
        let (hash, key) = (current.hash(), current.key());
        let Some(Extent { first, last, .. }) = index.get(hash, key).copied() else { return };
        for number in first..=last {
            let probe = (key.clone(), number);
            let elements = table.get_mut(stable_hash(&probe), &probe).into_iter().flatten();
            for kept in elements.filter(|kept| !life.is_expired(kept.stamp)) {
                life.touch(&mut kept.stamp);
            }
        }
    }
}

/// The chunks of the current key in order.
fn chunks<'a, K: Key, V, S>(
    table: &'a Chunks<K, V, S>,
    index: &'a StateTable<K, Extent>,
    current: &'a CurrentKey<K>,
) -> impl DoubleEndedIterator<Item = &'a Vec<Kept<V, S>>> {
    let key = current.key();
    let extent = index.get(current.hash(), key);
    extent.into_iter().flat_map(|extent| extent.first..=extent.last).filter_map(move |number| {
        let probe = (key.clone(), number);
        table.get(stable_hash(&probe), &probe)
    })
}

/// Keeps the elements of one chunk that `keep` likes, and the index right.
fn retain_in_chunk<K: Key, V: Record, S: Stamp>(
    table: &mut Chunks<K, V, S>,
    index: &mut StateTable<K, Extent>,
    (key, number): (&K, u64),
    mut keep: impl FnMut(&Kept<V, S>) -> bool,
) {
    let probe = (key.clone(), number);
    let chunk_hash = stable_hash(&probe);
    let Some(chunk) = table.get(chunk_hash, &probe) else { return };
    let verdicts: Vec<bool> = chunk.iter().map(&mut keep).collect();
    let lost = verdicts.iter().filter(|keeps| !**keeps).count();
    if lost == 0 {
        return;
    }
    if lost == verdicts.len() {
        table.remove(chunk_hash, &probe);
    } else if let Some(chunk) = table.get_mut(chunk_hash, &probe) {
        let mut verdicts = verdicts.into_iter();
        chunk.retain(|_| verdicts.next() == Some(true));
    }
    let hash = stable_hash(key);
    let Some(extent) = index.get_mut(hash, key) else { return };
    extent.len -= lost as u64;
    if extent.last == number {
        extent.last_len -= lost;
    }
    if extent.len == 0 {
        index.remove(hash, key);
    } else if extent.first == number {
        // Chunks at the front that are gone need not be looked for again.
        let is_absent = |first: u64| {
            let probe = (key.clone(), first);
            table.get(stable_hash(&probe), &probe).is_none()
        };
        while extent.first < extent.last && is_absent(extent.first) {
            extent.first += 1;
        }
    }
}

impl<K: Key, V: Record, S: Stamp> StatePart<K> for List<K, V, S> {
    fn new(context: &StateContext, ttl: Ttl) -> Self {
        Self {
            table: StateTable::new(context).grouped_by(|(key, _)| stable_hash(key)),
            index: StateTable::new(context),
            current: CurrentKey::default(),
            life: Life::new(ttl),
            is_doomed: false,
        }
    }

    #[inline]
    fn enter(&mut self, hash: u64, key: &K, now: Now) {
        self.bury();
        self.current.enter(hash, key);
        self.life.enter(now);
    }

    #[inline]
    fn prefetch(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    fn each_key(&self, visit: &mut dyn FnMut(&K)) {
        self.index.iter().for_each(|(_, key, _)| visit(key));
    }

    fn tracked(&mut self) -> &mut dyn TrackedState {
        self.bury();
        self
    }

    fn sweep(&mut self, now: Now, entries: usize) -> usize {
        let Some(time) = self.life.sweep_time::<S>(now) else { return entries };
        self.bury();
        let Self { table, index, life, .. } = self;
        let mut left = entries;
        while left > 0 {
            let Some((next, (key, number), chunk)) = table.next_from(life.cursor) else {
                life.end_pass(time);
                break;
            };
            left = left.saturating_sub(chunk.len().max(1));
            life.cursor = next;
            if chunk.iter().any(|kept| life.is_expired_at(kept.stamp, time)) {
                let (key, number, len) = (key.clone(), *number, table.len());
                let is_live = |kept: &Kept<V, S>| !life.is_expired_at(kept.stamp, time);
                retain_in_chunk(table, index, (&key, number), is_live);
                if table.len() < len {
                    // What lay behind may have moved into the gap.
                    life.cursor = next - 1;
                }
            }
        }
        left
    }
}

impl<K: Key, V: Record, S: Stamp> TrackedState for List<K, V, S> {
    fn declaration(&self) -> Declaration {
        self.table.declaration()
    }

    fn changes(&self) -> Changes {
        self.table.changes()
    }

    fn begin(&mut self, state: u16, kind: SnapshotKind) {
        self.table.begin_trimmed(state, kind, self.life.trim_list());
    }

    fn drain(&mut self, into: &mut Drain) -> Result<bool> {
        self.table.drain(into)
    }

    fn load(&mut self, frames: &[Frame<'_>]) -> Result<()> {
        self.table.load(frames)
    }

    fn loaded(&mut self) -> Result<()> {
        self.table.loaded()?;
        for (_, (key, number), chunk) in self.table.iter() {
            let (number, chunk_len) = (*number, chunk.len());
            let extent = self.index.get_or_insert_with(stable_hash(key), key.clone(), || Extent {
                first: number,
                last: number,
                len: 0,
                last_len: chunk_len,
            });
            extent.first = extent.first.min(number);
            if number > extent.last {
                (extent.last, extent.last_len) = (number, chunk_len);
            }
            extent.len += chunk_len as u64;
        }
        Ok(())
    }
}
