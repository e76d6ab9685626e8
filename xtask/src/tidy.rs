//! The rules of the source tree, checked instead of remembered.
//!
//! Every rule is a function from what it looks at to the findings; a finding says where, which
//! rule, and what to do. The rules' reasons are in DESIGN, "sizes and habits".

use std::fmt;

use anyhow::{Result, ensure};

use crate::workspace::Workspace;

mod documents;
mod edges;
mod heads;
mod licences;
mod machine;
mod metadata;
mod modules;
mod names;
mod refused;
mod sizes;
mod tree;
mod unit_tests;

use tree::{SourceFile, Tree};

/// Something that a rule does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    text: String,
}

impl Finding {
    fn at(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line,
            text: text.into(),
        }
    }

    fn of(path: &str, text: impl Into<String>) -> Self {
        Self::at(path, 0, text)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.text),
            line => write!(f, "{}:{line}: {}", self.path, self.text),
        }
    }
}

/// Checks every rule and lists every finding.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tree = Tree::load(&workspace.root)?;
    // What cargo says comes second: a broken manifest must not hide the rest.
    let in_files = check_tree(&tree);
    in_files.iter().for_each(|finding| println!("{finding}"));
    let in_packages = check_packages(workspace, &tree)?;
    in_packages.iter().for_each(|finding| println!("{finding}"));
    let count = in_files.len() + in_packages.len();
    ensure!(count == 0, "tidy: {count} findings");
    println!("tidy: {} files follow the rules", tree.files.len());
    Ok(())
}

fn check_tree(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<_> = tree.files.iter().flat_map(check_file).collect();
    findings.extend(heads::check(tree));
    findings.extend(modules::check(tree));
    findings.extend(unit_tests::check(tree));
    findings
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let mut findings = machine::check(file);
    if file.is("md") {
        findings.extend(documents::check(file));
    }
    if file.is("rs") {
        findings.extend(sizes::check_lines(file));
        findings.extend(names::check_path(file));
        findings.extend(check_syntax(file));
    }
    findings
}

fn check_syntax(file: &SourceFile) -> Vec<Finding> {
    let syntax = match syn::parse_file(&file.text) {
        Ok(syntax) => syntax,
        Err(error) => return vec![Finding::of(&file.path, format!("is not Rust: {error}"))],
    };
    let mut findings = sizes::check_functions(&file.path, &syntax);
    findings.extend(names::check(&file.path, &syntax));
    findings.extend(refused::check(file));
    findings
}

fn check_packages(workspace: &Workspace, tree: &Tree) -> Result<Vec<Finding>> {
    let metadata = metadata::load(workspace)?;
    let crates = metadata.crates();
    let mut findings = edges::check(&crates);
    findings.extend(edges::check_folders(&crates, tree));
    findings.extend(modules::check_test_binaries(&crates));
    findings.extend(licences::check(
        &metadata,
        &workspace.root.join("deny.toml"),
    )?);
    Ok(findings)
}
