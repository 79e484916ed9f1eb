//! The report at the end of a run: for people, or as JSON.

use std::fmt::Write;

use serde::Serialize;
use tailwater::runtime::CheckpointReport;
use tailwater::runtime::latency::{Percentiles, Verdict};
use tailwater::{Error, EventTime, Report, Result};

use crate::look::{self, BAD, GOOD, HEAD, ODD, count, nanos, rate};

/// Splits that are told of one by one.
const SPLITS_MAX: usize = 8;
/// Where connectors count malformed input.
const BAD_RECORDS: &str = "bad_records";

/// A report with the figures that are derived from it.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    report: &'a Report,
    late: u64,
    bad: u64,
    records_per_s: f64,
    records_per_s_per_core: f64,
}

fn per_core(report: &Report) -> f64 {
    report.records_per_s() / report.cores.len().max(1) as f64
}

/// The report as one line of JSON.
///
/// # Errors
/// When it cannot be formatted.
pub fn json(report: &Report) -> Result<String> {
    let told = Told {
        report,
        late: report.late(),
        bad: report.counter(BAD_RECORDS),
        records_per_s: report.records_per_s(),
        records_per_s_per_core: per_core(report),
    };
    let text = serde_json::to_string(&told)
        .map_err(|cause| Error::internal("cannot format the report as JSON").caused_by(cause))?;
    Ok(text + "\n")
}

/// The report for people, with the last results.
pub fn text(report: &Report, sample: &[String]) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write_text(&mut text, report, sample);
    text
}

fn write_text(out: &mut String, report: &Report, sample: &[String]) -> std::fmt::Result {
    let cores = report.cores.len();
    let plural = if cores == 1 { "" } else { "s" };
    writeln!(out, "{HEAD}{}{HEAD:#} on {cores} core{plural}, {}", report.job, report.driver)?;
    writeln!(
        out,
        "  {HEAD}records{HEAD:#}  {} in {:.3} s: {HEAD}{}/s{HEAD:#}, {}/s a core",
        count(report.records),
        report.secs,
        rate(report.records_per_s()),
        rate(per_core(report)),
    )?;
    let (late, bad) = (report.late(), report.counter(BAD_RECORDS));
    write!(out, "  {HEAD}results{HEAD:#}  {}, ", count(report.outputs))?;
    write_odd(out, late, "late")?;
    write_odd(out, bad, "bad")?;
    writeln!(out)?;

    writeln!(out, "  {HEAD}latency{HEAD:#}  {}", row(["p50", "p99", "p99.9", "p99.99", "max"]))?;
    for latency in &report.latency {
        let from_to = format!("{} -> {}", latency.source, latency.sink);
        write_percentiles(out, &latency.percentiles, &from_to)?;
    }
    if report.latency.is_empty() {
        writeln!(out, "    the run was too short to measure any")?;
    }
    if report.floor.samples > 0 {
        write_percentiles(out, &report.floor, "the machine alone (floor)")?;
    }
    for verdict in &report.objectives {
        write_verdict(out, verdict)?;
    }

    writeln!(
        out,
        "  {HEAD}cores{HEAD:#}    {:>9} {:>9} {:>15} {:>15}",
        "busy", "idle", "back-pressured", "longest round"
    )?;
    for core in &report.cores {
        let cpu = core.cpu.map(|cpu| format!("cpu {cpu}")).unwrap_or_default();
        writeln!(
            out,
            "    {:<7}{:>7.1} % {:>7.1} % {:>13.1} % {:>15}  {cpu}",
            core.core,
            core.busy * 100.0,
            core.idle * 100.0,
            core.back_pressured * 100.0,
            nanos(core.longest_round_ns),
        )?;
    }
    write_event_time(out, &report.event_time)?;
    write_checkpoints(out, &report.checkpoints)?;
    for warning in &report.warnings {
        writeln!(out, "  {ODD}warning:{ODD:#} {warning}")?;
    }
    if !sample.is_empty() {
        writeln!(out, "  {HEAD}last results{HEAD:#} (--output FILE keeps them all)")?;
        for line in sample {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(())
}

/// The splits that waited: nothing where none did.
fn write_event_time(out: &mut String, told: &EventTime) -> std::fmt::Result {
    let waited = told.splits.iter().filter(|split| split.idle_ns + split.paused_ns > 0);
    for split in waited.clone().take(SPLITS_MAX) {
        writeln!(
            out,
            "  {HEAD}split{HEAD:#}    {}/{} idle for {}, paused for its group for {}",
            split.source,
            split.split,
            nanos(split.idle_ns),
            nanos(split.paused_ns),
        )?;
    }
    match waited.count().checked_sub(SPLITS_MAX) {
        Some(more @ 1..) => writeln!(out, "    and {more} more splits; --report json has all"),
        _ => Ok(()),
    }
}

/// Nothing where the job took none and restored none.
fn write_checkpoints(out: &mut String, told: &CheckpointReport) -> std::fmt::Result {
    if told.restored_from > 0 {
        writeln!(
            out,
            "  {HEAD}restored{HEAD:#}   from checkpoint {} in {}",
            told.restored_from,
            nanos(told.restore_ns)
        )?;
    }
    if told.restarts > 0 {
        let why = told.last_restart.as_deref().unwrap_or("no reason");
        writeln!(out, "  {ODD}restarts{ODD:#}   {}, the last one after: {why}", told.restarts)?;
    }
    if told.completed + told.failed == 0 {
        return Ok(());
    }
    write!(out, "  {HEAD}checkpoints{HEAD:#} {} completed, ", count(told.completed))?;
    write_odd(out, told.failed, "failed")?;
    writeln!(
        out,
        "{} bytes written, the newest {}; state takes {} bytes",
        count(told.bytes),
        count(told.newest_bytes),
        count(told.state_bytes)
    )?;
    writeln!(
        out,
        "    duration {} (longest {}), alignment at most {}, hand-over at most {}",
        nanos(told.duration_p50_ns),
        nanos(told.duration_max_ns),
        nanos(told.alignment_max_ns),
        nanos(told.drain_max_ns),
    )?;
    writeln!(
        out,
        "    pause of the hot loop at a barrier {} (longest {})",
        nanos(told.pause_p50_ns),
        nanos(told.pause_max_ns),
    )?;
    if told.forced_drains > 0 {
        let forced = count(told.forced_drains);
        writeln!(
            out,
            "    {ODD}{forced} times{ODD:#} a barrier waited for the hand-over before it"
        )?;
    }
    if let Some(failure) = &told.last_failure {
        writeln!(out, "    {ODD}the last failure:{ODD:#} {failure}")?;
    }
    if let Some(warning) = &told.last_warning {
        writeln!(out, "    {ODD}warning:{ODD:#} {warning}")?;
    }
    Ok(())
}

fn write_odd(out: &mut String, number: u64, what: &str) -> std::fmt::Result {
    let separator = if what == "bad" { "" } else { ", " };
    match number {
        0 => write!(out, "0 {what}{separator}"),
        _ => write!(out, "{ODD}{} {what}{ODD:#}{separator}", count(number)),
    }
}

fn row<T: std::fmt::Display>(cells: [T; 5]) -> String {
    cells.map(|cell| format!("{cell:>9}")).join(" ")
}

fn write_percentiles(out: &mut String, values: &Percentiles, of: &str) -> std::fmt::Result {
    let Percentiles { p50_ns, p99_ns, p999_ns, p9999_ns, max_ns, .. } = *values;
    writeln!(
        out,
        "           {}  {of}",
        row([p50_ns, p99_ns, p999_ns, p9999_ns, max_ns].map(nanos))
    )
}

fn write_verdict(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    let Verdict { percentile, limit_ns, measured_ns, met, machine_ns, .. } = *verdict;
    let name = if percentile >= 100.0 { "max".to_owned() } else { format!("p{percentile}") };
    write!(out, "  {HEAD}objective{HEAD:#} {name} within {}: ", nanos(limit_ns))?;
    if met {
        let spare = nanos(limit_ns.saturating_sub(measured_ns));
        writeln!(out, "{GOOD}met{GOOD:#} with {}, {spare} to spare", nanos(measured_ns))
    } else if measured_ns == 0 {
        writeln!(out, "{BAD}missed{BAD:#}: nothing was measured")
    } else {
        writeln!(
            out,
            "{BAD}missed{BAD:#} by {} with {}; the machine alone would have caused {} of that",
            nanos(measured_ns.saturating_sub(limit_ns)),
            nanos(measured_ns),
            look::nanos(machine_ns),
        )
    }
}
