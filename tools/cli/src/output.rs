//! Where results go: files of JSON lines, standard output, or a count and the last few lines.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tailwater::connectors::{Files, stdout};
use tailwater::operators::{Sink, SinkContext, SinkWriter};
use tailwater::{Error, Record, Result, Stamped};

use crate::jobs::Order;

/// How many of the last results are shown where they go nowhere else.
const SAMPLE_LEN: usize = 5;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nowhere.
    Counted,
    /// Standard output.
    Stdout,
    /// A file, or a directory of parts if the path ends in `/`.
    Files(PathBuf),
}

impl Target {
    /// The target that `--output` names.
    pub fn of(output: Option<&Path>) -> Self {
        match output {
            None => Self::Counted,
            Some(path) if path.as_os_str() == "-" => Self::Stdout,
            Some(path) => Self::Files(path.to_owned()),
        }
    }
}

/// A sink of JSON lines with one writer.
#[derive(Clone, Debug)]
pub struct Lines {
    target: Target,
    order: Order,
    sample: Sample,
}

/// The last few lines of a job whose results are counted.
#[derive(Clone, Debug, Default)]
pub struct Sample(Arc<Mutex<Vec<String>>>);

impl Sample {
    /// The lines; complete when the job has ended.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Lines {
    /// Lines for `target`, which come in `order`.
    pub fn new(target: Target, order: Order) -> Self {
        Self { target, order, sample: Sample::default() }
    }

    /// Where the last few lines will be, if they are only counted.
    pub fn sample(&self) -> Sample {
        self.sample.clone()
    }
}

impl<T: Record + Serialize> Sink<T> for Lines {
    fn name(&self) -> String {
        match &self.target {
            Target::Counted => "counted".to_owned(),
            Target::Stdout => Sink::<T>::name(&stdout()),
            Target::Files(path) => Sink::<T>::name(&Files::jsonl::<T>(path)),
        }
    }

    /// Results in order are on one core already; to gather them again would only cost a ring.
    fn single_writer(&self) -> bool {
        self.order == Order::Any
    }

    fn may_repeat(&self) -> bool {
        self.target == Target::Stdout
    }

    fn open(&self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        match &self.target {
            Target::Counted => {
                Ok(Box::new(Counted { last: VecDeque::new(), sample: self.sample.clone() }))
            }
            Target::Stdout => stdout().open(context),
            Target::Files(path) => Files::jsonl::<T>(path).open(context),
        }
    }
}

struct Counted<T> {
    last: VecDeque<T>,
    sample: Sample,
}

impl<T: Record + Serialize> SinkWriter<T> for Counted<T> {
    fn write(&mut self, batch: &mut Vec<Stamped<T>>) -> Result<()> {
        let skipped = batch.len().saturating_sub(SAMPLE_LEN);
        for Stamped { value, .. } in batch.drain(..).skip(skipped) {
            if self.last.len() == SAMPLE_LEN {
                self.last.pop_front();
            }
            self.last.push_back(value);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<bool> {
        let lines = self.last.drain(..).map(|line| serde_json::to_string(&line));
        let lines = lines
            .collect::<Result<_, _>>()
            .map_err(|cause| Error::internal("cannot format a result as JSON").caused_by(cause))?;
        *self.sample.0.lock().unwrap_or_else(PoisonError::into_inner) = lines;
        Ok(true)
    }
}
