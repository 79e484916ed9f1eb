//! The names of a store's files. Numbers have eight digits or more, so that names sort as they do.
//!
//! ```text
//! checkpoint-00000042.manifest               the manifest of checkpoint 42
//! segment-00000042.tw                        the changes, or all entries, of checkpoint 42
//! segment-00000001-00000040-00000042.tw      those of checkpoints 1 to 40, merged before
//!                                            checkpoint 42; a higher number where that name
//!                                            is taken
//! ```

/// What a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Manifest(u64),
    Segment,
}

pub(crate) fn manifest(checkpoint: u64) -> String {
    format!("checkpoint-{checkpoint:08}.manifest")
}

pub(crate) fn segment(checkpoint: u64) -> String {
    format!("segment-{checkpoint:08}.tw")
}

pub(crate) fn merged(first: u64, last: u64, by: u64) -> String {
    format!("segment-{first:08}-{last:08}-{by:08}.tw")
}

/// What a file is by its name; `None` where it is none of a store's.
pub(crate) fn parse(name: &str) -> Option<Named> {
    if let Some(number) = name.strip_prefix("checkpoint-") {
        return Some(Named::Manifest(digits(number.strip_suffix(".manifest")?)?));
    }
    let numbers = name.strip_prefix("segment-")?.strip_suffix(".tw")?;
    let numbers: Vec<_> = numbers.split('-').map(digits).collect::<Option<_>>()?;
    matches!(numbers.len(), 1 | 3).then_some(Named::Segment)
}

fn digits(text: &str) -> Option<u64> {
    let is_number = text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_are() {
        assert_eq!(parse(&manifest(42)), Some(Named::Manifest(42)));
        assert_eq!(parse(&manifest(u64::MAX)), Some(Named::Manifest(u64::MAX)));
        assert_eq!(parse(&segment(7)), Some(Named::Segment));
        assert_eq!(parse(&merged(1, 40, 42)), Some(Named::Segment));
        for other in ["", "checkpoint-1.manifest", "segment-00000001-00000002.tw", "notes.txt"] {
            assert_eq!(parse(other), None, "{other}");
        }
        assert!(manifest(9) < manifest(10));
    }
}
