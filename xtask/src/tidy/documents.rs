//! A document has one title.

use super::Finding;
use super::tree::SourceFile;

/// Refuses a Markdown file without exactly one first-level heading.
pub(crate) fn check(file: &SourceFile) -> Vec<Finding> {
    let titles = titles(&file.text);
    match titles.as_slice() {
        [_] => Vec::new(),
        [] => vec![Finding::of(
            &file.path,
            "has no title: begin with one `# ` line",
        )],
        [_, rest @ ..] => rest
            .iter()
            .map(|&line| Finding::at(&file.path, line, "a second title: one `# ` per document"))
            .collect(),
    }
}

/// The line numbers of first-level headings outside of code fences.
fn titles(text: &str) -> Vec<usize> {
    let mut in_fence = false;
    let mut titles = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        } else if !in_fence && line.starts_with("# ") {
            titles.push(index + 1);
        }
    }
    titles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        check(&SourceFile::sample("a.md", text)).len()
    }

    #[test]
    fn one_title_passes() {
        assert_eq!(found("# Title\n\n## Part\n\n```sh\n# a comment\n```\n"), 0);
    }

    #[test]
    fn no_title_or_two_are_refused() {
        assert_eq!(found("## Part\n"), 1);
        assert_eq!(found("# One\n\n# Two\n"), 1);
    }
}
