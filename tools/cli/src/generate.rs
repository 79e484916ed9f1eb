//! `tailwater generate`: a synthetic tape as a file.

use std::fs::File;
use std::io::{IsTerminal, Write};

use tailwater::{Error, Result};
use tailwater_market::{Options, write_csv, write_itch50};

use crate::arguments::{GenerateArgs, TapeFormat};
use crate::look::{GOOD, count};
use crate::progress;

/// Writes the tape.
///
/// # Errors
/// When an option is outside its limits, or the output cannot be written.
pub fn generate(arguments: GenerateArgs) -> Result<()> {
    let options = Options {
        symbols: arguments.symbols,
        seed: arguments.seed,
        events: arguments.events,
        // The times of the two formats are the same: those of a trading day, from its midnight.
        start: Options::OPEN,
        ..Options::default()
    };
    let shown = arguments.output.display();
    let to_stdout = arguments.output.as_os_str() == "-";
    let out: Box<dyn Write> = if to_stdout {
        Box::new(std::io::stdout().lock())
    } else {
        Box::new(
            File::create(&arguments.output)
                .map_err(|cause| Error::io(format!("cannot create `{shown}`"), cause))?,
        )
    };
    let visible = !arguments.quiet && std::io::stderr().is_terminal();
    let bar = visible.then(|| progress::bar(Some(options.events), "events"));
    let progress = |events| {
        if let Some(bar) = &bar {
            bar.set_position(events);
        }
    };
    let written = match arguments.format {
        TapeFormat::Csv => write_csv(&options, out, progress),
        TapeFormat::Itch50 => write_itch50(&options, out, progress),
    };
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let written = written.map_err(|error| error.context(format!("cannot write `{shown}`")))?;
    if !arguments.quiet {
        anstream::eprintln!(
            "{GOOD}wrote{GOOD:#} {} events, {} of them trades, to {shown}",
            count(written.events),
            count(written.prints),
        );
    }
    Ok(())
}
