//! Which files an input names: paths and patterns, resolved into a sorted list that is not empty.

use std::fs::File;
use std::path::{Path, PathBuf};

use tailwater_core::{Error, ErrorKind, Result};

/// The files of an input as the user names them: one or several paths, or patterns such as
/// `tape/*.csv.gz`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths(Vec<PathBuf>);

impl Paths {
    /// The names as they were given.
    pub fn given(&self) -> &[PathBuf] {
        &self.0
    }

    /// The files that there are: patterns matched, sorted by name, each once.
    ///
    /// # Errors
    /// When nothing was named, a file is missing or is a directory, a pattern is malformed or
    /// matches nothing, or a directory cannot be listed.
    pub fn resolve(&self) -> Result<Vec<PathBuf>> {
        if self.0.is_empty() {
            return Err(Error::configuration("no input file was named: name at least one"));
        }
        let mut files = Vec::new();
        for path in &self.0 {
            match path.to_str() {
                // A file that is there wins over the pattern that its name could be read as.
                Some(text) if text.contains(['*', '?', '[']) && !path.exists() => {
                    matches_of(text, &mut files)?;
                }
                _ => {
                    check_file(path)?;
                    files.push(path.clone());
                }
            }
        }
        files.sort();
        files.dedup();
        Ok(files)
    }
}

fn matches_of(pattern: &str, files: &mut Vec<PathBuf>) -> Result<()> {
    let before = files.len();
    let entries = glob::glob(pattern).map_err(|cause| {
        Error::configuration(format!("`{pattern}` is not a file pattern")).caused_by(cause)
    })?;
    for entry in entries {
        let path = entry.map_err(|cause| {
            let message = format!("cannot list `{}` for `{pattern}`", cause.path().display());
            Error::new(ErrorKind::Io, message).caused_by(cause)
        })?;
        if !path.is_dir() {
            check_file(&path)?;
            files.push(path);
        }
    }
    if files.len() == before {
        // A pattern says nothing about a directory that it may not look into: find out.
        if let Some(directory) = first_directory(Path::new(pattern)) {
            std::fs::read_dir(&directory).map_err(|cause| {
                Error::io(format!("cannot list `{}` for `{pattern}`", directory.display()), cause)
            })?;
        }
        return Err(Error::configuration(format!("no file matches `{pattern}`")));
    }
    Ok(())
}

/// The part of a pattern before its first wildcard.
fn first_directory(pattern: &Path) -> Option<PathBuf> {
    let fixed: PathBuf = pattern
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
        .collect();
    (!fixed.as_os_str().is_empty()).then_some(fixed)
}

fn check_file(path: &Path) -> Result<()> {
    let name = path.display();
    let refuse = |cause| Error::io(format!("cannot read `{name}`"), cause);
    let metadata = std::fs::metadata(path).map_err(refuse)?;
    if metadata.is_dir() {
        return Err(Error::configuration(format!(
            "`{name}` is a directory: name its files with a pattern such as `{}`",
            path.join("*").display()
        )));
    }
    // A pipe can be opened once; whoever reads it does.
    if metadata.is_file() { File::open(path).map(drop).map_err(refuse) } else { Ok(()) }
}

impl From<&str> for Paths {
    fn from(path: &str) -> Self {
        Self(vec![path.into()])
    }
}

impl From<String> for Paths {
    fn from(path: String) -> Self {
        Self(vec![path.into()])
    }
}

impl From<&Path> for Paths {
    fn from(path: &Path) -> Self {
        Self(vec![path.into()])
    }
}

impl From<PathBuf> for Paths {
    fn from(path: PathBuf) -> Self {
        Self(vec![path])
    }
}

impl From<&PathBuf> for Paths {
    fn from(path: &PathBuf) -> Self {
        Self(vec![path.clone()])
    }
}

impl<P: Into<PathBuf>> From<Vec<P>> for Paths {
    fn from(paths: Vec<P>) -> Self {
        Self(paths.into_iter().map(Into::into).collect())
    }
}

impl<P: Into<PathBuf>, const N: usize> From<[P; N]> for Paths {
    fn from(paths: [P; N]) -> Self {
        Self(paths.into_iter().map(Into::into).collect())
    }
}

impl<P: Clone + Into<PathBuf>> From<&[P]> for Paths {
    fn from(paths: &[P]) -> Self {
        Self(paths.iter().cloned().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_matched_sorted_and_each_file_counts_once() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv", "c.txt"] {
            std::fs::write(directory.path().join(name), "x").unwrap();
        }
        let pattern = directory.path().join("*.csv");
        let paths = Paths::from([pattern, directory.path().join("a.csv")]);
        let names: Vec<_> = paths
            .resolve()
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["a.csv", "b.csv"]);
    }

    #[test]
    fn what_is_not_there_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let message = |paths: Paths| paths.resolve().unwrap_err().to_string();

        assert!(message(path("none.csv").into()).contains("none.csv`: No such file"));
        assert!(message(path("*.csv").into()).contains("no file matches"));
        assert!(message(path("gone/*.csv").into()).contains("cannot list"));
        assert!(message(path("***").into()).contains("is not a file pattern"));
        assert!(message(directory.path().into()).contains("is a directory: name its files"));
        assert!(message(Paths::default()).contains("no input file"));
    }
}
