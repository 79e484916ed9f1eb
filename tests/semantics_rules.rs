//! Every rule of docs/semantics.md is cited by a test that proves it, or its subject is not built.
//!
//! Method: reads the numbered rules of the page and all tests of the repository, where a comment
//! says `SEMANTICS` and the numbers: 7, or 9 and 11 as a list, or 51-57 as a range. A rule without
//! a test must be on the list below with the reason; code that is no test may cite rules as well,
//! and does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rules of the contract; their numbers are fixed.
const RULES: u32 = 100;

/// Rules, from the first to the last, that no test can prove yet.
const NOT_BUILT: &[(u32, u32, &str)] = &[
    (42, 42, "a departure: merged windows cannot be over, so there is nothing to refuse"),
    (66, 66, "checkpoints are aligned"),
    (82, 83, "there are no savepoints"),
    (91, 97, "there are no patterns yet"),
];

/// The tests of a file: all of a test's file, of others what follows `#[cfg(test)]`.
fn tests_of<'a>(path: &Path, text: &'a str) -> &'a str {
    let is_test = path.components().any(|part| part.as_os_str() == "tests")
        || path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .is_some_and(|stem| stem == "tests" || stem.ends_with("_tests"));
    if is_test {
        return text;
    }
    text.find("#[cfg(test)]\nmod tests {").map_or("", |begin| &text[begin..])
}

/// The rules that a text cites: what follows each `SEMANTICS` as long as it is numbers, lists and
/// ranges.
fn citations(text: &str) -> BTreeSet<u32> {
    let mut cited = BTreeSet::new();
    for citation in text.split("SEMANTICS ").skip(1) {
        let mut range_from = None;
        let mut rest = citation;
        loop {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let Ok(number) = rest[..digits].parse::<u32>() else { break };
            let first = range_from.take().unwrap_or(number);
            cited.extend(first..=number);
            rest = &rest[digits..];
            let separator = [", ", "-", " to ", " and "].into_iter().find(|s| rest.starts_with(s));
            let Some(separator) = separator else { break };
            rest = &rest[separator.len()..];
            if matches!(separator, "-" | " to ") {
                range_from = Some(number);
            }
        }
    }
    cited
}

/// The numbers of the page's rules: lines that begin with a number and a full stop.
fn rules(page: &str) -> Vec<u32> {
    page.lines().filter_map(|line| line.split_once(". ")?.0.parse().ok()).collect()
}

/// All sources below a directory that hold tests of the project.
fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the repository can be read") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                sources(&path, into);
            }
        } else if name.ends_with(".rs") && name != "semantics_rules.rs" {
            into.push(path);
        }
    }
}

fn reason(rule: u32) -> Option<&'static str> {
    let found = NOT_BUILT.iter().find(|(first, last, _)| (*first..=*last).contains(&rule));
    found.map(|(_, _, reason)| *reason)
}

#[test]
fn the_page_has_all_rules_in_order() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/semantics.md");
    let numbered = rules(&fs::read_to_string(page).expect("the page can be read"));
    assert_eq!(numbered, (1..=RULES).collect::<Vec<_>>());
}

#[test]
fn every_rule_is_cited_by_a_test_or_not_built() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(root, &mut files);
    let mut cited: BTreeMap<u32, usize> = BTreeMap::new();
    for path in &files {
        let text = fs::read_to_string(path).expect("a source can be read");
        let within = path.strip_prefix(root).expect("it lies in the repository");
        for rule in citations(tests_of(within, &text)) {
            *cited.entry(rule).or_default() += 1;
        }
    }
    let unknown: Vec<_> = cited.keys().filter(|rule| !(1..=RULES).contains(*rule)).collect();
    assert!(unknown.is_empty(), "tests cite rules that do not exist: {unknown:?}");
    let unproven: Vec<_> =
        (1..=RULES).filter(|rule| !cited.contains_key(rule) && reason(*rule).is_none()).collect();
    assert!(
        unproven.is_empty(),
        "no test cites these rules: write one that proves each and says `// SEMANTICS n`, or say \
         in NOT_BUILT why there is none: {unproven:?}"
    );
}

#[test]
fn citations_are_read() {
    assert_eq!(citations("// SEMANTICS 7"), BTreeSet::from([7]));
    assert_eq!(citations("// SEMANTICS 9, 11: and 3 more"), BTreeSet::from([9, 11]));
    assert_eq!(citations("(SEMANTICS 75 to 78, 4)"), BTreeSet::from([4, 75, 76, 77, 78]));
    assert_eq!(
        citations("SEMANTICS 85 and 86.\nSEMANTICS 51-53"),
        BTreeSet::from([51, 52, 53, 85, 86])
    );
    assert_eq!(citations("SEMANTICS of 4"), BTreeSet::new());
    let source = "// SEMANTICS 1\n#[cfg(test)]\nmod tests {\n// SEMANTICS 2\n}";
    assert_eq!(citations(tests_of(Path::new("src/a.rs"), source)), BTreeSet::from([2]));
    assert_eq!(citations(tests_of(Path::new("src/a/tests.rs"), source)), BTreeSet::from([1, 2]));
    assert_eq!(rules("1. A\n   2. b\ntext\n3. C"), [1, 3]);
}
