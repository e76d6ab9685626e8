//! What is wrong with a configuration, and where.

use std::fmt::{self, Write};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and probably means something else.
    Warning,
}

/// A place in a file, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The file as it was named.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where.
    pub spot: Spot,
    /// How bad.
    pub severity: Severity,
    /// What, with the setting's path: `jobs.web.policy: there is no policy "gold"`.
    pub message: String,
    /// What may have been meant, or what to write.
    pub suggestion: Option<String>,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut line = format!("{}: {severity}: {}", self.spot, self.message);
        if let Some(suggestion) = &self.suggestion {
            line.push_str("; ");
            line.push_str(suggestion);
        }
        // Names come from files of anybody, and a terminal obeys such characters.
        for c in line.chars() {
            match c.is_control() {
                true => write!(f, "{}", c.escape_default())?,
                false => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The known word that is nearest to a wrong one, if one is near.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    let distances = known.map(|it| (distance(word, it), it));
    let near = distances.filter(|(distance, _)| *distance <= limit);
    near.min().map(|(_, it)| it)
}

/// Characters to insert, remove, replace or swap with a neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let known = ["repository", "platform", "policy", "machines"];
        let near = |word| nearest(word, known.into_iter());
        assert_eq!(near("repositry"), Some("repository"));
        assert_eq!(near("machiens"), Some("machines"));
        assert_eq!(near("polici"), Some("policy"));
        assert_eq!(near("colour"), None);
        assert_eq!(near(""), None);
    }
}
