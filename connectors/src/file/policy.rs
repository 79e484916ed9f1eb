//! What happens to malformed input: the job fails, or it is counted, left out, perhaps kept aside.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tailwater_core::{Error, Result};

use super::BadInput;

/// How much of a malformed piece a message shows.
pub(crate) const EXCERPT_BYTES: usize = 120;

/// What to do about malformed records. They are counted under `bad_records`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The job fails, with file, place, reason and an excerpt.
    #[default]
    Fail,
    /// They are left out.
    Skip,
    /// They are left out and written to this file, one JSON object a line: `file`, `line`,
    /// `offset`, `reason` and `bytes` (or `hex` where they are not UTF-8). The file is created
    /// anew, but by a run that goes on from a checkpoint: that appends. What was written after the
    /// checkpoint is then there twice.
    DeadLetter(PathBuf),
}

impl std::str::FromStr for OnError {
    type Err = Error;

    /// Reads `fail`, `skip` or `dead-letter=FILE`.
    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            None if text == "fail" => Ok(Self::Fail),
            None if text == "skip" => Ok(Self::Skip),
            Some(("dead-letter", file)) if !file.is_empty() => Ok(Self::DeadLetter(file.into())),
            _ => Err(Error::configuration(format!(
                "`{text}` is no way to treat bad input: write `fail`, `skip` or `dead-letter=FILE`"
            ))),
        }
    }
}

/// What happens to the dead letters that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Letters {
    Anew,
    Kept,
}

/// A policy at work; shared by all readers of a source.
pub(crate) enum Policy {
    Fail,
    Skip,
    DeadLetter { path: PathBuf, file: Mutex<File> },
}

impl Policy {
    /// # Errors
    /// When the dead-letter file cannot be created.
    pub(crate) fn open(on_error: &OnError, letters: Letters) -> Result<Self> {
        Ok(match on_error {
            OnError::Fail => Self::Fail,
            OnError::Skip => Self::Skip,
            OnError::DeadLetter(path) => {
                let mut options = File::options();
                match letters {
                    Letters::Anew => options.write(true).truncate(true),
                    Letters::Kept => options.append(true),
                };
                let file = options.create(true).open(path).map_err(|cause| {
                    let message =
                        format!("cannot create the dead-letter file `{}`", path.display());
                    Error::io(message, cause)
                })?;
                Self::DeadLetter { path: path.clone(), file: Mutex::new(file) }
            }
        })
    }

    /// # Errors
    /// When the policy is to fail, or the dead-letter file cannot be written.
    pub(crate) fn treat(&self, file: &Path, bad: &BadInput) -> Result<()> {
        match self {
            Self::Fail => Err(error(file, bad)),
            Self::Skip => Ok(()),
            Self::DeadLetter { path, file: letters } => {
                let mut line = serde_json::to_vec(&Letter::new(file, bad)).map_err(|cause| {
                    Error::internal("cannot format a dead letter").caused_by(cause)
                })?;
                line.push(b'\n');
                // One write a line: readers of several cores do not mix theirs, and nothing is lost
                // when the job fails later.
                let mut letters = letters.lock().unwrap_or_else(PoisonError::into_inner);
                letters.write_all(&line).map_err(|cause| {
                    let message = format!("cannot write the dead-letter file `{}`", path.display());
                    Error::io(message, cause)
                })
            }
        }
    }
}

/// The error that a malformed piece ends a job with.
pub(crate) fn error(file: &Path, bad: &BadInput) -> Error {
    Error::format(format!("`{}`, {}", file.display(), story(bad)))
}

/// Place, reason and excerpt: `line 3, offset 71: not a price: ..`.
fn story(bad: &BadInput) -> String {
    let line = bad.line.map(|line| format!("line {line}, ")).unwrap_or_default();
    let shown = &bad.bytes[..bad.bytes.len().min(EXCERPT_BYTES)];
    let excerpt = match std::str::from_utf8(shown.trim_ascii_end()) {
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => hex(shown),
    };
    let dots = if shown.len() < bad.bytes.len() { ".." } else { "" };
    format!("{line}offset {}: {}: `{excerpt}{dots}`", bad.offset, bad.reason)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Serialize)]
struct Letter<'a> {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    offset: u64,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

impl<'a> Letter<'a> {
    fn new(file: &Path, bad: &'a BadInput) -> Self {
        let text = std::str::from_utf8(&bad.bytes).ok();
        Self {
            file: file.display().to_string(),
            line: bad.line,
            offset: bad.offset,
            reason: &bad.reason,
            bytes: text,
            hex: text.is_none().then(|| hex(&bad.bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(bytes: &[u8]) -> BadInput {
        BadInput { offset: 71, line: Some(3), reason: "not a price".into(), bytes: bytes.to_vec() }
    }

    #[test]
    fn policies_are_read_from_the_command_line() {
        assert_eq!("fail".parse::<OnError>().unwrap(), OnError::Fail);
        assert_eq!("skip".parse::<OnError>().unwrap(), OnError::Skip);
        let letters = OnError::DeadLetter("bad.jsonl".into());
        assert_eq!("dead-letter=bad.jsonl".parse::<OnError>().unwrap(), letters);
        assert!("dead-letter=".parse::<OnError>().is_err());
    }

    #[test]
    fn failing_tells_the_place_and_shows_the_piece() {
        let error = Policy::Fail.treat(Path::new("t.csv"), &bad(b"X,\"1\"\n")).unwrap_err();
        let expected = "`t.csv`, line 3, offset 71: not a price: `X,\\\"1\\\"`";
        assert_eq!(error.to_string(), expected);
        assert!(story(&bad(&[0xFF; 500])).ends_with("ff..`"));
    }

    #[test]
    fn dead_letters_hold_text_or_hex() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bad.jsonl");
        let policy = Policy::open(&OnError::DeadLetter(path.clone()), Letters::Anew).unwrap();
        policy.treat(Path::new("t.csv"), &bad(b"X,1\n")).unwrap();
        policy.treat(Path::new("t.csv"), &bad(b"\xFF\x00")).unwrap();
        let letters = std::fs::read_to_string(path).unwrap();
        let head = r#"{"file":"t.csv","line":3,"offset":71,"reason":"not a price","#;
        assert_eq!(letters, format!("{head}\"bytes\":\"X,1\\n\"}}\n{head}\"hex\":\"ff00\"}}\n"));
    }

    #[test]
    fn a_dead_letter_file_that_cannot_be_made_is_an_error_at_once() {
        let error = Policy::open(&OnError::DeadLetter("/nowhere/at/all".into()), Letters::Anew)
            .err()
            .unwrap();
        assert!(error.to_string().contains("dead-letter file `/nowhere/at/all`"));
    }
}
