//! The options of a command line that say whether a job runs as a stream or as a batch, and in
//! which order it takes its records.

use std::path::PathBuf;

use clap::Args;
use tailwater_operators::RuntimeMode;
use tailwater_runtime::Local;
use tailwater_state::SortOptions;

use crate::parse_bytes;

/// Options that every program which runs a job has; flatten them into its own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Batch")]
pub struct ModeOptions {
    /// How to run the job: streaming, batch (all input ends: sorted by key and time, final results
    /// only, no checkpoints), or automatic (batch where all input ends)
    #[arg(long, default_value = "streaming", value_name = "MODE", conflicts_with = "batch")]
    pub runtime_mode: RuntimeMode,
    /// The same as --runtime-mode batch
    #[arg(long)]
    pub batch: bool,
    /// The most memory for sorting, of each keyed input and core; what is more goes to files
    #[arg(long, default_value = "256MiB", value_name = "BYTES", value_parser = parse_bytes)]
    pub sort_memory: u64,
    /// Where those files go [default: the machine's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub sort_directory: Option<PathBuf>,
    /// Merge the inputs of each operator by event time, source and sequence, so that results do not
    /// depend on the number of cores or on scheduling; costs throughput, and memory for what waits
    /// for the watermark
    #[arg(long, conflicts_with = "batch", help_heading = "Order")]
    pub deterministic: bool,
}

impl ModeOptions {
    /// The same way to run a job, with these options.
    pub fn apply(self, local: Local) -> Local {
        let mode = if self.batch { RuntimeMode::Batch } else { self.runtime_mode };
        let sort = SortOptions { memory: self.sort_memory, directory: self.sort_directory };
        Local { mode, sort, deterministic: self.deterministic, ..local }
    }
}
