//! NASDAQ TotalView-ITCH 5.0: binary messages, each behind a two-byte big-endian length.
//!
//! ```text
//! +--------+------+--------+----------+-----------+------------------
//! | length | type | locate | tracking | timestamp | fields of the type
//! +--------+------+--------+----------+-----------+------------------
//!     2       1       2         2          6
//! ```
//!
//! The length field does not count itself. It may be zero, because some writers leave it so: the
//! length follows from the type, and a field that says otherwise is bad input. Timestamps are
//! nanoseconds since midnight in New York; prices have four decimals.

mod message;
mod trades;

use crate::file::{Decoder, Format, Looks, Rest, Restart, Step, Unit};

pub use message::{ItchBody, ItchMessage};
pub use trades::{ItchTradeDecoder, ItchTrades};

/// The bytes of the length field.
const LENGTH_BYTES: usize = 2;

/// Nanoseconds of a day: no timestamp is greater.
const DAY_NS: i64 = 86_400_000_000_000;

/// The length of a message by its type, as ITCH 5.0 lists them; `None` for a type that it does not
/// have.
pub const fn message_len(kind: u8) -> Option<usize> {
    Some(match kind {
        b'S' | b'W' => 12,
        b'B' | b'D' => 19,
        b'Y' | b'N' => 20,
        b'h' => 21,
        b'X' => 23,
        b'H' => 25,
        b'L' => 26,
        b'K' => 28,
        b'E' => 31,
        b'V' | b'J' | b'U' => 35,
        b'A' | b'C' => 36,
        b'R' => 39,
        b'F' | b'Q' => 40,
        b'P' => 44,
        b'O' => 48,
        b'I' => 50,
        _ => return None,
    })
}

/// Whether bytes start like an ITCH file: with a message whose length and time are possible.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    let [high, low, kind, rest @ ..] = head else { return false };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let possible = message_len(*kind).is_some_and(|of_type| length == 0 || length == of_type);
    possible && rest.get(4..10).is_some_and(|time| message::time_of(time).0 < DAY_NS)
}

/// What stands at the beginning of the input.
enum Frame<'a> {
    /// A message of a known type and its right length, and the bytes it takes with its length
    /// field.
    Message(&'a [u8], usize),
    /// The empty message that ends a session.
    End(usize),
    Bad(String, usize),
    Lost(String),
    Incomplete,
}

#[inline]
fn frame(input: &[u8], rest: Rest) -> Frame<'_> {
    let [high, low, behind @ ..] = input else { return Frame::Incomplete };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let Some(&kind) = behind.first() else {
        return if length == 0 && rest == Rest::None {
            Frame::End(LENGTH_BYTES)
        } else {
            Frame::Incomplete
        };
    };
    match message_len(kind) {
        Some(of_type) if length == 0 || length == of_type => match behind.get(..of_type) {
            Some(message) => Frame::Message(message, LENGTH_BYTES + of_type),
            None => Frame::Incomplete,
        },
        None if length == 0 => Frame::Lost(format!(
            "ITCH 5.0 has no message of type {}, and without a length the next cannot be found",
            shown(kind)
        )),
        // The field is what frames messages, so the next one is looked for where it says.
        _ if behind.len() < length => Frame::Incomplete,
        Some(of_type) => {
            let reason = format!(
                "a message of type {} has {of_type} bytes, not the {length} of its length field",
                shown(kind)
            );
            Frame::Bad(reason, LENGTH_BYTES + length)
        }
        None => {
            let reason = format!("ITCH 5.0 has no message of type {}", shown(kind));
            Frame::Bad(reason, LENGTH_BYTES + length)
        }
    }
}

fn shown(kind: u8) -> String {
    if kind.is_ascii_graphic() { format!("`{}`", kind as char) } else { format!("{kind:#04x}") }
}

/// ITCH files read for all their messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct ItchMessages;

impl Format for ItchMessages {
    type Decoder = ItchMessageDecoder;

    fn name(&self) -> String {
        "NASDAQ ITCH 5.0".to_owned()
    }

    fn decoder(&self, looks: Looks) -> Option<ItchMessageDecoder> {
        is_plausible(looks).then_some(ItchMessageDecoder)
    }
}

fn is_plausible(looks: Looks) -> bool {
    matches!(looks, Looks::Itch50 | Looks::Unknown | Looks::Empty)
}

/// Reads every message.
#[derive(Clone, Copy, Debug, Default)]
pub struct ItchMessageDecoder;

impl Decoder for ItchMessageDecoder {
    type Out = ItchMessage;

    fn unit(&self) -> Unit {
        Unit::Offset
    }

    fn restart(&self) -> Restart {
        Restart::Anywhere
    }

    #[inline]
    fn next(&mut self, input: &[u8], rest: Rest) -> Step<ItchMessage> {
        match frame(input, rest) {
            Frame::Message(bytes, used) => match ItchMessage::read(bytes) {
                Ok(message) => Step::Record(message, used),
                Err(reason) => Step::Bad(reason, used),
            },
            Frame::End(used) => Step::Nothing(used),
            Frame::Bad(reason, used) => Step::Bad(reason, used),
            Frame::Lost(reason) => Step::Lost(reason),
            Frame::Incomplete => Step::Incomplete,
        }
    }
}

#[cfg(test)]
mod tests;
