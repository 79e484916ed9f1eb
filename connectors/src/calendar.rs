//! Trading calendars: when a market is open, from a small file.
//!
//! ```text
//! # New York Stock Exchange, the regular session.
//! time-zone America/New_York
//! days 2026-01-01 2026-12-31
//! session Mon-Fri 09:30 16:00
//! half-day 2026-11-27 09:30 13:00
//! holiday 2026-11-26 Thanksgiving
//! ```
//!
//! A line is a word and what belongs to it; `#` begins a comment. Times are those of the time zone,
//! which must be the first line; a time with `+1` is of the day after (`session Sun-Thu 18:00
//! 17:00+1`). Several `session` lines make several sessions a day. A `half-day` replaces the
//! sessions of its day; several of them for one day add up. A `holiday` has none.
//!
//! The database of time zones is compiled in. Where the clock is put forward, a time that does not
//! exist is taken as so much later; where it is put back, a time that comes twice is the first.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::ToSpan;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use tailwater_core::{Error, Result, Timestamp};
use tailwater_operators::Window;
use tailwater_operators::window::general::Sessions;

/// More days than any calendar has; a bound on what a mistyped year costs.
const DAYS_MAX: i32 = 366 * 200;

/// The sessions of a market on each day.
///
/// ```
/// use tailwater_connectors::Calendar;
///
/// let calendar = Calendar::parse(
///     "nyse.txt",
///     "time-zone America/New_York\n\
///      days 2026-11-23 2026-11-28\n\
///      session Mon-Fri 09:30 16:00\n\
///      holiday 2026-11-26 Thanksgiving\n\
///      half-day 2026-11-27 09:30 13:00\n",
/// )?;
/// assert_eq!(calendar.sessions()?.all().len(), 4);
/// # Ok::<(), tailwater_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    first: Date,
    last: Date,
    rules: Vec<Rule>,
    /// The sessions of days that are unlike others; none on holidays.
    exceptions: BTreeMap<Date, Vec<Hours>>,
}

/// Hours that a market is open, in local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hours {
    open: Moment,
    close: Moment,
}

/// A time of this day, or of one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    days: i8,
    time: Time,
}

/// Hours of some days of the week.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// A bit a day, Monday first.
    weekdays: u8,
    hours: Hours,
}

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl Calendar {
    /// Reads a calendar file.
    ///
    /// # Errors
    /// When it cannot be read, or is no calendar: then with file and line.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::io(format!("cannot read the calendar {name}"), error))?;
        Self::parse(&name, &text)
    }

    /// Reads the text of a calendar; `name` is what errors call it.
    ///
    /// # Errors
    /// When it is no calendar: the message begins with `name:line`.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let mut parser = Parser::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<_> = line.split_whitespace().collect();
            parser
                .line(&words)
                .map_err(|what| Error::format(format!("{name}:{}: {what}", index + 1)))?;
        }
        let lines = text.lines().count().max(1);
        let calendar =
            parser.finish().map_err(|what| Error::format(format!("{name}:{lines}: {what}")))?;
        calendar.sessions().map_err(|error| error.context(format!("calendar {name}")))?;
        Ok(calendar)
    }

    /// The sessions in order, as nanoseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// When sessions overlap, or a day lies outside of the nanoseconds of an `i64`.
    pub fn sessions(&self) -> Result<Sessions> {
        let mut sessions = Vec::new();
        let mut day = self.first;
        loop {
            for hours in self.hours_of(day) {
                let window = self.window(day, hours)?;
                // A session that the clock's change leaves nothing of.
                if window.start < window.end {
                    sessions.push(window);
                }
            }
            if day == self.last {
                break;
            }
            day = day.tomorrow().map_err(|error| out_of_range(day, &error))?;
        }
        sessions.sort_unstable();
        let midnight = Moment { days: 0, time: Time::midnight() };
        let start = self.instant(self.first, midnight)?;
        let end = self.instant(self.last, Moment { days: 1, ..midnight })?;
        // The last session may end in the night after the last day.
        let last = sessions.last().map_or(end, |session| session.end.max(end));
        Sessions::new(Window { start, end: last }, sessions)
    }

    /// The sessions of one day, `2026-11-27`, as nanoseconds since its midnight: for data that
    /// counts so, as NASDAQ's ITCH does.
    ///
    /// # Errors
    /// When the day is no date, or not in the calendar.
    pub fn since_midnight(&self, day: &str) -> Result<Sessions> {
        let date = date(day).map_err(Error::configuration)?;
        if date < self.first || date > self.last {
            return Err(Error::configuration(format!(
                "the calendar knows the days from {} to {}, but not {date}",
                self.first, self.last
            )));
        }
        let midnight = Moment { days: 0, time: Time::midnight() };
        let start = self.instant(date, midnight)?;
        let end = self.instant(date, Moment { days: 2, ..midnight })?;
        let since = |at: Timestamp| Timestamp(at.0 - start.0);
        let sessions = self
            .hours_of(date)
            .map(|hours| self.window(date, hours))
            .map(|window| window.map(|w| Window { start: since(w.start), end: since(w.end) }));
        let mut sessions = sessions.collect::<Result<Vec<_>>>()?;
        sessions.sort_unstable();
        Sessions::new(Window { start: Timestamp(0), end: since(end) }, sessions)
    }

    fn hours_of(&self, day: Date) -> impl Iterator<Item = Hours> {
        let exception = self.exceptions.get(&day);
        let bit = 1 << day.weekday().to_monday_zero_offset();
        let usual = self.rules.iter().filter(move |rule| rule.weekdays & bit != 0);
        let usual = usual.map(|rule| rule.hours).filter(move |_| exception.is_none());
        exception.into_iter().flatten().copied().chain(usual)
    }

    fn window(&self, day: Date, hours: Hours) -> Result<Window> {
        Ok(Window { start: self.instant(day, hours.open)?, end: self.instant(day, hours.close)? })
    }

    fn instant(&self, day: Date, moment: Moment) -> Result<Timestamp> {
        let instant = day
            .checked_add(i64::from(moment.days).days())
            .and_then(|day| self.zone.to_timestamp(day.to_datetime(moment.time)))
            .map_err(|error| out_of_range(day, &error))?;
        let nanoseconds = instant.as_nanosecond();
        i64::try_from(nanoseconds).map(Timestamp).map_err(|error| out_of_range(day, &error))
    }
}

fn out_of_range(day: Date, cause: &dyn std::fmt::Display) -> Error {
    Error::format(format!("a calendar cannot hold {day}: {cause}"))
}

impl From<&Calendar> for Sessions {
    fn from(calendar: &Calendar) -> Self {
        calendar.sessions().expect("a calendar is checked when it is read")
    }
}

impl From<Calendar> for Sessions {
    fn from(calendar: Calendar) -> Self {
        Self::from(&calendar)
    }
}

/// What has been read so far. What is wrong with a line is a plain text; the caller knows where.
#[derive(Default)]
struct Parser {
    zone: Option<TimeZone>,
    days: Option<(Date, Date)>,
    rules: Vec<Rule>,
    exceptions: BTreeMap<Date, Vec<Hours>>,
}

impl Parser {
    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        if self.zone.is_none() && !matches!(words, [] | ["time-zone", ..]) {
            return Err("a calendar begins with its `time-zone`".to_owned());
        }
        match *words {
            [] => {}
            ["time-zone", name] if self.zone.is_none() => {
                let zone = TimeZoneDatabase::bundled().get(name);
                self.zone = Some(zone.map_err(|_| format!("no time zone is named `{name}`"))?);
            }
            ["days", first, last] if self.days.is_none() => {
                let (first, last) = (date(first)?, date(last)?);
                let count = first.until(last).map_err(|error| error.to_string())?.get_days();
                if !(0..DAYS_MAX).contains(&count) {
                    return Err(format!("from {first} to {last} are not 1 to {DAYS_MAX} days"));
                }
                self.days = Some((first, last));
            }
            ["time-zone" | "days", ..] => {
                return Err(format!("`{}` is said once, as in the example", words[0]));
            }
            ["session", days, open, close] => {
                self.rules.push(Rule { weekdays: weekdays(days)?, hours: hours(open, close)? });
            }
            ["half-day", day, open, close, ..] => {
                let (day, hours) = (self.known(day)?, hours(open, close)?);
                let sessions = self.exceptions.entry(day).or_default();
                if sessions.contains(&hours) {
                    return Err(format!("this half-day of {day} is there already"));
                }
                sessions.push(hours);
            }
            ["holiday", day, ..] => {
                let day = self.known(day)?;
                if self.exceptions.insert(day, Vec::new()).is_some() {
                    return Err(format!("{day} is there already, as a holiday or half-day"));
                }
            }
            [word, ..] => {
                return Err(format!(
                    "`{word}` needs other words behind it, or is none of time-zone, days, \
                     session, half-day, holiday"
                ));
            }
        }
        Ok(())
    }

    /// A date within the days of the calendar.
    fn known(&self, text: &str) -> Result<Date, String> {
        let day = date(text)?;
        let (first, last) = self.days.ok_or("say the `days` of the calendar before this")?;
        if day < first || day > last {
            return Err(format!("{day} is not within the days of the calendar"));
        }
        Ok(day)
    }

    fn finish(self) -> Result<Calendar, String> {
        let zone = self.zone.ok_or("a calendar begins with its `time-zone`")?;
        let (first, last) = self.days.ok_or("the `days` of the calendar are missing")?;
        if self.rules.is_empty() {
            return Err("no `session` is there".to_owned());
        }
        Ok(Calendar { zone, first, last, rules: self.rules, exceptions: self.exceptions })
    }
}

fn date(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| format!("`{text}` is no date; write 2026-11-27"))
}

/// `09:30`, or `17:00+1` for the day after.
fn moment(text: &str) -> Result<Moment, String> {
    let (clock, days) = match text.strip_suffix("+1") {
        Some(clock) => (clock, 1),
        None => (text, 0),
    };
    let time = Time::strptime("%H:%M", clock).or_else(|_| Time::strptime("%H:%M:%S", clock));
    let time = time.map_err(|_| format!("`{text}` is no time; write 09:30, or 17:00+1"))?;
    Ok(Moment { days, time })
}

fn hours(open: &str, close: &str) -> Result<Hours, String> {
    let hours = Hours { open: moment(open)?, close: moment(close)? };
    if hours.open < hours.close {
        return Ok(hours);
    }
    Err(format!("the close {close} is not after the open {open}; write {close}+1 for the next day"))
}

/// `Mon-Fri`, `Sun`, or `Mon,Wed-Fri`; a range may run over the end of the week.
fn weekdays(text: &str) -> Result<u8, String> {
    let day = |name: &str| {
        let found = WEEKDAYS.iter().position(|day| *day == name);
        found.ok_or_else(|| format!("`{name}` is no day of the week; write Mon, Tue, .."))
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(first)?, day(last)?);
        bits |= 1 << at;
        while at != last {
            at = (at + 1) % WEEKDAYS.len();
            bits |= 1 << at;
        }
    }
    debug_assert!(Weekday::Monday.to_monday_zero_offset() == 0, "Monday is the first bit");
    Ok(bits)
}

#[cfg(test)]
mod tests;
