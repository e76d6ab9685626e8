//! Names by pattern.

use serde::{Deserialize, Serialize};

/// A name with `*` for any letters and `?` for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// Takes the text as it is; every text is a pattern.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether the whole name is of the pattern.
    ///
    /// Cost: at most the product of both lengths.
    pub fn matches(&self, name: &str) -> bool {
        let pattern: Vec<char> = self.0.chars().collect();
        let mut reached = vec![false; pattern.len() + 1];
        reached[0] = true;
        skip_stars(&pattern, &mut reached);
        for letter in name.chars() {
            let mut next = vec![false; pattern.len() + 1];
            for (at, &of_pattern) in pattern.iter().enumerate().filter(|(at, _)| reached[*at]) {
                match of_pattern {
                    '*' => next[at] = true,
                    '?' => next[at + 1] = true,
                    other if other == letter => next[at + 1] = true,
                    _ => {}
                }
            }
            skip_stars(&pattern, &mut next);
            reached = next;
        }
        reached[pattern.len()]
    }
}

/// A star may stand for nothing.
fn skip_stars(pattern: &[char], reached: &mut [bool]) {
    for (at, letter) in pattern.iter().enumerate() {
        if reached[at] && *letter == '*' {
            reached[at + 1] = true;
        }
    }
}

/// Whether a name is of one of the patterns; no patterns take everything, even no name.
pub(crate) fn selects(patterns: &[Pattern], name: Option<&str>) -> bool {
    let of_name = |name| patterns.iter().any(|pattern| pattern.matches(name));
    patterns.is_empty() || name.is_some_and(of_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_marks_stand_for_letters() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(
                Pattern::new(pattern).matches(name),
                expected,
                "{pattern} {name}"
            );
        };
        check("web*", "web01", true);
        check("*", "", true);
        check("*b*1", "web01", true);
        check("web?", "web01", false);
        check("b?ro", "büro", true);
        check("", "a", false);
        check("web01", "web011", false);
    }

    #[test]
    fn no_patterns_take_everything_and_patterns_want_a_name() {
        assert!(selects(&[], None) && selects(&[], Some("a")));
        assert!(!selects(&[Pattern::new("*")], None));
    }
}
