//! Settings as `KEY=VALUE`, as shells and templates have them.

pub(super) mod shell;
pub(super) mod template;

/// A setting and where it begins, in bytes.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) at: usize,
    pub(super) key: String,
    pub(super) value: String,
}

fn is_name(key: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !key.is_empty() && key.chars().all(is_part) && !key.starts_with(|c: char| c.is_ascii_digit())
}
