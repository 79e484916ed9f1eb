//! Killed at random moments and started again at once, the binary writes what it writes when
//! nothing disturbs it, to the byte.
//!
//! Method: a run that nobody disturbs gives the expected bytes. Then the same command, with
//! checkpoints, is killed by SIGKILL after a random time, again and again; each time a reader looks
//! at what is committed, which must be a beginning of the expected bytes and never less than
//! before. In the end it is left alone. The moments are random, the outcome must not be.
//!
//! Environment: TAILWATER_KILLS  kills in each loop (default 5)
//!              TAILWATER_DATA   recordings (default ../shared/data); without them only the
//!                               synthetic tape is run

#![allow(clippy::print_stdout)] // A long test tells how far it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Processes live for this long, a random part of it: some die before their first record, some
/// after some ten checkpoints.
const LIFE_MAX_MS: u64 = 700;

struct Loop {
    /// The job and its input, with all that decides about the output.
    arguments: Vec<String>,
    /// Slows the job down, so that it is not done before it is killed.
    rate: String,
    directory: tempfile::TempDir,
    /// Decides about the moments.
    random: u64,
}

impl Loop {
    fn new(arguments: &[&str], rate: &str) -> Self {
        Self {
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            rate: rate.to_owned(),
            directory: tempfile::tempdir().unwrap(),
            random: u64::from(std::process::id()),
        }
    }

    fn output(&self) -> PathBuf {
        self.directory.path().join("output.jsonl")
    }

    fn command(&self, output: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tailwater"));
        command.arg("run").args(&self.arguments).arg("--quiet").arg("--output").arg(output);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// The bytes that an undisturbed run writes.
    fn expected(&self) -> Vec<u8> {
        let output = self.directory.path().join("expected.jsonl");
        finish(self.command(&output).spawn().unwrap());
        fs::read(output).unwrap()
    }

    fn start(&self, rate: Option<&str>) -> Child {
        let mut command = self.command(&self.output());
        command.arg("--checkpoints").arg(self.directory.path().join("checkpoints"));
        command.args(["--interval", "50ms", "--restore", "latest"]);
        command.args(rate.iter().flat_map(|rate| ["--rate", rate]));
        command.spawn().unwrap()
    }

    /// What a reader may read of the output: as far as the file beside it says.
    fn committed(&self) -> Vec<u8> {
        let sidecar = self.directory.path().join("output.jsonl.committed");
        let Ok(text) = fs::read_to_string(sidecar) else { return Vec::new() };
        let length = text.split_once("\"committed_bytes\":").unwrap().1;
        let length: String = length.chars().take_while(char::is_ascii_digit).collect();
        let length: usize = length.parse().unwrap();
        if length == 0 {
            return Vec::new();
        }
        let mut bytes = fs::read(self.output()).unwrap();
        assert!(length <= bytes.len(), "{length} bytes are committed, {} are there", bytes.len());
        bytes.truncate(length);
        bytes
    }

    fn moment_ms(&mut self) -> u64 {
        self.random =
            self.random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (self.random >> 33) % LIFE_MAX_MS
    }

    fn run(mut self) {
        let kills = std::env::var("TAILWATER_KILLS").map_or(5, |kills| kills.parse().unwrap());
        let expected = self.expected();
        assert!(expected.len() > 10_000, "{} bytes", expected.len());
        let mut before = 0;
        for kill in 1..=kills {
            let mut child = self.start(Some(&self.rate));
            let moment_ms = self.moment_ms();
            let status = wait(&mut child, moment_ms);
            assert!(status.is_none_or(|status| status.success()), "kill {kill}");
            child.kill().unwrap();
            child.wait().unwrap();
            let committed = self.committed();
            println!("kill {kill} of {kills} after {moment_ms} ms: {} bytes", committed.len());
            assert!(expected.starts_with(&committed), "kill {kill}: other bytes are committed");
            assert!(committed.len() >= before, "kill {kill}: fewer bytes are committed");
            before = committed.len();
        }
        finish(self.start(None));
        assert!(self.committed() == expected, "other bytes are committed in the end");
        assert!(fs::read(self.output()).unwrap() == expected, "the file has more than that");
    }
}

/// Waits for a process, so many milliseconds at most.
fn wait(child: &mut Child, milliseconds: u64) -> Option<ExitStatus> {
    for _ in 0..milliseconds {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    None
}

fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const TAPE: &[&str] = &["--limit", "800000", "--seed", "7", "--symbols", "50", "--window", "50ms"];

#[test]
fn vwap_of_the_tape() {
    Loop::new(&[&["vwap"], TAPE].concat(), "200000/s").run();
}

#[test]
fn bars_of_the_tape() {
    Loop::new(&[&["bars"], TAPE].concat(), "200000/s").run();
}

#[test]
fn bars_of_a_recording() {
    let folder = std::env::var_os("TAILWATER_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let recording = folder.join("binance-usdm-btcusdt-20240808.jsonl.gz");
    if !recording.is_file() {
        println!("skipped: there is no `{}`", recording.display());
        return;
    }
    let input = recording.to_str().unwrap();
    Loop::new(&["bars", "--window", "100ms", "--input", input], "2000/s").run();
}
