//! Command lines of the form `subcommand --name value ...`.

use std::collections::BTreeMap;

/// A subcommand with its named values; each must be taken, so that no misspelling goes unnoticed.
pub struct Arguments {
    /// The first word.
    pub subcommand: String,
    values: BTreeMap<String, String>,
}

impl Arguments {
    /// Reads the words after the program's name.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let subcommand = words.next().ok_or("no subcommand given")?;
        let mut values = BTreeMap::new();
        while let Some(word) = words.next() {
            let name =
                word.strip_prefix("--").ok_or_else(|| format!("expected --name, got {word}"))?;
            let value = words.next().ok_or_else(|| format!("--{name} has no value"))?;
            values.insert(name.to_owned(), value);
        }
        Ok(Self { subcommand, values })
    }

    /// Takes a whole number; underscores may separate its digits.
    pub fn number(&mut self, name: &str, default: u64) -> Result<u64, String> {
        let Some(value) = self.values.remove(name) else { return Ok(default) };
        let digits = value.replace('_', "");
        let number: u64 =
            digits.parse().map_err(|_| format!("--{name} {value} is not a whole number"))?;
        if number == 0 {
            return Err(format!("--{name} must be at least 1"));
        }
        Ok(number)
    }

    /// Takes any text.
    pub fn text(&mut self, name: &str, default: &str) -> String {
        self.values.remove(name).unwrap_or_else(|| default.to_owned())
    }

    /// Takes the number of threads, 1 or 2.
    pub fn threads(&mut self, name: &str) -> Result<usize, String> {
        match self.number(name, 1)? {
            threads @ 1..=2 => Ok(threads as usize),
            threads => Err(format!("--{name} {threads} is not 1 or 2")),
        }
    }

    /// Takes one of the given words; the first is the default.
    pub fn choice(&mut self, name: &str, words: &[&'static str]) -> Result<&'static str, String> {
        let Some(value) = self.values.remove(name) else { return Ok(words[0]) };
        words
            .iter()
            .copied()
            .find(|word| *word == value)
            .ok_or_else(|| format!("--{name} {value} is not one of {}", words.join(", ")))
    }

    /// Refuses what no one has taken.
    pub fn finish(self) -> Result<(), String> {
        match self.values.keys().next() {
            Some(name) => Err(format!("{} has no --{name}", self.subcommand)),
            None => Ok(()),
        }
    }
}
