//! Text with colour sequences, as a terminal would take it.

/// How a run of letters looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Style {
    pub(crate) bold: bool,
    pub(crate) dim: bool,
    /// 0 to 7 as in SGR 30 to 37; `None` is the terminal's own.
    pub(crate) colour: Option<u8>,
}

/// Letters of one style that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where it begins, in letters from the left.
    pub(crate) column: usize,
    pub(crate) text: String,
    pub(crate) style: Style,
}

/// One line on the screen.
pub(crate) type Line = Vec<Run>;

/// Cuts text into lines and runs; a style goes on over the end of a line.
pub(crate) fn parse(text: &str) -> Vec<Line> {
    let mut style = Style::default();
    text.lines()
        .map(|line| parse_line(line, &mut style))
        .collect()
}

fn parse_line(line: &str, style: &mut Style) -> Line {
    let mut runs = Vec::new();
    let mut column = 0;
    let mut parts = line.split("\x1b[");
    push(
        &mut runs,
        &mut column,
        parts.next().unwrap_or_default(),
        *style,
    );
    for part in parts {
        let end = part
            .find(|letter: char| letter.is_ascii_alphabetic())
            .unwrap_or(part.len());
        let (codes, rest) = part.split_at(end);
        if let Some(text) = rest.strip_prefix('m') {
            codes.split(';').for_each(|code| style.apply(code));
            push(&mut runs, &mut column, text, *style);
        } else {
            push(
                &mut runs,
                &mut column,
                rest.get(1..).unwrap_or_default(),
                *style,
            );
        }
    }
    runs
}

fn push(runs: &mut Line, column: &mut usize, text: &str, style: Style) {
    if !text.is_empty() {
        runs.push(Run {
            column: *column,
            text: text.to_owned(),
            style,
        });
        *column += text.chars().count();
    }
}

impl Style {
    /// One code of a "select graphic rendition" sequence (ECMA-48, 8.3.117); others are left out.
    fn apply(&mut self, code: &str) {
        match code.parse() {
            Ok(0_u8) => *self = Self::default(),
            Ok(1) => self.bold = true,
            Ok(2) => self.dim = true,
            Ok(22) => (self.bold, self.dim) = (false, false),
            Ok(colour @ 30..=37) => self.colour = Some(colour - 30),
            Ok(39) => self.colour = None,
            Ok(colour @ 90..=97) => self.colour = Some(colour - 90),
            Err(_) if code.is_empty() => *self = Self::default(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_know_their_column_and_style() {
        let lines = parse("a \x1b[1;36mbé\x1b[0m c\n\x1b[2mdim\nstill\x1b[m x");
        assert_eq!(lines.len(), 3);
        let bold = Style {
            bold: true,
            colour: Some(6),
            ..Style::default()
        };
        assert_eq!(
            lines[0][1],
            Run {
                column: 2,
                text: "bé".into(),
                style: bold
            }
        );
        assert_eq!(
            (lines[0][2].column, lines[0][2].style),
            (4, Style::default())
        );
        assert!(lines[2][0].style.dim && !lines[2][1].style.dim);
    }

    #[test]
    fn other_sequences_leave_no_trace() {
        let lines = parse("a\x1b[2Kb\x1b[");
        let text: String = lines[0].iter().map(|run| run.text.as_str()).collect();
        assert_eq!(text, "ab");
    }
}
