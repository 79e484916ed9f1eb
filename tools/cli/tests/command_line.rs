//! The binary as users run it: the same bytes on any number of cores, clear errors, a clean stop.
//!
//! Method: the real program in a process of its own, on small tapes; its files and streams are
//! compared.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn tailwater() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tailwater"))
}

fn run(arguments: &[&str]) -> Output {
    tailwater().args(arguments).output().unwrap()
}

fn succeed(arguments: &[&str]) -> (String, String) {
    let output = run(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{arguments:?}: {err}");
    (out, err)
}

/// Runs what must fail, and returns what it says.
fn fail(arguments: &[&str], code: i32) -> String {
    let output = run(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.starts_with("error: "), "{said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The job's output with these options, as text.
fn output_of(directory: &Path, name: &str, job: &str, options: &[&str]) -> String {
    let file = directory.join(name);
    let fixed = ["run", job, "--quiet", "--output", text(&file)];
    succeed(&[&fixed[..], options].concat());
    fs::read_to_string(file).unwrap()
}

#[test]
fn the_output_is_the_same_on_any_cores_driver_and_seed() {
    let directory = tempfile::tempdir().unwrap();
    let tape = ["--limit", "20000", "--seed", "7", "--window", "100ms"];
    for job in ["vwap", "bars"] {
        let with = |name: &str, cores: &str, driver: &str| {
            let options = [&tape[..], &["--cores", cores, "--driver", driver]].concat();
            output_of(directory.path(), name, job, &options)
        };
        let expected = with("expected", "1", "threads");
        assert!(expected.lines().count() > 300, "{}", expected.lines().count());
        let mut runs = vec![("2", "threads".to_owned()), ("4", "threads".to_owned())];
        runs.extend(["1", "2", "4"].map(|cores| (cores, "glommio".to_owned())));
        runs.extend((0..12).map(|seed| (["1", "2", "4"][seed % 3], format!("seeded:{seed}"))));
        for (cores, driver) in runs {
            let output = with("output", cores, &driver);
            assert!(output == expected, "{job}: {driver} on {cores} cores differs");
        }
        for cores in ["1", "2"] {
            let spilling = ["--batch", "--sort-memory", "64KiB", "--cores", cores];
            let output =
                output_of(directory.path(), "batch", job, &[&tape[..], &spilling].concat());
            assert!(output == expected, "{job}: batch on {cores} cores differs");
        }
    }
}

#[test]
fn lines_have_their_fields_in_order_and_are_sorted() {
    let directory = tempfile::tempdir().unwrap();
    let tape = ["--limit", "5000", "--symbols", "3", "--window", "20ms"];
    for (job, fields) in [
        ("vwap", &["symbol", "start", "end", "vwap", "volume", "trades"][..]),
        (
            "bars",
            &[
                "symbol", "start", "end", "open", "high", "low", "close", "volume", "notional",
                "vwap", "trades",
            ],
        ),
    ] {
        let mut last = (i64::MIN, String::new());
        let (mut trades, mut lines) = (0, 0);
        for line in output_of(directory.path(), job, job, &tape).lines() {
            let mut place = 0;
            for field in fields {
                let found = line[place..].find(&format!("\"{field}\":"));
                place += found.unwrap_or_else(|| panic!("no {field} in its place: {line}"));
            }
            let parsed: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(
                parsed["vwap"].is_string() && parsed["start"].as_i64().unwrap() % 20_000_000 == 0
            );
            let order =
                (parsed["end"].as_i64().unwrap(), parsed["symbol"].as_str().unwrap().to_owned());
            assert!(order > last, "{line}");
            last = order;
            trades += parsed["trades"].as_u64().unwrap();
            lines += 1;
        }
        assert!(lines > 5);
        if job == "bars" {
            assert_eq!(trades, 5_000, "each trade is in one bar");
        }
    }
}

#[test]
fn both_formats_of_a_tape_are_the_same_bytes_again_and_the_same_bars() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let mut bars = Vec::new();
    for format in ["csv", "itch50"] {
        for name in ["first", "second"] {
            let common = ["generate", "--events", "30000", "--symbols", "20", "--seed", "7"];
            let rest = ["--format", format, "--output", &file(name)];
            succeed(&[&common[..], &rest].concat());
        }
        let (first, second) = (fs::read(file("first")).unwrap(), fs::read(file("second")).unwrap());
        assert!(first == second && first.len() > 100_000, "{format}: {}", first.len());
        for options in [&["--format", format][..], &["--cores", "2"]] {
            let input = ["--window", "50ms", "--input", &file("first")];
            let options = [&input[..], options].concat();
            bars.push(output_of(directory.path(), "bars.jsonl", "bars", &options));
        }
    }
    assert!(bars[0].lines().count() > 50);
    assert!(bars.iter().all(|other| *other == bars[0]));
}

#[test]
fn a_limit_counts_records_of_files_too() {
    let directory = tempfile::tempdir().unwrap();
    let tape = directory.path().join("tape.csv");
    succeed(&["generate", "--format", "csv", "--events", "5000", "--output", text(&tape)]);
    let run = ["run", "bars", "--input", text(&tape), "--limit", "321", "--report", "json"];
    let (out, _) = succeed(&run);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["records"], 321);
    assert_eq!(report["late"], 0);
    assert_eq!(report["bad"], 0);
}

#[test]
fn results_on_standard_output_leave_the_report_to_standard_error() {
    let run = ["run", "bars", "--limit", "2000", "--output", "-", "--objective", "p99=10min"];
    let (out, err) = succeed(&run);
    assert!(out.lines().all(|line| line.starts_with("{\"symbol\":")) && !out.is_empty());
    assert!(err.contains("2,000 in") && err.contains("p99 within 600.00 s: met"), "{err}");
    assert!(!err.contains('\x1b'), "colours outside a terminal: {err}");
    let (out, err) = succeed(&["run", "vwap", "--limit", "2000"]);
    assert!(out.contains("last results") && out.contains("\"vwap\":"), "{out}");
    assert_eq!(err, "");
}

#[test]
fn what_cannot_work_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let bad = directory.path().join("bad.csv");
    fs::write(&bad, "symbol,price,size,at\nX,1.5,2,10\nX,nonsense,2,11\n").unwrap();
    let bad = text(&bad);
    let nowhere: PathBuf = directory.path().join("no/such/place/out.jsonl");

    assert!(fail(&["run", "bars", "--input", "/no/such.csv"], 1).contains("`/no/such.csv`"));
    let said = fail(&["run", "bars", "--limit", "10", "--output", text(&nowhere)], 1);
    assert!(said.contains("no/such/place/out.jsonl"), "{said}");
    let said = fail(&["run", "bars", "--input", bad], 1);
    assert!(said.contains("line 3") && said.contains("nonsense"), "{said}");
    assert_eq!(said.lines().count(), 1, "one line: {said}");
    let said = fail(&["run", "bars", "--input", bad, "--format", "itch50"], 1);
    assert!(said.contains("ITCH"), "{said}");
    assert!(fail(&["run", "bars", "--slide", "1s"], 1).contains("--slide"));
    let said = fail(&["run", "bars", "--batch", "--rate", "10000/s"], 1);
    assert!(said.contains("does not say that it ends"), "{said}");
    assert!(fail(&["run", "bars", "--format", "csv"], 1).contains("--input"));
    assert!(
        fail(&["generate", "--format", "csv", "--symbols", "0", "--output", "-"], 1)
            .contains("symbols")
    );

    for (option, value, hint) in [
        ("--window", "0s", "longer than nothing"),
        ("--window", "1 parsec", "not a span"),
        ("--out-of-orderness", "-1s", "negative"),
        ("--rate", "fast", "50000/s"),
        ("--cores", "0", "names no cores"),
        ("--idle", "doze", "spin, yield or park"),
        ("--driver", "steam", "glommio, threads"),
        ("--objective", "p99", "p99=50us"),
        ("--on-error", "shrug", "dead-letter=FILE"),
        ("--report", "xml", "json"),
        ("--runtime-mode", "bulk", "streaming, batch or automatic"),
    ] {
        let said = fail(&["run", "vwap", &format!("{option}={value}")], 2);
        assert!(said.contains(hint) && said.contains(option), "{said}");
    }
}

#[test]
fn bad_lines_are_skipped_or_kept_aside() {
    let directory = tempfile::tempdir().unwrap();
    let (bad, letters) = (directory.path().join("bad.csv"), directory.path().join("letters.jsonl"));
    fs::write(&bad, "symbol,price,size,at\nX,1.5,2,10\nX,nonsense,2,11\nX,2.5,2,12\n").unwrap();
    let policy = format!("dead-letter={}", text(&letters));
    for policy in ["skip", &policy] {
        let run = ["run", "bars", "--input", text(&bad), "--on-error", policy, "--report", "json"];
        let report: serde_json::Value = serde_json::from_str(&succeed(&run).0).unwrap();
        assert_eq!((report["records"].as_u64(), report["bad"].as_u64()), (Some(2), Some(1)));
    }
    assert!(fs::read_to_string(letters).unwrap().contains("nonsense"));
}

#[test]
fn signals_tell_why_and_drain_an_endless_tape() {
    let endless = ["run", "bars", "--window", "20ms", "--rate", "10000/s", "--output", "-"];
    let mut child =
        tailwater().args(endless).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut lines = String::new();
    out.read_line(&mut lines).unwrap();
    let id = child.id();
    let signal = |name: &str| {
        let kill = format!("kill -{name} {id}");
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    };
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    signal("USR1");
    while !said.contains("watermark") {
        assert!(err.read_line(&mut said).unwrap() > 0, "{said}");
    }
    assert!(said.contains("source `synthetic`, split `") && said.contains("last record"), "{said}");
    signal("INT");
    out.read_to_string(&mut lines).unwrap();
    err.read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert!(said.contains("records") && said.contains("latency"), "{said}");
    assert!(lines.ends_with("}\n"));
    let trades = lines.lines().map(|line| {
        let bar: serde_json::Value = serde_json::from_str(line).unwrap();
        bar["trades"].as_u64().unwrap()
    });
    assert!(trades.sum::<u64>() > 0);
}

#[test]
fn explain_knows_three_formats() {
    let (out, _) = succeed(&["explain", "bars", "--cores", "1"]);
    assert!(out.starts_with("job bars on 1 core") && out.contains("in_order"), "{out}");
    assert!(succeed(&["explain", "vwap", "--format", "dot"]).0.starts_with("digraph"));
    let (out, _) = succeed(&["explain", "vwap", "--format", "json", "--unordered"]);
    let plan: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(plan["job"], "vwap");
}

#[test]
fn help_has_examples_and_the_version_is_told() {
    for command in ["run", "explain", "generate", "bench"] {
        assert!(succeed(&[command, "--help"]).0.contains("Examples:\n  tailwater "), "{command}");
    }
    assert!(succeed(&["--version"]).0.starts_with("tailwater "));
}

#[test]
fn a_checkpoint_is_restored_and_looked_into_by_its_url() {
    let directory = tempfile::tempdir().unwrap();
    let (store, output) = (directory.path().join("ckpt"), directory.path().join("out"));
    let tape = ["--limit", "20000", "--seed", "7", "--driver", "threads", "--quiet"];
    let fixed = [&["run", "vwap", "--output", text(&output)], &tape[..]].concat();
    succeed(&[&fixed[..], &["--checkpoints", text(&store)]].concat());
    assert!(fs::metadata(&output).unwrap().len() > 0);
    let url = format!("file://{}", text(&store));
    let (report, _) = succeed(&["inspect", &url]);
    let number = report.split("checkpoint ").nth(1).unwrap().split(' ').next().unwrap();
    let by_number = format!("{url}/{number}");
    assert_eq!(succeed(&["inspect", &by_number]).0, report);
    for url in [&url, &by_number] {
        // The checkpoint is the one at the end of the tape: nothing is left to be written anew.
        succeed(&[&fixed[..], &["--restore", url]].concat());
        assert_eq!(fs::read_to_string(&output).unwrap(), "");
    }
    let nowhere = format!("file://{}/nowhere", text(directory.path()));
    let said = run(&[&fixed[..], &["--restore", &nowhere]].concat());
    assert!(!said.status.success());
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("there is no directory"), "{said}");
}

#[test]
fn two_processes_do_not_share_a_directory_of_checkpoints() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("ckpt");
    let endless = ["run", "vwap", "--quiet", "--rate", "1000/s", "--checkpoints", text(&store)];
    let mut first = tailwater().args(endless).args(["--interval", "20ms"]).spawn().unwrap();
    while !fs::read_dir(&store).is_ok_and(|files| {
        let names = files.map(|file| file.unwrap().file_name());
        names.into_iter().any(|name| name.to_string_lossy().ends_with(".manifest"))
    }) {
        assert!(first.try_wait().unwrap().is_none(), "it has ended");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    let second = run(&endless);
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("another job takes checkpoints in"), "{said}");
    // As by kill -9: the kernel gives the directory back.
    first.kill().unwrap();
    first.wait().unwrap();
    succeed(&[&endless[..3], &["--limit", "100", "--checkpoints", text(&store)]].concat());
}
