//! Outputs to compare with: lines as often as they are due, in an order where there is one.

use std::collections::HashMap;

/// The lines that a job must put out, each as often as it is due.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    due: HashMap<String, i64>,
    count: usize,
}

impl FromIterator<String> for Lines {
    fn from_iter<I: IntoIterator<Item = String>>(lines: I) -> Self {
        let mut all = Self::default();
        for line in lines {
            *all.due.entry(line).or_default() += 1;
            all.count += 1;
        }
        all
    }
}

impl Lines {
    /// What is wrong with `output`, of a job that has ended or goes on.
    pub fn check(&self, output: &[String], ended: bool) -> Result<(), String> {
        let mut seen: HashMap<&str, i64> = HashMap::new();
        for line in output {
            let times = seen.entry(line).or_default();
            *times += 1;
            match self.due.get(line) {
                None => return Err(format!("`{line}` must not be in the output")),
                Some(due) if *due < *times => {
                    return Err(format!(
                        "`{line}` is {times} times in the output, not {due} times"
                    ));
                }
                Some(_) => {}
            }
        }
        if !ended || output.len() == self.count {
            return Ok(());
        }
        let missing = self
            .due
            .iter()
            .filter(|(line, due)| seen.get(line.as_str()).copied().unwrap_or(0) < **due);
        // The least of them, so that a seed always tells the same.
        let least = missing.map(|(line, _)| line).min();
        let (lines, due) = (output.len(), self.count);
        Err(format!(
            "the output has {lines} lines of {due}; `{}` is missing",
            least.map_or("", String::as_str)
        ))
    }

    /// As [`check`](Lines::check), but lines may come more often than they are due.
    pub fn check_at_least(&self, output: &[String], ended: bool) -> Result<(), String> {
        let mut once = HashMap::new();
        for line in output {
            let times: &mut i64 = once.entry(line.clone()).or_default();
            *times += 1;
        }
        let capped: Vec<_> = once
            .into_iter()
            .flat_map(|(line, times)| {
                let due = self.due.get(&line).copied().unwrap_or(1);
                std::iter::repeat_n(line, times.min(due) as usize)
            })
            .collect();
        self.check(&capped, ended)
    }
}

/// The text that a job must put out, to the byte.
pub fn check_text(due: &[String], output: &[String], ended: bool) -> Result<(), String> {
    for (index, line) in output.iter().enumerate() {
        match due.get(index) {
            Some(expected) if expected == line => {}
            Some(expected) => {
                return Err(format!("line {index} of the output is `{line}`, not `{expected}`"));
            }
            None => return Err(format!("line {index} of the output is one too many: `{line}`")),
        }
    }
    if ended && output.len() < due.len() {
        let (lines, all) = (output.len(), due.len());
        return Err(format!("the output has {lines} lines of {all}; `{}` is missing", due[lines]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn lines_are_counted() {
        let due: Lines = lines("a a b").into_iter().collect();
        for (output, ended, fine) in [
            ("a b a", true, true),
            ("a b", true, false),
            ("a b", false, true),
            ("a a a", false, false),
            ("c", false, false),
        ] {
            assert_eq!(due.check(&lines(output), ended).is_ok(), fine, "{output}");
        }
        assert!(due.check_at_least(&lines("a a a b b"), true).is_ok());
        assert!(due.check_at_least(&lines("a a a"), true).is_err());
        assert!(due.check_at_least(&lines("c"), false).is_err());
    }

    #[test]
    fn text_has_an_order() {
        let due = lines("a b c");
        for (output, ended, fine) in
            [("a b c", true, true), ("a b", true, false), ("a b", false, true), ("b", false, false)]
        {
            assert_eq!(check_text(&due, &lines(output), ended).is_ok(), fine, "{output}");
        }
        assert!(check_text(&due, &lines("a b c d"), false).is_err());
    }
}
