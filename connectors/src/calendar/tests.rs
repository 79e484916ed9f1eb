//! Calendars: daylight saving both ways, half-days, holidays, sessions over midnight, and errors.

use jiff::civil::date;

use super::*;

fn calendar(lines: &str) -> Calendar {
    Calendar::parse("test", lines).unwrap()
}

/// Local dates and times of all sessions, and their lengths in minutes.
fn shown(calendar: &Calendar) -> Vec<String> {
    let show = |window: &Window| {
        let start = jiff::Timestamp::from_nanosecond(window.start.0.into()).unwrap();
        let minutes = (window.end.0 - window.start.0) / 60_000_000_000;
        format!("{} {minutes}", start.strftime("%a %d %H:%M"))
    };
    calendar.sessions().unwrap().all().iter().map(show).collect()
}

#[test]
fn the_open_moves_with_daylight_saving_in_both_directions() {
    // In UTC: 14:30 before the second Sunday of March, 13:30 after it.
    let spring = calendar(
        "time-zone America/New_York\ndays 2026-03-06 2026-03-09\nsession Mon-Fri 09:30 16:00",
    );
    assert_eq!(shown(&spring), ["Fri 06 14:30 390", "Mon 09 13:30 390"]);
    let autumn = calendar(
        "time-zone America/New_York\ndays 2026-10-30 2026-11-02\nsession Mon-Fri 09:30 16:00",
    );
    assert_eq!(shown(&autumn), ["Fri 30 13:30 390", "Mon 02 14:30 390"]);
}

#[test]
fn a_session_over_the_change_is_an_hour_shorter_or_longer() {
    let session = "session Sat 18:00 17:00+1";
    let spring = format!("time-zone America/Chicago\ndays 2026-03-07 2026-03-07\n{session}");
    assert_eq!(shown(&calendar(&spring)), ["Sun 08 00:00 1320"]);
    let autumn = format!("time-zone America/Chicago\ndays 2026-10-31 2026-10-31\n{session}");
    assert_eq!(shown(&calendar(&autumn)), ["Sat 31 23:00 1440"]);
    let usual = format!("time-zone America/Chicago\ndays 2026-05-02 2026-05-02\n{session}");
    assert_eq!(shown(&calendar(&usual)), ["Sat 02 23:00 1380"]);
}

#[test]
fn half_days_and_holidays_replace_the_sessions_of_their_day() {
    let thanksgiving = calendar(
        "# The regular session.\n\
         time-zone America/New_York   # with daylight saving\n\
         \n\
         days 2026-11-25 2026-11-30\n\
         session Mon-Fri 09:30 16:00\n\
         holiday 2026-11-26 Thanksgiving Day\n\
         half-day 2026-11-27 09:30 13:00 the day after\n",
    );
    assert_eq!(shown(&thanksgiving), ["Wed 25 14:30 390", "Fri 27 14:30 210", "Mon 30 14:30 390"]);
    let covers = thanksgiving.sessions().unwrap().covers();
    assert_eq!((covers.end.0 - covers.start.0) / 3_600_000_000_000, 6 * 24);
}

#[test]
fn several_sessions_a_day_and_weeks_that_begin_on_sunday() {
    let tokyo = calendar(
        "time-zone Asia/Tokyo\ndays 2026-01-05 2026-01-05\n\
         session Mon-Fri 12:30 15:30\nsession Mon-Fri 09:00 11:30",
    );
    assert_eq!(shown(&tokyo), ["Mon 05 00:00 150", "Mon 05 03:30 180"]);
    let futures = calendar(
        "time-zone America/Chicago\ndays 2026-01-02 2026-01-05\nsession Sun-Thu 17:00 16:00+1",
    );
    assert_eq!(shown(&futures), ["Sun 04 23:00 1380", "Mon 05 23:00 1380"]);
}

#[test]
fn data_that_counts_from_midnight_has_its_sessions_so() {
    let nasdaq = calendar(
        "time-zone America/New_York\ndays 2019-12-30 2019-12-31\nsession Mon-Fri 09:30 16:00",
    );
    let day = nasdaq.since_midnight("2019-12-30").unwrap();
    let hour = 3_600_000_000_000_i64;
    let session = Window { start: Timestamp(hour * 19 / 2), end: Timestamp(hour * 16) };
    assert_eq!(day.all(), [session]);
    assert!(nasdaq.since_midnight("2020-01-01").is_err());
    assert!(nasdaq.since_midnight("yesterday").is_err());
}

#[test]
fn errors_name_the_file_and_the_line() {
    let head = "time-zone America/New_York\ndays 2026-01-01 2026-12-31\n";
    let cases = [
        ("session Mon 09:30 16:00", 1, "begins with its `time-zone`"),
        ("time-zone Mars/Olympus", 1, "no time zone"),
        ("time-zone UTC\ntime-zone UTC", 2, "is said once"),
        ("time-zone UTC\ndays 2026-02-30 2026-03-01", 2, "is no date"),
        ("time-zone UTC\ndays 2026-03-02 2026-03-01", 2, "are not 1 to"),
        ("time-zone UTC\nholiday 2026-03-02", 2, "before this"),
        ("time-zone UTC", 1, "`days` of the calendar are missing"),
        ("", 1, "begins with its `time-zone`"),
    ];
    let with_head = [
        ("session Mon-Fry 09:30 16:00", 3, "`Fry` is no day"),
        ("session Mon-Fri 9h30 16:00", 3, "`9h30` is no time"),
        ("session Mon-Fri 16:00 09:30", 3, "is not after the open"),
        ("session Mon-Fri 09:30", 3, "needs other words"),
        ("holiday 2027-01-01", 3, "not within the days"),
        ("holiday 2026-01-01\nholiday 2026-01-01", 4, "there already"),
        ("open Mon-Fri 09:30 16:00", 3, "is none of"),
        ("\n# nothing\n", 4, "no `session` is there"),
    ];
    let with_head = with_head.map(|(lines, line, what)| (format!("{head}{lines}"), line, what));
    let cases = cases.map(|(lines, line, what)| (lines.to_owned(), line, what));
    for (lines, line, what) in cases.into_iter().chain(with_head) {
        let error = Calendar::parse("nyse.txt", &lines).unwrap_err().to_string();
        assert!(error.starts_with(&format!("nyse.txt:{line}: ")), "{lines}: {error}");
        assert!(error.contains(what), "{error} does not say {what}");
    }
    let overlapping = format!("{head}session Mon 09:30 16:00\nsession Mon 15:00 17:00");
    let error = Calendar::parse("nyse.txt", &overlapping).unwrap_err().to_string();
    assert!(error.contains("nyse.txt"), "{error}");
}

#[test]
fn far_years_are_refused_not_wrapped() {
    let far = "time-zone UTC\ndays 2500-01-01 2500-01-02\nsession Mon-Sun 09:30 16:00";
    assert!(Calendar::parse("far", far).is_err());
    assert_eq!(date(2026, 1, 5).weekday(), Weekday::Monday);
}
