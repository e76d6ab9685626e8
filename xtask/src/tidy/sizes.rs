//! How large things may grow before they must be split.

use syn::visit::{self, Visit};
use syn::{Block, ImplItemFn, Item, ItemFn, ItemImpl, Signature, TraitItemFn};

use super::Finding;
use super::tree::SourceFile;

const LINE_COLUMNS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 800;
const LIB_LINES_MAX: usize = 200;
const FUNCTION_LINES_MAX: usize = 70;
const PARAMETERS_MAX: usize = 7;

/// Refuses long lines and long files; tests at the end of a file do not count.
pub(crate) fn check_lines(file: &SourceFile) -> Vec<Finding> {
    let wide = file
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.chars().count() > LINE_COLUMNS_MAX);
    let mut findings: Vec<_> = wide
        .map(|(index, _)| {
            Finding::at(
                &file.path,
                index + 1,
                format!("line over {LINE_COLUMNS_MAX} columns"),
            )
        })
        .collect();
    let max = if file.name() == "lib.rs" {
        LIB_LINES_MAX
    } else {
        FILE_LINES_MAX
    };
    let count = lines_without_tests(&file.text);
    if count > max {
        findings.push(Finding::of(
            &file.path,
            format!("{count} lines, the limit is {max}"),
        ));
    }
    findings
}

/// Refuses long functions and long parameter lists.
pub(crate) fn check_functions(path: &str, syntax: &syn::File) -> Vec<Finding> {
    let mut functions = Functions {
        path,
        findings: Vec::new(),
        is_of_trait: false,
    };
    functions.visit_file(syntax);
    functions.findings
}

/// A file's lines up to a `#[cfg(test)] mod tests` that is its last item.
fn lines_without_tests(text: &str) -> usize {
    let all = text.lines().count();
    let Ok(syntax) = syn::parse_file(text) else {
        return all;
    };
    match syntax.items.last() {
        Some(Item::Mod(module)) if module.ident == "tests" => match module.attrs.first() {
            Some(attribute) => attribute.pound_token.spans[0]
                .start()
                .line
                .saturating_sub(1),
            None => all,
        },
        _ => all,
    }
}

struct Functions<'a> {
    path: &'a str,
    findings: Vec<Finding>,
    /// Inside an implementation of a trait, which has chosen the parameters.
    is_of_trait: bool,
}

impl Functions<'_> {
    fn check(&mut self, signature: &Signature, body: Option<&Block>) {
        let first = signature.fn_token.span.start().line;
        let name = &signature.ident;
        let inputs = signature.inputs.iter();
        let count = inputs
            .filter(|it| matches!(it, syn::FnArg::Typed(_)))
            .count();
        if count > PARAMETERS_MAX && !self.is_of_trait {
            let text = format!("`{name}` has {count} parameters, the limit is {PARAMETERS_MAX}");
            self.findings.push(Finding::at(self.path, first, text));
        }
        let last = body.map_or(first, |block| block.brace_token.span.close().end().line);
        let lines = last + 1 - first;
        if lines > FUNCTION_LINES_MAX {
            let text = format!("`{name}` has {lines} lines, the limit is {FUNCTION_LINES_MAX}");
            self.findings.push(Finding::at(self.path, first, text));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, it: &'ast ItemFn) {
        self.check(&it.sig, Some(&it.block));
        visit::visit_item_fn(self, it);
    }

    fn visit_item_impl(&mut self, it: &'ast ItemImpl) {
        let outer = std::mem::replace(&mut self.is_of_trait, it.trait_.is_some());
        visit::visit_item_impl(self, it);
        self.is_of_trait = outer;
    }

    fn visit_impl_item_fn(&mut self, it: &'ast ImplItemFn) {
        self.check(&it.sig, Some(&it.block));
        visit::visit_impl_item_fn(self, it);
    }

    fn visit_trait_item_fn(&mut self, it: &'ast TraitItemFn) {
        self.check(&it.sig, it.default.as_ref());
        visit::visit_trait_item_fn(self, it);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions(text: &str) -> Vec<Finding> {
        check_functions("a.rs", &syn::parse_file(text).unwrap())
    }

    fn lines(path: &str, text: &str) -> Vec<Finding> {
        check_lines(&SourceFile::sample(path, text))
    }

    fn function_of(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2))
    }

    #[test]
    fn functions_end_at_seventy_lines() {
        assert_eq!(functions(&function_of(70)), []);
        assert!(
            functions(&function_of(71))[0]
                .text
                .contains("`f` has 71 lines")
        );
        let inside = format!("struct S;\nimpl S {{\n{}}}\n", function_of(71));
        assert_eq!(functions(&inside)[0].line, 3);
    }

    #[test]
    fn parameters_end_at_seven() {
        assert_eq!(
            functions("fn f(a: A, b: A, c: A, d: A, e: A, f: A, g: A) {}"),
            []
        );
        let eight = functions("fn f(a: A, b: A, c: A, d: A, e: A, f: A, g: A, h: A) {}");
        assert!(eight[0].text.contains("8 parameters"));
        let method = "fn f(a: A, b: A, c: A, d: A, e: A, f: A, g: A, h: A) {}";
        assert_eq!(functions(&format!("impl S {{ {method} }}")).len(), 1);
        assert_eq!(functions(&format!("impl T for S {{ {method} }}")), []);
    }

    #[test]
    fn lines_end_at_a_hundred_columns() {
        assert_eq!(lines("a.rs", &format!("// {}\n", "é".repeat(97))), []);
        assert_eq!(
            lines("a.rs", &format!("\n// {}\n", "x".repeat(98)))[0].line,
            2
        );
    }

    #[test]
    fn files_end_at_eight_hundred_lines_without_their_tests() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "// t\n".repeat(300));
        assert_eq!(
            lines("a.rs", &format!("{}{tests}", "// x\n".repeat(800))),
            []
        );
        assert_eq!(lines("a.rs", &"// x\n".repeat(801)).len(), 1);
        assert_eq!(lines("src/lib.rs", &"// x\n".repeat(201)).len(), 1);
        assert_eq!(lines("src/lib.rs", &"// x\n".repeat(200)), []);
    }
}
