//! Disks that are full, read-only, gone or damaged: a clear error, nothing lost, and the older
//! checkpoint used where the newest cannot be.
//!
//! Method: a run is killed when it has some checkpoints. Each test does harm to a copy of what it
//! left on the disk, starts the same command on it, and reads what it says; where it can go on, its
//! output must be that of a run that nobody disturbed.

#![allow(clippy::print_stdout)] // Says what was done and what could not be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Enough for some twenty checkpoints at the rate of a run that is to be killed.
const TAPE: &[&str] =
    &["run", "vwap", "--limit", "200000", "--seed", "7", "--symbols", "20", "--window", "50ms"];
/// So many checkpoints are kept.
const RETAIN: usize = 3;
/// A process that takes longer than this, in milliseconds, hangs.
const PATIENCE_MS: u64 = 120_000;

struct Run {
    directory: tempfile::TempDir,
}

impl Run {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tailwater"));
        // Relative, so that a copy can go on: the output is known by its name.
        command.args(TAPE).args(["--output", "output.jsonl"]).current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// The job with checkpoints in this run's directory, or in another one.
    fn checkpointed(&self, checkpoints: &Path) -> Command {
        let mut command = self.command();
        command.arg("--checkpoints").arg(checkpoints).args(["--interval", "20ms"]);
        command.args(["--retain", &RETAIN.to_string(), "--restart", "none", "--restore", "latest"]);
        command
    }

    fn go_on(&self) -> Output {
        self.checkpointed(&self.path("checkpoints")).output().unwrap()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("checkpoints")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    fn manifests(&self) -> Vec<String> {
        let Ok(true) = fs::exists(self.path("checkpoints")) else { return Vec::new() };
        self.files().into_iter().filter(|name| name.ends_with(".manifest")).collect()
    }

    /// A run that was killed when it had more checkpoints than it keeps.
    fn killed() -> Self {
        let run = Self::new();
        let mut command = run.checkpointed(&run.path("checkpoints"));
        let mut child = command.args(["--rate", "100000/s"]).spawn().unwrap();
        wait_until("there are checkpoints", || {
            let manifests = run.manifests();
            manifests.len() >= RETAIN && !manifests[0].contains("-00000001.")
        });
        child.kill().unwrap();
        child.wait().unwrap();
        run
    }

    fn copy(&self) -> Self {
        let copy = Self::new();
        fs::create_dir(copy.path("checkpoints")).unwrap();
        for name in self.files().iter().map(|name| format!("checkpoints/{name}")) {
            fs::copy(self.path(&name), copy.path(&name)).unwrap();
        }
        for name in ["output.jsonl", "output.jsonl.committed"] {
            fs::copy(self.path(name), copy.path(name)).unwrap();
        }
        copy
    }

    fn output(&self) -> Vec<u8> {
        fs::read(self.path("output.jsonl")).unwrap()
    }
}

fn expected() -> Vec<u8> {
    let run = Run::new();
    said(&run.command().output().unwrap(), 0);
    run.output()
}

/// What a process said that ended with this code.
fn said(output: &Output, code: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..PATIENCE_MS {
        if is_so() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("waited in vain until {what}");
}

/// Does harm to each file of a killed run in turn.
fn damage_each_file(what: &str, harm: impl Fn(&mut Vec<u8>)) {
    let (expected, run) = (expected(), Run::killed());
    let (mut passed_over, mut refused) = (0, 0);
    for name in run.files() {
        let copy = run.copy();
        let path = copy.path("checkpoints").join(&name);
        let mut bytes = fs::read(&path).unwrap();
        if bytes.is_empty() {
            // One that was just begun when the process was killed.
            continue;
        }
        harm(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let before = copy.files();
        let output = copy.go_on();
        let text = String::from_utf8(output.stderr.clone()).unwrap();
        if output.status.success() {
            assert!(copy.output() == expected, "{what} `{name}`: other output\n{text}");
            passed_over += usize::from(text.contains(&name));
        } else {
            said(&output, 1);
            assert!(text.contains(&name), "{what} `{name}`: not named\n{text}");
            assert_eq!(copy.files(), before, "{what} `{name}`: files are gone");
            refused += 1;
        }
    }
    println!("{what}: {passed_over} files passed over, {refused} refused");
    assert!(passed_over > 0, "{what}: the older checkpoint was never used");
}

#[test]
fn a_flipped_byte_in_each_file() {
    damage_each_file("a flipped byte in", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
    });
}

#[test]
fn each_file_cut_off() {
    damage_each_file("half of", |bytes| bytes.truncate(bytes.len() / 2));
}

#[test]
fn a_directory_that_vanishes() {
    let run = Run::new();
    let checkpoints = run.path("checkpoints");
    let child = run.checkpointed(&checkpoints).args(["--rate", "100000/s"]).spawn().unwrap();
    wait_until("there is a checkpoint", || !run.manifests().is_empty());
    let away = run.path("away");
    fs::rename(&checkpoints, &away).unwrap();
    let text = said(&child.wait_with_output().unwrap(), 1);
    assert!(text.contains("checkpoints"), "{text}");
    // Put back, it goes on as if nothing had been.
    let _ = fs::remove_dir_all(&checkpoints);
    fs::rename(&away, &checkpoints).unwrap();
    said(&run.go_on(), 0);
    assert!(run.output() == expected());
}

#[test]
fn a_directory_that_cannot_be_written() {
    let run = Run::new();
    // Not even root can make a directory there.
    let text = said(&run.checkpointed(Path::new("/proc/tailwater")).output().unwrap(), 1);
    assert!(text.starts_with("error: ") && text.contains("/proc/tailwater"), "{text}");
    assert!(!run.path("output.jsonl").exists(), "nothing was read, so nothing is written");
}

#[test]
fn a_directory_of_somebody_else() {
    let run = Run::killed();
    let mut permissions = fs::metadata(run.path("checkpoints")).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(run.path("checkpoints"), permissions.clone()).unwrap();
    if fs::write(run.path("checkpoints/probe"), "").is_ok() {
        println!("skipped: this user may write everywhere");
        return;
    }
    let (files, text) = (run.files(), said(&run.go_on(), 1));
    assert!(text.contains("checkpoints") && run.files() == files, "{text}");
    #[allow(clippy::permissions_set_readonly_false)] // So that it can be cleaned up.
    permissions.set_readonly(false);
    fs::set_permissions(run.path("checkpoints"), permissions).unwrap();
    said(&run.go_on(), 0);
    assert!(run.output() == expected());
}

/// A small file system of its own, as long as it is wanted.
struct Mounted(PathBuf);

impl Mounted {
    fn new(path: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path);
        let done = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        done.then_some(Self(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk() {
    let run = Run::new();
    let Some(mounted) = Mounted::new(run.path("checkpoints"), "512k") else {
        println!("skipped: only root may mount a small file system");
        return;
    };
    let ballast = mounted.0.join("ballast");
    let child = run.checkpointed(&mounted.0).args(["--rate", "100000/s"]).spawn().unwrap();
    wait_until("there is a checkpoint", || !run.manifests().is_empty());
    // As much as there is room for.
    let _ = fs::write(&ballast, vec![1; 1 << 20]);
    let text = said(&child.wait_with_output().unwrap(), 1);
    assert!(text.contains("free some space"), "{text}");
    fs::remove_file(ballast).unwrap();
    assert!(!run.manifests().is_empty(), "the checkpoints are gone");
    said(&run.go_on(), 0);
    assert!(run.output() == expected());
}
