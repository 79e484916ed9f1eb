//! The tape as files: CSV of the prints, or ITCH 5.0 of all that the exchange tells.

use std::io::{BufWriter, Write};

use tailwater_core::{Error, Result, Span, TimeUnits, Timestamp};

use crate::itch::{self, SystemEvent};
use crate::market::Market;
use crate::options::Options;

/// Progress is told once in so many events, and at the end.
const PROGRESS_EVERY: u64 = 1 << 16;
/// Bytes that are written at a time.
const BUFFER_LEN: usize = 1 << 18;

/// What a file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Exchange events.
    pub events: u64,
    /// Those of them that are prints.
    pub prints: u64,
}

/// Plays the market and writes its prints as CSV in the order of exchange time, with a header:
/// `symbol,price,size,at,id,buyer_is_maker`, `at` in nanoseconds. `progress` is told the number of
/// exchange events so far.
///
/// With [`Options::start`] at [`Options::OPEN`] these are exactly the trades of the file that
/// [`write_itch50`] writes.
///
/// # Errors
/// When an option is outside its limits or `out` refuses.
pub fn write_csv(
    options: &Options,
    out: impl Write,
    mut progress: impl FnMut(u64),
) -> Result<Written> {
    let names = options.names()?;
    let market = Market::new(options)?;
    let mut writer = csv::WriterBuilder::new().buffer_capacity(BUFFER_LEN).from_writer(out);
    let refused = |cause: csv::Error| Error::io("cannot write the tape as CSV", cause.into());
    let mut written = Written::default();
    for event in market {
        if let Some(print) = event.print(&names, options.start) {
            writer.serialize(print).map_err(refused)?;
            written.prints += 1;
        }
        written.events += 1;
        if written.events.is_multiple_of(PROGRESS_EVERY) {
            progress(written.events);
        }
    }
    if written.prints == 0 {
        let header = ["symbol", "price", "size", "at", "id", "buyer_is_maker"];
        writer.write_record(header).map_err(refused)?;
    }
    writer.flush().map_err(|cause| Error::io("cannot write the tape as CSV", cause))?;
    progress(written.events);
    Ok(written)
}

/// Plays the market and writes a day of NASDAQ TotalView-ITCH 5.0, each message after its length in
/// two bytes: the day's start, the stock directory, the events, the day's end. `progress` is told
/// the number of exchange events so far. Times count from midnight, whatever [`Options::start`]
/// says.
///
/// # Errors
/// When an option is outside its limits, `out` refuses, or the events take longer than the 78 hours
/// that ITCH can tell.
pub fn write_itch50(
    options: &Options,
    out: impl Write,
    mut progress: impl FnMut(u64),
) -> Result<Written> {
    let names = options.names()?;
    let market = Market::new(options)?;
    let mut out = BufWriter::with_capacity(BUFFER_LEN, out);
    let mut write = |frame: itch::Frame| {
        out.write_all(frame.bytes())
            .map_err(|cause| Error::io("cannot write the tape as ITCH 5.0", cause))
    };

    write(itch::system(SystemEvent::MessagesStart, midnight(3.hours()))?)?;
    for (index, &symbol) in (0..).zip(names.iter()) {
        write(itch::directory(index, symbol, midnight(3.hours()))?)?;
    }
    write(itch::system(SystemEvent::SystemStart, midnight(4.hours()))?)?;
    write(itch::system(SystemEvent::MarketStart, Options::OPEN)?)?;

    let (mut written, mut last) = (Written::default(), Options::OPEN);
    for event in market {
        write(itch::message(&event, &names)?)?;
        last = Options::OPEN + event.at;
        written.prints += u64::from(event.print(&names, options.start).is_some());
        written.events += 1;
        if written.events.is_multiple_of(PROGRESS_EVERY) {
            progress(written.events);
        }
    }

    write(itch::system(SystemEvent::MarketEnd, last.max(midnight(16.hours())))?)?;
    write(itch::system(SystemEvent::SystemEnd, last.max(midnight(20.hours())))?)?;
    write(itch::system(SystemEvent::MessagesEnd, last.max(midnight(20.hours())))?)?;
    out.flush().map_err(|cause| Error::io("cannot write the tape as ITCH 5.0", cause))?;
    progress(written.events);
    Ok(written)
}

fn midnight(after: Span) -> Timestamp {
    Timestamp(0) + after
}
