//! Trading calendars of any text: no panic, and sessions in order within the days that they say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tailwater_connectors::Calendar;

fuzz_target!(|text: &str| {
    let Ok(calendar) = Calendar::parse("calendar", text) else { return };
    let sessions = calendar.sessions().expect("it was checked when it was read");
    let (covers, mut free) = (sessions.covers(), sessions.covers().start);
    for session in sessions.all() {
        assert!(free <= session.start && session.start < session.end && session.end <= covers.end);
        free = session.end;
    }
});
