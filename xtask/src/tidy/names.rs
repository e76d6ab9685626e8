//! Words that say nothing are refused as names: of files, and of what we define in them.

use syn::visit::{self, Visit};

use super::Finding;
use super::tree::SourceFile;

/// Refused as a part of any name: buckets, and contractions of words of the glossary.
const PARTS: [&str; 17] = [
    "util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "tpe", "repo",
    "repos", "src", "dst", "snap", "opts", "handler", "handlers",
];
/// Refused as the whole name of a type.
const TYPES: [&str; 2] = ["Data", "Info"];
/// Terms of mathematics that happen to hold such a word.
const TERMS: [&str; 1] = ["greatest_common_divisor"];
/// Folder names that cargo wants.
const FOLDERS: [&str; 1] = ["src"];

/// Refuses a file or folder that is called so.
pub(crate) fn check_path(file: &SourceFile) -> Vec<Finding> {
    if file.name() == "mod.rs" {
        return vec![Finding::of(
            &file.path,
            "write `foo.rs` beside `foo/`, not `foo/mod.rs`",
        )];
    }
    let names = file.path.split('/').filter(|name| !FOLDERS.contains(name));
    let parts = names.flat_map(|name| parts(name.trim_end_matches(".rs")));
    let refused = parts.filter(|part| PARTS.contains(&part.as_str()));
    refused
        .map(|part| Finding::of(&file.path, complaint(&part)))
        .collect()
}

/// Refuses definitions that are called so.
pub(crate) fn check(path: &str, syntax: &syn::File) -> Vec<Finding> {
    let mut names = Names {
        path,
        findings: Vec::new(),
    };
    names.visit_file(syntax);
    names.findings
}

fn complaint(part: &str) -> String {
    format!("`{part}` is no name: say what it is (glossary)")
}

/// The words of a name, in lower case: at underscores, hyphens, dots and humps.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        let is_gap = !letter.is_alphanumeric();
        if is_gap || letter.is_uppercase() && was_lower {
            parts.push(String::new());
        }
        was_lower = letter.is_lowercase();
        if let (false, Some(part)) = (is_gap, parts.last_mut()) {
            part.extend(letter.to_lowercase());
        }
    }
    parts
}

struct Names<'a> {
    path: &'a str,
    findings: Vec<Finding>,
}

impl Names<'_> {
    fn check(&mut self, name: &syn::Ident) {
        let text = name.to_string();
        if TERMS.contains(&text.as_str()) {
            return;
        }
        for part in parts(&text)
            .iter()
            .filter(|part| PARTS.contains(&part.as_str()))
        {
            let line = name.span().start().line;
            self.findings
                .push(Finding::at(self.path, line, complaint(part)));
        }
    }

    fn check_type(&mut self, name: &syn::Ident) {
        self.check(name);
        if TYPES.iter().any(|refused| name == refused) {
            let text = complaint(&name.to_string());
            self.findings
                .push(Finding::at(self.path, name.span().start().line, text));
        }
    }
}

/// Visits a kind of definition: checks its name, then goes on inside.
macro_rules! definitions {
    ($($visit:ident($kind:ident) $check:ident $($name:ident).+;)*) => {
        $(fn $visit(&mut self, it: &'ast syn::$kind) {
            self.$check(&it.$($name).+);
            visit::$visit(self, it);
        })*
    };
}

impl<'ast> Visit<'ast> for Names<'_> {
    definitions! {
        visit_item_fn(ItemFn) check sig.ident;
        visit_trait_item_fn(TraitItemFn) check sig.ident;
        visit_item_mod(ItemMod) check ident;
        visit_item_const(ItemConst) check ident;
        visit_item_static(ItemStatic) check ident;
        visit_item_struct(ItemStruct) check_type ident;
        visit_item_enum(ItemEnum) check_type ident;
        visit_item_trait(ItemTrait) check_type ident;
        visit_item_type(ItemType) check_type ident;
        visit_variant(Variant) check ident;
        visit_type_param(TypeParam) check ident;
        visit_pat_ident(PatIdent) check ident;
    }

    /// Methods of a trait that is not ours have names that are not ours.
    fn visit_item_impl(&mut self, it: &'ast syn::ItemImpl) {
        for item in &it.items {
            match item {
                syn::ImplItem::Fn(function) if it.trait_.is_none() => {
                    self.check(&function.sig.ident);
                }
                syn::ImplItem::Const(constant) if it.trait_.is_none() => {
                    self.check(&constant.ident);
                }
                _ => {}
            }
        }
        visit::visit_item_impl(self, it);
    }

    fn visit_field(&mut self, it: &'ast syn::Field) {
        if let Some(name) = &it.ident {
            self.check(name);
        }
        visit::visit_field(self, it);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        check("a.rs", &syn::parse_file(text).unwrap()).len()
    }

    #[test]
    fn plain_words_pass() {
        assert_eq!(
            found("struct Pack { source: u8 } fn utility_of(commonly: u8) {}"),
            0
        );
        assert_eq!(
            found("use other::util::helper; fn f() { other::helper(); }"),
            0
        );
        assert_eq!(found("impl Foreign for S { fn handler(&self) {} }"), 0);
        assert_eq!(found("fn greatest_common_divisor() {}"), 0);
        assert_eq!(found("enum ExtentState { Data, Zero }"), 0);
    }

    #[test]
    fn empty_words_are_refused_wherever_they_are_defined() {
        for text in [
            "struct PackManager;",
            "fn read_helper() {}",
            "mod util {}",
            "fn f(src: u8) {}",
            "fn f() { let dst = 1; }",
            "struct S { opts: u8 }",
            "enum E { Misc }",
            "struct S; impl S { fn to_repo(&self) {} }",
            "struct Data;",
            "const COMMON: u8 = 1;",
        ] {
            assert_eq!(found(text), 1, "{text}");
        }
    }

    #[test]
    fn files_are_named_by_what_they_hold() {
        let found = |path: &str| check_path(&SourceFile::sample(path, "")).len();
        assert_eq!(found("crates/disk/src/qcow2/header.rs"), 0);
        assert_eq!(found("crates/disk/src/qcow2/mod.rs"), 1);
        assert_eq!(found("crates/disk/src/read_helpers.rs"), 1);
        assert_eq!(found("crates/common/src/lib.rs"), 1);
    }
}
