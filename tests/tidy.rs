//! The house is in order: who may import whom, what a file must look like, what must not be in it.
//!
//! Method: every check is a function from a file's name and text to complaints, each with a file, a
//! line and what to do. A test a rule runs it over the tree; a test a rule feeds it bad samples, so
//! that no check can fall silent. `clippy.toml` and the workspace's lints do what needs types.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A file with more lines is two files.
const LINES_MAX: usize = 600;
/// Columns of a line of Rust.
const COLUMNS_MAX: usize = 100;
/// A literal that is longer need not be broken to fit the margin.
const LITERAL_MIN: usize = 40;

/// The engine's members and those that each of them may import; a member that is not named here is
/// not allowed to be one.
const IMPORTS: &[(&str, &[&str])] = &[
    ("core", &["derive"]),
    ("derive", &[]),
    ("network", &["core"]),
    ("state", &["core"]),
    ("operators", &["core", "state"]),
    ("connectors", &["core", "state", "operators"]),
    ("runtime", &["core", "network", "state", "operators"]),
    ("", &["core", "derive", "network", "state", "operators", "connectors", "runtime"]),
    // The tape is a source like those of `connectors`, and sits beside them.
    ("tools/market", &["core", "operators"]),
    ("tools/simulator", &["", "core", "state", "operators", "runtime"]),
    ("tools/cli", &["", "core", "tools/market"]),
];

/// Libraries that only some members may import, because the others must not know what they stand
/// for.
const RESTRICTED: &[(&str, &[&str])] = &[("glommio", &["runtime", "connectors"])];

/// Paths of code that members must not name outside their tests, and why.
const UNKNOWN: &[(&str, &[&str], &str)] = &[
    ("core/src/", &["std::thread", "std::fs", "std::net"], "core knows no threads, files, sockets"),
    ("state/src/", &["std::thread", "std::net"], "state knows no threads and no network"),
    (
        "operators/src/",
        &["std::thread", "std::fs", "std::net", "tailwater_network", "tailwater_runtime"],
        "operators see clean callbacks: the driver and the connectors do this",
    ),
];

/// The files that may hold `unsafe`.
const UNSAFE: &[&str] = &[
    "network/src/ring.rs",
    "network/src/scatter.rs",
    "state/src/arena.rs",
    "state/src/archive.rs",
    "state/src/prefetch.rs",
    "state/src/slab.rs",
    "state/src/table/area.rs",
];

/// The file of `runtime` that may name glommio.
const GLOMMIO: &str = "runtime/src/executor/driver_glommio.rs";

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];

/// Folders of builds and of what fuzzers leave behind; hidden ones are skipped as well, but for
/// `.ci`.
const SKIPPED: &[&str] = &["target", "corpus", "artifacts"];

/// One thing to mend.
#[derive(Debug)]
struct Complaint {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// A text file of the tree.
struct File {
    /// From the root, with `/` between folders.
    name: String,
    text: String,
}

type Complaints = Vec<Complaint>;

fn complain(into: &mut Complaints, file: &File, line: usize, what: impl Into<String>) {
    into.push(Complaint { file: file.name.clone(), line, what: what.into() });
}

fn tree() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            let hidden = name.starts_with('.') && name != ".ci";
            let kind = entry.file_type().unwrap();
            if hidden || SKIPPED.contains(&name.as_str()) || kind.is_symlink() {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(root.join(&path)) {
                files.push(File { name: path.to_str().unwrap().to_owned(), text });
            }
        }
    }
    assert!(files.len() > 100, "the tree was not found");
    files
}

/// Runs a check over all files whose names `wanted` likes; fails with all complaints.
fn check(wanted: impl Fn(&str) -> bool, check: impl Fn(&File, &mut Complaints)) {
    let mut complaints = Vec::new();
    for file in tree().iter().filter(|file| wanted(&file.name)) {
        check(file, &mut complaints);
    }
    let lines: Vec<_> = complaints.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} complaints:\n{}", lines.len(), lines.join("\n"));
}

fn is_rust(name: &str) -> bool {
    name.ends_with(".rs")
}

fn is_manifest(name: &str) -> bool {
    name.ends_with("Cargo.toml")
}

// What is code, what is a comment, what is a string.

/// A line of Rust taken apart; strings in `code` are emptied.
#[derive(Default)]
struct Line {
    code: String,
    comment: String,
    /// The characters of string literals on the line.
    literal_len: usize,
}

enum Inside {
    Code,
    LineComment,
    BlockComment(usize),
    /// Ends with a quote and so many `#`.
    Literal {
        hashes: usize,
        raw: bool,
    },
}

fn lines_of(text: &str) -> Vec<Line> {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut lines = vec![Line::default()];
    let mut inside = Inside::Code;
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        if c == '\n' {
            lines.push(Line::default());
            if matches!(inside, Inside::LineComment) {
                inside = Inside::Code;
            }
            i += 1;
            continue;
        }
        let line = lines.last_mut().unwrap();
        let mut taken = 1;
        match inside {
            Inside::LineComment => line.comment.push(c),
            Inside::BlockComment(depth) => match (c, at(i + 1)) {
                ('*', '/') => {
                    taken = 2;
                    inside =
                        if depth == 1 { Inside::Code } else { Inside::BlockComment(depth - 1) };
                }
                ('/', '*') => {
                    taken = 2;
                    inside = Inside::BlockComment(depth + 1);
                }
                _ => line.comment.push(c),
            },
            Inside::Literal { hashes, raw } => {
                line.literal_len += 1;
                if c == '\\' && !raw {
                    // A line break that is escaped ends the line all the same.
                    taken = if at(i + 1) == '\n' { 1 } else { 2 };
                } else if c == '"' && (0..hashes).all(|k| at(i + 1 + k) == '#') {
                    line.code.push('"');
                    taken = 1 + hashes;
                    inside = Inside::Code;
                }
            }
            Inside::Code => match (c, at(i + 1)) {
                ('/', '/') => {
                    taken = 2;
                    inside = Inside::LineComment;
                }
                ('/', '*') => {
                    taken = 2;
                    inside = Inside::BlockComment(1);
                }
                ('"', _) => {
                    line.code.push('"');
                    let hashes = line.code.chars().rev().skip(1).take_while(|c| *c == '#').count();
                    let before = line.code.chars().rev().nth(1 + hashes);
                    let raw = before == Some('r');
                    inside = Inside::Literal { hashes: if raw { hashes } else { 0 }, raw };
                }
                // A character, not a lifetime: what is quoted may be a quote.
                ('\'', '\\') => {
                    taken = 3;
                    while at(i + taken) != '\'' && at(i + taken) != '\0' {
                        taken += 1;
                    }
                    taken += 1;
                }
                ('\'', _) if at(i + 2) == '\'' => taken = 3,
                _ => line.code.push(c),
            },
        }
        i += taken;
    }
    lines
}

/// Whether `word` stands in `code` by itself.
fn has_word(code: &str, word: &str) -> bool {
    let part_of_a_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + word.len()..].chars().next();
        !before.is_some_and(part_of_a_word) && !after.is_some_and(part_of_a_word)
    })
}

/// Whether a file holds nothing but tests or benchmarks.
fn is_for_tests(name: &str) -> bool {
    let of = |folder: &str| name.starts_with(folder) || name.contains(&format!("/{folder}"));
    of("tests/") || of("benches/") || name.ends_with("tests.rs")
}

/// The lines before a file's tests, which stand at its end.
fn lines_before_tests(file: &File) -> impl Iterator<Item = (usize, Line)> {
    let lines = lines_of(&file.text);
    let mut lines: Vec<_> = lines.into_iter().enumerate().map(|(n, line)| (n + 1, line)).collect();
    let tests = lines.windows(2).position(|two| {
        two[0].1.code.starts_with("#[cfg(") && two[0].1.code.contains("test") && {
            let code = two[1].1.code.trim_start();
            code.starts_with("mod ") && code.ends_with('{')
        }
    });
    lines.truncate(tests.unwrap_or(lines.len()));
    lines.into_iter()
}

// The rules.

/// One entry of a manifest's tables of dependencies.
struct Dependency {
    line: usize,
    table: String,
    name: String,
    /// The whole entry, over all its lines.
    value: String,
    /// The line before it is a comment.
    is_argued_for: bool,
}

fn dependencies(text: &str) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = Vec::new();
    let mut table = String::new();
    let (mut open, mut after_comment) = (0, false);
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.starts_with('#') {
            after_comment = true;
            continue;
        }
        let was_after_comment = std::mem::take(&mut after_comment);
        if open == 0 && line.starts_with('[') {
            table = line.trim_matches(['[', ']']).to_owned();
            continue;
        }
        if !table.ends_with("dependencies") || line.is_empty() {
            continue;
        }
        if open > 0 {
            found.last_mut().unwrap().value += line;
        } else if let Some((name, value)) = line.split_once('=') {
            let (name, rest) = name.trim().split_once('.').unwrap_or((name.trim(), ""));
            found.push(Dependency {
                line: index + 1,
                table: table.clone(),
                name: name.to_owned(),
                value: format!("{rest} {}", value.trim()),
                is_argued_for: was_after_comment,
            });
        }
        open += line.matches(['[', '{']).count() as i64 - line.matches([']', '}']).count() as i64;
    }
    found
}

/// The crate in a member's folder.
fn crate_of(member: &str) -> String {
    match member.rsplit('/').next() {
        None | Some("") => "tailwater".to_owned(),
        Some(last) => format!("tailwater-{last}"),
    }
}

fn check_imports(file: &File, into: &mut Complaints) {
    let member = file.name.trim_end_matches("Cargo.toml").trim_end_matches('/');
    // Workspaces of their own are not part of the engine.
    if member == "fuzz" || member == "benches/peers" {
        return;
    }
    let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == member) else {
        let what = "this member is not in the table of imports: add it to tests/tidy.rs";
        return complain(into, file, 1, what);
    };
    let allowed: Vec<_> = allowed.iter().map(|member| crate_of(member)).collect();
    for Dependency { line, table, name, .. } in dependencies(&file.text) {
        if table == "workspace.dependencies" || table.ends_with("dev-dependencies") {
            continue;
        }
        let is_ours = name == "tailwater" || name.starts_with("tailwater-");
        if is_ours && !allowed.contains(&name) {
            let what = format!(
                "`{member}` must not know `{name}`; it may import {allowed:?}: turn the \
                 dependency around, or pass the value in"
            );
            complain(into, file, line, what);
        }
        let restricted = RESTRICTED.iter().find(|(library, _)| *library == name);
        if restricted.is_some_and(|(_, members)| !members.contains(&member)) {
            complain(into, file, line, format!("`{member}` must not know {name}: use runtime's"));
        }
    }
}

fn check_arguments(file: &File, into: &mut Complaints) {
    for dependency in dependencies(&file.text) {
        let spared = ["path", "workspace"].iter().any(|word| dependency.value.contains(word));
        if !spared && !dependency.name.starts_with("tailwater") && !dependency.is_argued_for {
            let what = format!("say in a comment above it what `{}` is for", dependency.name);
            complain(into, file, dependency.line, what);
        }
    }
}

fn check_absences(file: &File, into: &mut Complaints) {
    for (line, Line { code, .. }) in lines_before_tests(file) {
        for (folder, paths, why) in UNKNOWN {
            let found = paths.iter().find(|path| has_word(&code, path));
            if let Some(path) = found.filter(|_| file.name.starts_with(folder)) {
                complain(into, file, line, format!("`{path}` must not be named here: {why}"));
            }
        }
        let knows_glommio = file.name == GLOMMIO || file.name.starts_with("connectors/");
        if has_word(&code, "glommio") && !knows_glommio {
            complain(into, file, line, format!("only {GLOMMIO} knows glommio: move this there"));
        }
        if has_word(&code, "unsafe") && !UNSAFE.contains(&file.name.as_str()) {
            let what = format!("`unsafe` lives in {UNSAFE:?} only: use what they offer");
            complain(into, file, line, what);
        }
    }
}

fn check_head(file: &File, into: &mut Complaints) {
    let paragraph: Vec<_> = file
        .text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .take_while(|line| !line.trim().is_empty())
        .collect();
    match paragraph.last() {
        None => complain(into, file, 1, "say in the first line (`//! ..`) what the file is for"),
        Some(last) if !last.trim_end().ends_with(['.', '?', ':']) => {
            complain(into, file, paragraph.len(), "end the file's first sentence with a full stop");
        }
        Some(_) => {}
    }
}

fn check_size(file: &File, into: &mut Complaints) {
    let count = file.text.lines().count();
    if count > LINES_MAX {
        let what = format!("{count} lines, of {LINES_MAX} at most: cut the file in two");
        complain(into, file, LINES_MAX + 1, what);
    }
    for (index, (whole, parts)) in file.text.lines().zip(lines_of(&file.text)).enumerate() {
        let columns = whole.chars().count();
        // Neither addresses nor rows of tables can be wrapped.
        let is_whole = parts.comment.contains("://") || parts.comment.starts_with("! |");
        if columns > COLUMNS_MAX && parts.literal_len < LITERAL_MIN && !is_whole {
            let what = format!("{columns} columns, of {COLUMNS_MAX} at most: break the line");
            complain(into, file, index + 1, what);
        }
    }
}

fn check_stubs(file: &File, into: &mut Complaints) {
    for (index, Line { code, comment, .. }) in lines_of(&file.text).iter().enumerate() {
        let line = index + 1;
        if ["todo", "unimplemented"].iter().any(|stub| code.contains(&format!("{stub}!("))) {
            complain(into, file, line, "write it, or return an error that says what is missing");
        }
        if code.contains("#[ignore]") {
            complain(into, file, line, "say why: `#[ignore = \"..\"]`");
        }
        check_marks(file, line, comment, into);
    }
}

/// The marks of unfinished work in a comment must be followed by an explanation.
fn check_marks(file: &File, line: usize, comment: &str, into: &mut Complaints) {
    for mark in ["TODO", "FIXME"] {
        if !has_word(comment, mark) {
            continue;
        }
        let explanation = comment.split_once(mark).and_then(|(_, rest)| rest.split_once(':'));
        if explanation.is_none_or(|(_, why)| why.trim().is_empty()) {
            complain(into, file, line, format!("say what and why: `{mark}: ..`, or do it"));
        }
    }
}

fn check_name(file: &File, into: &mut Complaints) {
    for part in file.name.split('/') {
        let stem = part.split('.').next().unwrap_or(part);
        if EMPTY_NAMES.contains(&stem) {
            complain(into, file, 1, format!("`{part}` says nothing: name it for what it holds"));
        }
    }
}

/// Places that exist on one machine only, and hosts that a build would depend on. Written in parts,
/// so that this file may be checked as well.
const PLACES: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("crates", ".io")];
/// The one registry that a lock file may name.
const REGISTRY: &str = concat!("\"registry+https://git", "hub.com/rust-lang/crates", ".io-index\"");

fn check_places(file: &File, into: &mut Complaints) {
    for (index, line) in file.text.lines().enumerate() {
        if file.name.ends_with("Cargo.lock") {
            let source = line.strip_prefix("source = ");
            if source.is_some_and(|source| source != REGISTRY) {
                complain(into, file, index + 1, "take the crate from the public registry");
            }
        } else if let Some(place) = PLACES.iter().find(|place| line.contains(**place)) {
            let what = format!("`{place}` is not for everybody: write a path from the root");
            complain(into, file, index + 1, what);
        }
    }
}

// The tree.

#[test]
fn members_import_what_they_may() {
    check(is_manifest, check_imports);
    check(|name| is_rust(name) && !is_for_tests(name), check_absences);
}

#[test]
fn dependencies_are_argued_for() {
    check(is_manifest, check_arguments);
}

#[test]
fn files_say_what_they_are_for_and_fit() {
    check(is_rust, |file, into| {
        check_head(file, into);
        check_size(file, into);
    });
}

#[test]
fn nothing_is_left_unfinished() {
    check(is_rust, check_stubs);
    let scripted = |name: &str| [".toml", ".sh", ".py"].iter().any(|end| name.ends_with(end));
    check(
        |name| scripted(name) || name.starts_with(".ci/"),
        |file, into| {
            for (index, line) in file.text.lines().enumerate() {
                let comment = line.split_once('#').map_or("", |(_, comment)| comment);
                check_marks(file, index + 1, comment, into);
            }
        },
    );
}

#[test]
fn names_say_something_and_places_are_everybodys() {
    check(|_| true, check_name);
    check(|_| true, check_places);
}

// The checks themselves.

/// The lines that a check complains about in a made-up file.
fn complaints(check: fn(&File, &mut Complaints), name: &str, text: &str) -> Vec<usize> {
    let mut into = Vec::new();
    check(&File { name: name.to_owned(), text: text.to_owned() }, &mut into);
    assert!(into.iter().all(|complaint| complaint.to_string().starts_with(name)));
    into.iter().map(|complaint| complaint.line).collect()
}

#[test]
fn imports_are_seen() {
    let manifest = "[dependencies]\ntailwater-core.workspace = true\ntailwater-network = { path = \
                    \"x\" }\n[target.'cfg(loom)'.dependencies]\nglommio.workspace = true\n\
                    [dev-dependencies]\ntailwater-runtime.workspace = true\n";
    assert_eq!(complaints(check_imports, "operators/Cargo.toml", manifest), [3, 5]);
    assert_eq!(complaints(check_imports, "runtime/Cargo.toml", manifest), []);
    assert_eq!(complaints(check_imports, "cluster/Cargo.toml", manifest), [1], "not in the table");
    assert_eq!(complaints(check_imports, "fuzz/Cargo.toml", manifest), []);
}

#[test]
fn dependencies_without_an_argument_are_seen() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# Why.\na = { version = \"1\", \
                    features = [\n\"b\",\n] }\nc = \"1\"\nd.workspace = true\n\n# Away.\n\n\
                    e = \"1\"\ntailwater-core = { path = \"core\" }\n";
    assert_eq!(complaints(check_arguments, "x/Cargo.toml", manifest), [8, 13]);
}

#[test]
fn absences_are_seen() {
    let code = "//! `unsafe` glommio.\n#![forbid(unsafe_code)]\nlet a = \"unsafe glommio\";\n\
                use glommio::Task;\nunsafe { b() }\nstd::thread::spawn(c);\n\
                #[cfg(test)]\nmod tests {\nunsafe { d() }\n}\n";
    assert_eq!(complaints(check_absences, "operators/src/x.rs", code), [4, 5, 6]);
    assert_eq!(complaints(check_absences, "runtime/src/x.rs", code), [4, 5]);
    assert_eq!(complaints(check_absences, GLOMMIO, code), [5]);
    assert_eq!(complaints(check_absences, UNSAFE[0], code), [4]);
}

#[test]
fn strings_and_comments_are_not_code() {
    let text = "let a = r#\"todo!(\"unsafe\")\"#; b('\"', '\\'', '\\u{41}'); // \"c\n\
                let d = \"\\\"\\\n unsafe\"; /* e /* f */ \n g */ fn h<'i>(j: &'i str) {}\n";
    let code: Vec<_> = lines_of(text).into_iter().map(|line| line.code).collect();
    let expected = ["let a = r#\"\"; b(, , ); ", "let d = \"", "\"; ", "  fn h<'i>(j: &'i str) {}"];
    assert_eq!(code[..4], expected.map(|line| line.replace("  fn", " fn")));
}

#[test]
fn heads_and_sizes_are_seen() {
    for (text, expected) in [
        ("//! A sentence.\n", &[][..]),
        ("//! A sentence that is\n//! wrapped.\n//!\n//! more\n", &[]),
        ("//! A title\n//!\n//! A sentence.\n", &[1]),
        ("// A comment.\n//! A sentence.\n", &[1]),
        ("", &[1]),
    ] {
        assert_eq!(complaints(check_head, "x.rs", text), expected, "{text}");
    }
    assert_eq!(complaints(check_size, "x.rs", &"\n".repeat(601)), [601]);
    let columns = |count: usize| "é".repeat(count);
    let lines = format!("{}\n{}\n// https://{}\n", columns(100), columns(101), columns(100));
    assert_eq!(complaints(check_size, "x.rs", &lines), [2]);
    let literals = format!("a(\"{}\")\na({}, \"short\")\n", columns(100), columns(100));
    assert_eq!(complaints(check_size, "x.rs", &literals), [2]);
}

#[test]
fn stubs_are_seen() {
    let stub = concat!("to", "do!()\n");
    let text = format!("fn a() {{ {stub} }}\n// TODO\n// TODO: because\n// FIXME(me)\n#[ignore]\n");
    assert_eq!(complaints(check_stubs, "x.rs", &text), [1, 3, 5, 6]);
    let fine = "#[ignore = \"takes an hour\"]\nlet b = \"TODO\"; // TODOS are counted\n";
    assert_eq!(complaints(check_stubs, "x.rs", fine), []);
}

#[test]
fn empty_names_and_private_places_are_seen() {
    assert_eq!(complaints(check_name, "core/src/util.rs", ""), [1]);
    assert_eq!(complaints(check_name, "core/src/helpers/x.rs", ""), [1]);
    assert_eq!(complaints(check_name, "core/src/utility_of_a_choice.rs", ""), []);
    for place in PLACES {
        assert_eq!(complaints(check_places, "x.md", &format!("a\n{place}\n")), [2]);
    }
    let lock = format!("source = {REGISTRY}\nsource = \"registry+https://else.where/index\"\n");
    assert_eq!(complaints(check_places, "Cargo.lock", &lock), [2]);
}
