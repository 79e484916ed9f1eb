//! Sliding windows in the order of time: the output has one right text, and every moment's output
//! is a beginning of it.

use std::path::Path;
use std::sync::Arc;

use tailwater::prelude::*;
use tailwater_core::Random;

use super::expected::check_text;
use super::windows::{fired_line, line};
use super::{Scenario, reference, ticks};
use crate::disk::SimDisk;
use crate::input::{Input, Keys, STEP, Tick};
use crate::ledger::LedgerSink;
use crate::world::World;

/// Where a file or the directory of parts is.
const FILE: &str = "/output/fired.jsonl";
const COMMITTED: &str = "/output/fired.jsonl.committed";
const PARTS: &str = "/output/parts/";

/// Windows of all keys, in order.
pub struct Ordered {
    input: Arc<Input>,
    size: i64,
    slide: i64,
    into: Into,
    due: Vec<String>,
}

/// Where the output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Into {
    Ledger,
    /// A file with another beside it that says how much is committed.
    File,
    /// A directory of files, closed when they have so many bytes.
    Parts {
        bytes_max: u64,
    },
}

impl Ordered {
    /// Draws windows for the ledger.
    pub fn into_ledger(random: &mut Random) -> Self {
        Self::of(random, Into::Ledger)
    }

    /// Draws windows for a file.
    pub fn into_file(random: &mut Random) -> Self {
        Self::of(random, Into::File)
    }

    /// Draws windows for parts in a directory.
    pub fn into_parts(random: &mut Random) -> Self {
        let bytes_max = 50 + random.below(2_000);
        Self::of(random, Into::Parts { bytes_max })
    }

    fn of(random: &mut Random, into: Into) -> Self {
        let input = Input::draw(random, Keys::Shared);
        let slide = STEP * (1 + random.below(20) as i64);
        let size = slide * (1 + random.below(3) as i64);
        let windows = reference::sliding(&input, size, slide);
        let due = windows.into_iter().map(|(cell, sum)| line(cell, sum)).collect();
        Self { input: Arc::new(input), size, slide, into, due }
    }

    /// What a reader may see.
    fn committed(&self, world: &World, disk: &SimDisk) -> Result<Vec<String>, String> {
        let text = match self.into {
            Into::Ledger => return Ok(world.ledger.committed("out")),
            Into::File => committed_of_file(disk)?,
            Into::Parts { .. } => {
                let names = disk.names_in(Path::new(PARTS));
                let parts = names.iter().filter(|name| name.starts_with("part-"));
                let bytes = parts.filter_map(|name| disk.read(&Path::new(PARTS).join(name)));
                bytes.flatten().collect()
            }
        };
        if text.last().is_some_and(|last| *last != b'\n') {
            return Err("the output ends within a line".to_owned());
        }
        let text = String::from_utf8(text).map_err(|_| "the output is no text".to_owned())?;
        Ok(text.lines().map(|line| line.trim_matches('"').to_owned()).collect())
    }
}

/// As much of the file as the one beside it says.
fn committed_of_file(disk: &SimDisk) -> Result<Vec<u8>, String> {
    let Some(beside) = disk.read(Path::new(COMMITTED)) else { return Ok(Vec::new()) };
    let said: serde_json::Value = serde_json::from_slice(&beside)
        .map_err(|error| format!("what is committed cannot be read: {error}"))?;
    let length = said["committed_bytes"].as_u64().unwrap_or(0) as usize;
    let mut text = disk.read(Path::new(FILE)).unwrap_or_default();
    if text.len() < length {
        return Err(format!("{length} bytes are committed, but the file has {}", text.len()));
    }
    text.truncate(length);
    Ok(text)
}

impl Scenario for Ordered {
    fn build(&self, job: &Job, world: &Arc<World>, disk: &SimDisk) {
        let watermarks = Watermarks::bounded(self.input.disorder);
        let lines = ticks(job, "ticks", &self.input, world, watermarks)
            .key_by(|tick| tick.key)
            .window(Sliding::of(Span(self.size)).every(Span(self.slide)))
            .aggregate((count(), sum(|tick: &Tick| tick.amount)))
            .in_order(|fired: &WindowResult<u32, (u64, i128)>| fired.key)
            .map(fired_line);
        disk.prepare_directory(Path::new("/output"));
        match self.into {
            Into::Ledger => lines.sink(LedgerSink::new("out", world)),
            Into::File => {
                let file = Files::jsonl(FILE);
                lines.sink(file.on_disk(Arc::new(disk.clone())));
            }
            Into::Parts { bytes_max } => {
                let parts = Files::jsonl(PARTS).roll(Roll { bytes_max, ..Roll::default() });
                lines.sink(parts.on_disk(Arc::new(disk.clone())));
            }
        }
    }

    fn check(&self, world: &World, disk: &SimDisk, ended: bool) -> Result<(), String> {
        check_text(&self.due, &self.committed(world, disk)?, ended)
    }

    fn is_on_disk(&self) -> bool {
        self.into != Into::Ledger
    }

    fn records(&self) -> usize {
        self.input.count()
    }
}
