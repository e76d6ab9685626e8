//! Words of the language that may not stay in the tree: unfinished code and silenced tests.

use proc_macro2::{TokenStream, TokenTree};

use super::Finding;
use super::tree::SourceFile;

const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Looks at tokens, so that macro bodies count and words in strings and comments do not.
pub(crate) fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Ok(tokens) = file.text.parse() {
        collect(&file.path, tokens, &mut findings);
    }
    findings
}

fn collect(path: &str, tokens: TokenStream, findings: &mut Vec<Finding>) {
    let mut previous: Option<TokenTree> = None;
    for token in tokens {
        if let Some(text) = previous
            .as_ref()
            .and_then(|previous| complaint(previous, &token))
        {
            findings.push(Finding::at(path, token.span().start().line, text));
        }
        if let TokenTree::Group(group) = &token {
            collect(path, group.stream(), findings);
        }
        previous = Some(token);
    }
}

fn complaint(previous: &TokenTree, token: &TokenTree) -> Option<String> {
    match (previous, token) {
        (TokenTree::Ident(name), TokenTree::Punct(mark)) if mark.as_char() == '!' => {
            let refused = MACROS.iter().find(|refused| name == *refused)?;
            Some(format!("`{refused}!` may not stay"))
        }
        (TokenTree::Punct(mark), TokenTree::Group(group)) if mark.as_char() == '#' => {
            let first = group.stream().into_iter().next()?;
            let text = "a test is never ignored: skip it at run time and say why";
            (first.to_string() == "ignore").then(|| text.into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let findings = check(&SourceFile::sample("a.rs", text));
        findings.into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn finished_code_passes() {
        assert!(found("#[test]\nfn f() { let todo = 1; say(\"todo!\"); } // dbg!(x)").is_empty());
    }

    #[test]
    fn unfinished_code_and_silent_tests_are_refused() {
        assert_eq!(found("fn f() { todo!() }").len(), 1);
        assert_eq!(
            found("fn f() { vec![unimplemented!()]; dbg!(1); }").len(),
            2
        );
        assert_eq!(found("#[test]\n#[ignore = \"slow\"]\nfn f() {}").len(), 1);
        assert_eq!(found("#[ignore]\nfn f() {}").len(), 1);
    }
}
