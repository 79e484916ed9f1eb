//! `tailwater inspect`: what a checkpoint holds, whether it is whole, and the entries of a state.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tailwater::connectors::checkpoints::existing_store;
use tailwater::state::checkpoint::{
    Manifest, OpenedCheckpoint, Report, StateReport, StateSort, Which, checkpoints_in, inspect,
};
use tailwater::state::store::CheckpointStore;
use tailwater::{Error, Result, split_checkpoint};

use crate::arguments::ReportFormat;
use crate::entries;
use crate::look::{self, BAD, GOOD, HEAD, ODD, count};

/// Key groups are told in so many ranges.
const RANGES: usize = 4;

/// The options of `tailwater inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A directory or object store of checkpoints, or one checkpoint in it: its manifest file, or
    /// its number behind the URL
    #[arg(value_name = "PATH|URL")]
    path: String,
    /// The number of the checkpoint [default: the newest]
    #[arg(long, value_name = "N")]
    checkpoint: Option<u64>,
    /// Print the entries of a state instead, as OPERATOR/STATE
    #[arg(long, value_name = "OPERATOR/STATE")]
    state: Option<String>,
    /// Only the entry of this key, written as this command prints it
    #[arg(long, value_name = "KEY", requires = "state")]
    key: Option<String>,
    /// Stop after so many entries
    #[arg(long, value_name = "N", requires = "state")]
    limit: Option<u64>,
    /// For people, or for programs: one JSON object a line
    #[arg(long, value_enum, default_value = "text")]
    format: ReportFormat,
}

/// Looks into a checkpoint and prints what is there.
///
/// # Errors
/// When there is no checkpoint, the store refuses, no such state is in it, or the checkpoint is
/// damaged.
pub fn run(arguments: &InspectArgs) -> Result<()> {
    let (store, named) = place(&arguments.path)?;
    let store = existing_store(&store)?;
    let checkpoint = choose(&*store, arguments.checkpoint.or(named), &arguments.path)?;
    match &arguments.state {
        Some(state) => print_entries(&*store, checkpoint, state, arguments),
        None => print_report(&inspect(&*store, checkpoint)?, arguments.format),
    }
}

/// The store that a path names, and the checkpoint in it if it names one.
fn place(path: &str) -> Result<(String, Option<u64>)> {
    if path.contains("://") {
        let (store, checkpoint) = split_checkpoint(path);
        return Ok((store.to_owned(), checkpoint));
    }
    let file = Path::new(path);
    if !file.exists() {
        return Err(Error::configuration(format!("there is no `{path}`")));
    }
    if !file.is_file() {
        return Ok((path.to_owned(), None));
    }
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.map_or_else(|| PathBuf::from("."), Path::to_owned);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let number = name.strip_prefix("checkpoint-").and_then(|rest| rest.strip_suffix(".manifest"));
    match number.and_then(|number| number.parse().ok()) {
        Some(number) => Ok((parent.to_string_lossy().into_owned(), Some(number))),
        None => Err(Error::configuration(format!(
            "`{path}` is no manifest of a checkpoint: name one, or the directory that it is in"
        ))),
    }
}

/// The checkpoint that was asked for, or the newest.
fn choose(store: &dyn CheckpointStore, wanted: Option<u64>, path: &str) -> Result<u64> {
    let mut there = checkpoints_in(store)?;
    there.sort_unstable();
    match (wanted, there.last()) {
        (_, None) => Err(Error::configuration(format!("there is no checkpoint in `{path}`"))),
        (None, Some(newest)) => Ok(*newest),
        (Some(wanted), _) if there.contains(&wanted) => Ok(wanted),
        (Some(wanted), _) => {
            let all: Vec<String> = there.iter().map(u64::to_string).collect();
            Err(Error::configuration(format!(
                "there is no checkpoint {wanted} in `{path}`, but {}",
                all.join(", ")
            )))
        }
    }
}

fn print_report(report: &Report, format: ReportFormat) -> Result<()> {
    let text = match format {
        ReportFormat::Json => to_json(&Told::of(report))?,
        ReportFormat::Text => text_of(report),
    };
    print(&text)?;
    match report.problems.len() {
        0 => Ok(()),
        1 => Err(Error::format("the checkpoint is damaged in one place")),
        places => Err(Error::format(format!("the checkpoint is damaged in {places} places"))),
    }
}

fn text_of(report: &Report) -> String {
    let Manifest { job, checkpoint, time_ns, key_groups, cores, .. } = &report.manifest;
    let taken = look::Moment(tailwater::Timestamp(*time_ns));
    let mut out = format!(
        "{HEAD}{job}{HEAD:#}, checkpoint {checkpoint} of {taken} UTC\n  \
         format {}, {key_groups} key groups, written by {cores} core{}\n",
        report.format_version,
        if *cores == 1 { "" } else { "s" },
    );
    out += &format!("  {HEAD}states{HEAD:#}\n");
    for state in &report.states {
        out += &state_text(state);
    }
    out += &format!(
        "  {HEAD}chain{HEAD:#}  {} segment{}\n",
        report.segments.len(),
        if report.segments.len() == 1 { "" } else { "s" },
    );
    for segment in &report.segments {
        out += &format!(
            "    {}  {} bytes, {} blocks, {} entries, {} tombstones\n",
            segment.reference.name,
            count(segment.reference.len),
            count(segment.blocks as u64),
            count(segment.upserts),
            count(segment.tombstones),
        );
    }
    for transaction in &report.manifest.transactions {
        out += &format!(
            "  {HEAD}transaction{HEAD:#} of `{}` on core {}: {} bytes\n",
            transaction.sink,
            transaction.core,
            count(transaction.bytes.len() as u64),
        );
    }
    if report.problems.is_empty() {
        return out + &format!("  {GOOD}whole{GOOD:#}: every block agrees with its checksum\n");
    }
    for problem in &report.problems {
        out += &format!("  {BAD}damaged:{BAD:#} {problem}\n");
    }
    out
}

fn state_text(state: &StateReport) -> String {
    let entry = &state.entry;
    let (what, types) = match &entry.sort {
        StateSort::Tracked { key, value, namespaced } => {
            let window = if *namespaced { "(namespace, key)" } else { "key" };
            let types = format!(
                "      {window} {} {ODD}{:016x}{ODD:#}\n      value {} {ODD}{:016x}{ODD:#}\n",
                key.text, key.fingerprint, value.text, value.fingerprint
            );
            ("keys", types)
        }
        StateSort::List { spread, item } => {
            let types = format!(
                "      item {} {ODD}{:016x}{ODD:#}, {spread:?}\n",
                item.text, item.fingerprint
            );
            ("items", types)
        }
    };
    let mut out = format!(
        "    {HEAD}{}/{}{HEAD:#}  {} {what}, {} bytes\n{types}",
        entry.operator,
        entry.state,
        count(state.count),
        count(state.bytes),
    );
    let groups = state.groups.len();
    for range in (0..RANGES).map(|r| r * groups / RANGES..(r + 1) * groups / RANGES) {
        if !range.is_empty() && state.count > 0 {
            let sum = state.in_groups(range.clone());
            out += &format!(
                "      key groups {:>5}..{:<5}  {} keys, {} bytes\n",
                range.start,
                range.end,
                count(sum.keys),
                count(sum.bytes)
            );
        }
    }
    out
}

/// The report for programs.
#[derive(Serialize)]
struct Told<'a> {
    job: &'a str,
    checkpoint: u64,
    time_ns: i64,
    format_version: u32,
    key_groups: u32,
    cores: u32,
    states: Vec<ToldState<'a>>,
    segments: Vec<ToldSegment<'a>>,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct ToldState<'a> {
    operator: &'a str,
    state: &'a str,
    /// The types, each with its fingerprint and version.
    types: Vec<(&'static str, &'a str, String, u32)>,
    count: u64,
    bytes: u64,
    keys_by_group: Vec<u64>,
}

#[derive(Serialize)]
struct ToldSegment<'a> {
    name: &'a str,
    bytes: u64,
    blocks: usize,
    upserts: u64,
    tombstones: u64,
}

impl<'a> Told<'a> {
    fn of(report: &'a Report) -> Self {
        let states = report.states.iter().map(|state| {
            let schemas = match &state.entry.sort {
                StateSort::Tracked { key, value, .. } => vec![("key", key), ("value", value)],
                StateSort::List { item, .. } => vec![("item", item)],
            };
            let types = schemas.into_iter().map(|(what, schema)| {
                let fingerprint = format!("{:016x}", schema.fingerprint);
                (what, schema.text.as_str(), fingerprint, schema.version)
            });
            ToldState {
                operator: &state.entry.operator,
                state: &state.entry.state,
                types: types.collect(),
                count: state.count,
                bytes: state.bytes,
                keys_by_group: state.groups.iter().map(|group| group.keys).collect(),
            }
        });
        let segments = report.segments.iter().map(|segment| ToldSegment {
            name: &segment.reference.name,
            bytes: segment.reference.len,
            blocks: segment.blocks,
            upserts: segment.upserts,
            tombstones: segment.tombstones,
        });
        Self {
            job: &report.manifest.job,
            checkpoint: report.manifest.checkpoint,
            time_ns: report.manifest.time_ns,
            format_version: report.format_version,
            key_groups: report.manifest.key_groups,
            cores: report.manifest.cores,
            states: states.collect(),
            segments: segments.collect(),
            problems: report.problems.iter().map(Error::to_string).collect(),
        }
    }
}

fn print_entries(
    store: &dyn CheckpointStore,
    checkpoint: u64,
    wanted: &str,
    arguments: &InspectArgs,
) -> Result<()> {
    let opened = OpenedCheckpoint::peek(store, Which::Id(checkpoint))?
        .ok_or_else(|| Error::configuration(format!("there is no checkpoint {checkpoint}")))?;
    opened.verify()?;
    let states = &opened.manifest().states;
    let name = |operator: &str, state: &str| format!("{operator}/{state}");
    let Some(entry) = states.iter().find(|e| name(&e.operator, &e.state) == wanted) else {
        let all: Vec<String> = states.iter().map(|e| name(&e.operator, &e.state)).collect();
        return Err(Error::configuration(format!(
            "the checkpoint has no state `{wanted}`, but {}",
            all.join(", ")
        )));
    };
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    let mut found = false;
    let mut out = anstream::AutoStream::auto(std::io::stdout().lock());
    entries::each(&opened, entry, &mut |shown| {
        if left == 0 {
            return Ok(ControlFlow::Break(()));
        }
        if arguments.key.as_ref().is_some_and(|key| shown.key_text() != *key) {
            return Ok(ControlFlow::Continue(()));
        }
        (found, left) = (true, left - 1);
        let line = match arguments.format {
            ReportFormat::Json => to_json(&shown.to_json())?,
            ReportFormat::Text => shown.to_text() + "\n",
        };
        out.write_all(line.as_bytes())
            .map_err(|cause| Error::io("cannot write the entries", cause))?;
        Ok(ControlFlow::Continue(()))
    })?;
    match &arguments.key {
        Some(key) if !found => {
            Err(Error::configuration(format!("`{wanted}` has no entry with the key `{key}`")))
        }
        _ => Ok(()),
    }
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map(|text| text + "\n")
        .map_err(|cause| Error::internal("cannot write JSON").caused_by(cause))
}

fn print(text: &str) -> Result<()> {
    anstream::stdout()
        .write_all(text.as_bytes())
        .map_err(|cause| Error::io("cannot write the report", cause))
}
