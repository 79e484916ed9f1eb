//! Taking entries of a checkpoint in, each key's slot asked for some entries before it is used.

use rkyv::util::AlignedVec;
use tailwater_core::{Error, Key, Record, Result, stable_hash};

use crate::archive::read;
use crate::changes::{Frame, GroupRange, Payload};

use super::area::{Area, MARKS, tag_of};
use super::{StateTable, forget_all, set_bits};

/// So many entries before an entry's turn its slot is asked for.
const AHEAD: usize = 32;

impl<K: Key, V: Record> StateTable<K, V> {
    pub(super) fn load_frames(&mut self, frames: &[Frame<'_>]) -> Result<()> {
        assert!(!self.is_draining(), "entries are restored before the first barrier");
        self.become_known();
        let mut keys: Vec<Option<(u64, K)>> = Vec::with_capacity(frames.len());
        let mut scratch = AlignedVec::new();
        for (turn, frame) in frames.iter().enumerate() {
            while keys.len() < frames.len().min(turn + AHEAD) {
                let key = self.key_of(&frames[keys.len()], &mut scratch)?;
                if let Some((hash, _)) = &key {
                    self.prefetch(*hash);
                }
                keys.push(key);
            }
            match (keys[turn].take(), frame.payload) {
                (Some((hash, key)), Payload::Upsert(value)) => {
                    self.put_clean(hash, key, read(value, &mut scratch)?);
                }
                (Some((hash, key)), _) => {
                    self.remove_quietly(hash, &key, |_, _, _, _, _| {});
                }
                (None, Payload::NamespaceTombstone(groups)) => self.forget_namespace(groups),
                (None, _) => {}
            }
        }
        Ok(())
    }

    /// The key of a frame and its hash; `None` for a tombstone of this table's namespace.
    fn key_of(&self, frame: &Frame<'_>, scratch: &mut AlignedVec) -> Result<Option<(u64, K)>> {
        let mut bytes = frame.key;
        if let Some(own) = self.tracking.namespace() {
            let Some((namespace, rest)) = bytes.split_first_chunk() else {
                return Err(Error::format("the key of a frame has no namespace"));
            };
            let namespace = i64::from_le_bytes(*namespace);
            if namespace != own {
                let what = format!("an entry of namespace {namespace} is not one of {own}");
                return Err(Error::format(what));
            }
            bytes = rest;
        }
        if matches!(frame.payload, Payload::NamespaceTombstone(_)) {
            return match self.tracking.namespace() {
                Some(_) => Ok(None),
                None => {
                    Err(Error::format("a state without namespaces has a namespace's tombstone"))
                }
            };
        }
        let key: K = read(bytes, scratch)?;
        Ok(Some((stable_hash(&key), key)))
    }

    /// Puts an entry that the store knows as it is.
    fn put_clean(&mut self, hash: u64, key: K, value: V) {
        if self.len >= self.len_max {
            self.make_room();
            if self.is_full() {
                return;
            }
        }
        let Self { area, old, slab, len, arena, .. } = self;
        let tag = tag_of(hash);
        let area = match old {
            Some(old) if old.holds(tag) => &mut old.area,
            _ => area,
        };
        if let Some(index) = area.find(tag, &key) {
            *area.value_mut(index, slab) = value;
            debug_assert!(area.tag(index) & MARKS == 0, "entries are restored before changes");
        } else if Area::<K, V>::INLINE || slab.make_room(arena) {
            let index = area.vacancy(tag);
            area.put(index, tag, key, value, slab);
            set_bits(area, index, tag);
            *len += 1;
        }
    }

    /// Removes the keys of these key groups: mostly all that there are.
    fn forget_namespace(&mut self, groups: GroupRange) {
        let own = self.groups();
        if !(groups.contains(own.first) && groups.contains(own.last)) {
            let gone = self.by_group(groups.first.into()..u32::from(groups.last) + 1);
            let gone: Vec<_> = gone.map(|(hash, key, _)| (hash, key.clone())).collect();
            for (hash, key) in gone {
                self.remove_quietly(hash, &key, |_, _, _, _, _| {});
            }
            return;
        }
        let Self { area, old, slab, .. } = self;
        for area in old.iter_mut().map(|old| &mut old.area).chain([area]) {
            forget_all(area, slab);
        }
        self.cleared();
    }
}
