//! The table at the end.

use std::time::Duration;

use crate::narrator::Narrator;

const NAME_COLUMNS: usize = 16;
const TIME_COLUMNS: usize = 10;
const TEXT_COLUMNS: usize = 50;

/// What was measured, in the order in which it happened.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    elapsed: Duration,
    text: String,
}

impl Figures {
    pub(crate) fn add(&mut self, name: &'static str, elapsed: Duration, text: String) {
        self.rows.push(Row {
            name,
            elapsed,
            text,
        });
    }

    /// Says all rows in a frame; the last one, which sums up, stands apart.
    pub(crate) fn tell(&self, narrator: &mut Narrator) {
        narrator.say("");
        narrator.say(&border('╭', '┬', '╮'));
        for (index, row) in self.rows.iter().enumerate() {
            if index + 1 == self.rows.len() {
                narrator.say(&border('├', '┼', '┤'));
            }
            narrator.say(&row.shown());
        }
        narrator.say(&border('╰', '┴', '╯'));
    }
}

impl Row {
    fn shown(&self) -> String {
        let time = format!("{:.1} s", self.elapsed.as_secs_f64());
        let (name, text) = (self.name, &self.text);
        format!(
            "    │ \x1b[1m{name:<NAME_COLUMNS$}\x1b[0m │ {time:>TIME_COLUMNS$} │ \
             {text:<TEXT_COLUMNS$} │"
        )
    }
}

fn border(left: char, middle: char, right: char) -> String {
    let [name, time, text] =
        [NAME_COLUMNS, TIME_COLUMNS, TEXT_COLUMNS].map(|columns| "─".repeat(columns + 2));
    format!("    {left}{name}{middle}{time}{middle}{text}{right}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::narrator::plain;

    #[test]
    fn rows_and_borders_end_in_one_column() {
        let row = Row {
            name: "verify",
            elapsed: Duration::from_millis(1234),
            text: "whole".into(),
        };
        let width = |line: &str| plain(line).chars().count();
        assert_eq!(width(&row.shown()), width(&border('╭', '┬', '╮')));
        assert!(plain(&row.shown()).contains("     1.2 s │ whole"));
    }
}
