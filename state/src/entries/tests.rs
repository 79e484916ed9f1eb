//! Entries against a map: what is restored after any steps is what the barrier saw.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tailwater_core::stable_hash;

use super::*;
use crate::{Budget, MemorySnapshot, SnapshotReader, SnapshotWriter};

/// A number of its own, and text.
#[derive(Debug)]
struct Note(u64, String);

impl Entry for Note {
    type Key = u64;
    type Value = String;

    fn hash(&self) -> u64 {
        stable_hash(&self.0)
    }

    fn key(&self) -> u64 {
        self.0
    }

    fn with_value<R>(&mut self, use_it: impl FnOnce(&String) -> R) -> R {
        use_it(&self.1)
    }

    fn restored(key: u64, value: String) -> Self {
        Self(key, value)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert,
    Touch(usize),
    Remove(usize),
    Barrier(SnapshotKind),
    Drain(usize),
    Restore,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Insert),
        6 => any::<usize>().prop_map(Step::Touch),
        4 => any::<usize>().prop_map(Step::Remove),
        3 => Just(Step::Barrier(SnapshotKind::Incremental)),
        1 => Just(Step::Barrier(SnapshotKind::Full)),
        6 => (1usize..4).prop_map(Step::Drain),
        1 => Just(Step::Restore),
    ];
    prop::collection::vec(step, 0..200)
}

fn context() -> StateContext {
    StateContext::new(KeyGroups::default_for(1), Budget::unlimited())
}

type Model = BTreeMap<u64, String>;

/// Entries with what a checkpoint chain has of them.
struct Run {
    entries: Entries<Note>,
    model: Model,
    numbers: BTreeMap<u64, u32>,
    next_key: u64,
    chain: MemorySnapshot,
    /// The barrier that is being drained: what it saw, its parts and chunks so far.
    cut: Option<(Model, crate::SnapshotParts, Vec<Chunk>, SnapshotKind)>,
    stored: Model,
}

impl Run {
    fn new() -> Self {
        Self {
            entries: Entries::new(&context()),
            model: Model::new(),
            numbers: BTreeMap::new(),
            next_key: 0,
            chain: MemorySnapshot::new(1),
            cut: None,
            stored: Model::new(),
        }
    }

    fn drain(&mut self, budget: usize) -> bool {
        let Some((model, parts, mut chunks, kind)) = self.cut.take() else { return true };
        let mut drain = Drain::new();
        drain.allow(budget);
        let done = self.entries.drain(&mut drain).unwrap();
        chunks.extend(drain.take());
        if !done {
            self.cut = Some((model, parts, chunks, kind));
            return false;
        }
        if kind == SnapshotKind::Full {
            self.chain = MemorySnapshot::new(1);
        }
        self.chain.begin();
        self.chain.add("t", 0, parts, chunks);
        let restored = self.restored();
        assert_eq!(
            restored.iter().map(|(_, note)| (note.0, note.1.clone())).collect::<Model>(),
            model
        );
        assert_eq!(restored.len(), model.len());
        self.stored = model;
        true
    }

    fn restored(&self) -> Entries<Note> {
        let mut entries = Entries::new(&context());
        let source = Arc::new(self.chain.clone());
        let mut reader = SnapshotReader::new(source, "t", (0, 1), 0..128);
        assert!(reader.tracked("notes", &mut entries).unwrap());
        entries
    }

    fn finish(&mut self) {
        while !self.drain(1) {}
    }

    fn step(&mut self, step: &Step) {
        let key_at = |at: usize| self.model.keys().nth(at % self.model.len().max(1)).copied();
        match *step {
            Step::Insert => {
                let key = self.next_key;
                self.next_key += 1;
                self.numbers.insert(key, self.entries.insert(Note(key, "new".to_owned())));
                self.model.insert(key, "new".to_owned());
            }
            Step::Touch(at) => {
                let Some(key) = key_at(at) else { return };
                self.entries.touch(self.numbers[&key]).1.push('+');
                self.model.get_mut(&key).unwrap().push('+');
            }
            Step::Remove(at) => {
                let Some(key) = key_at(at) else { return };
                let removed = self.entries.remove(self.numbers.remove(&key).unwrap());
                assert_eq!(Some(removed.1), self.model.remove(&key));
            }
            Step::Barrier(kind) => {
                self.finish();
                let mut writer = SnapshotWriter::new(kind, "t");
                writer.tracked("notes", &mut self.entries).unwrap();
                self.cut = Some((self.model.clone(), writer.into_parts(), Vec::new(), kind));
            }
            Step::Drain(budget) => {
                self.drain(budget);
            }
            Step::Restore => {
                self.finish();
                if self.chain.newest_bytes() > 0 {
                    self.entries = self.restored();
                    self.model = self.stored.clone();
                    self.numbers =
                        self.entries.iter().map(|(number, note)| (note.0, number)).collect();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn what_the_barrier_saw_is_restored(steps in steps()) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.finish();
    }
}

/// What a barrier that changes nothing costs, and one that touches an entry.
#[test]
fn a_delta_holds_what_was_touched_and_no_more() {
    let mut run = Run::new();
    (0..1000).for_each(|_| run.step(&Step::Insert));
    let barrier = Step::Barrier(SnapshotKind::Incremental);
    let mut bytes = |steps: &[Step]| {
        steps.iter().for_each(|step| run.step(step));
        run.step(&barrier);
        run.finish();
        run.chain.newest_bytes()
    };
    let all = bytes(&[]);
    assert_eq!(bytes(&[]), 0);
    assert!(bytes(&[Step::Touch(3), Step::Touch(3), Step::Touch(500)]) <= all / 400);
    // An entry that came and went between two barriers leaves nothing, one that was stored a
    // tombstone.
    assert_eq!(bytes(&[Step::Insert, Step::Remove(1000)]), 0);
    assert_eq!(bytes(&[Step::Remove(0)]), 16);
}

#[test]
fn names_of_entries_that_come_and_go_do_not_pile_up() {
    let mut run = Run::new();
    run.step(&Step::Barrier(SnapshotKind::Incremental));
    for _ in 0..10 * CHANGED_MIN {
        run.step(&Step::Insert);
        run.step(&Step::Remove(0));
    }
    assert!(run.entries.changed.len() <= CHANGED_MIN);
}

#[test]
fn places_count_in_the_budget() {
    let mut context = context();
    context.budget = Budget::limited(64 << 10);
    let mut entries = Entries::new(&context);
    let first = entries.insert(Note(0, String::new()));
    assert!(context.budget.used() > 0 && context.budget.failure().is_none());
    entries.remove(first);
    for number in 0..10_000 {
        entries.insert(Note(number, String::new()));
    }
    let failure = context.budget.failure().unwrap().to_string();
    assert!(failure.contains("raise --state-memory"), "{failure}");
    drop(entries);
    assert_eq!(context.budget.used(), 0);
}
