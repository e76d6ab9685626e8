//! Which paths are restored, and which are backed up.

use lifeboat_model::ParseError;

/// Patterns of paths to take and to leave out.
///
/// A pattern that begins with `/` starts at the snapshot's root, any other fits at any depth.
/// `*` is any text within a name, `?` any character, `**` any number of folders; `\` takes the
/// meaning away. What a pattern fits is taken with all below it.
#[derive(Clone, Debug, Default)]
pub struct PathFilter {
    includes: Vec<Pattern>,
    excludes: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `**`
    Folders,
    /// Bytes with `*`, `?` and `\`.
    Name(Vec<u8>),
}

/// How far patterns have come at a folder: (pattern, part) pairs.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    includes: Vec<(usize, usize)>,
    excludes: Vec<(usize, usize)>,
    is_selected: bool,
}

/// What the filter says of a name.
#[derive(Debug)]
pub enum Judged {
    /// Neither it nor anything below it.
    Out,
    /// It, or perhaps something below it.
    In(Positions),
}

impl PathFilter {
    /// Reads patterns; no includes mean everything.
    pub fn new(includes: &[String], excludes: &[String]) -> Result<Self, ParseError> {
        let parse = |all: &[String]| -> Result<Vec<Pattern>, ParseError> {
            all.iter().map(|text| Pattern::parse(text)).collect()
        };
        Ok(Self {
            includes: parse(includes)?,
            excludes: parse(excludes)?,
        })
    }

    /// Whether no pattern was given at all.
    pub fn takes_all(&self) -> bool {
        self.includes.is_empty() && self.excludes.is_empty()
    }

    /// At the snapshot's root.
    pub fn start(&self) -> Positions {
        Positions {
            includes: begin(&self.includes),
            excludes: begin(&self.excludes),
            is_selected: self.includes.is_empty() || self.includes.iter().any(|p| p.is_root()),
        }
    }

    /// One name further.
    pub fn step(&self, at: &Positions, name: &[u8]) -> Judged {
        let (excludes, is_excluded) = step(&self.excludes, &at.excludes, name);
        if is_excluded {
            return Judged::Out;
        }
        let (includes, is_included) = if at.is_selected {
            (Vec::new(), true)
        } else {
            step(&self.includes, &at.includes, name)
        };
        if !is_included && includes.is_empty() {
            return Judged::Out;
        }
        Judged::In(Positions {
            includes,
            excludes,
            is_selected: is_included,
        })
    }
}

impl Positions {
    /// Whether the name itself is taken, not only the way to something below it.
    pub fn is_selected(&self) -> bool {
        self.is_selected
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, ParseError> {
        let rule = "write a path like /etc/ssh or a pattern like '*.conf' or '/srv/**/Mail'";
        let names = text.split('/').filter(|name| !name.is_empty());
        let parts = names.map(|name| match name {
            "**" => Part::Folders,
            _ => Part::Name(name.as_bytes().to_vec()),
        });
        let mut all: Vec<Part> = Vec::new();
        if !text.starts_with('/') {
            all.push(Part::Folders);
        }
        all.extend(parts);
        let is_wrong = text.is_empty() || text.split('/').any(|n| matches!(n, "." | ".."));
        if is_wrong || all.len() > 256 {
            return Err(ParseError::new("path pattern", text, rule));
        }
        Ok(Self { parts: all })
    }

    fn is_root(&self) -> bool {
        self.parts.is_empty()
    }
}

/// Adds a position, and those behind `**` that may match no folder at all.
fn enter(patterns: &[Pattern], at: (usize, usize), positions: &mut Vec<(usize, usize)>) {
    let (pattern, mut part) = at;
    loop {
        if !positions.contains(&(pattern, part)) {
            positions.push((pattern, part));
        }
        if patterns[pattern].parts.get(part) != Some(&Part::Folders) {
            return;
        }
        part += 1;
    }
}

fn begin(patterns: &[Pattern]) -> Vec<(usize, usize)> {
    let mut positions = Vec::new();
    (0..patterns.len()).for_each(|number| enter(patterns, (number, 0), &mut positions));
    positions
}

/// The positions after one more name, and whether a pattern is fulfilled.
fn step(patterns: &[Pattern], from: &[(usize, usize)], name: &[u8]) -> (Vec<(usize, usize)>, bool) {
    let (mut positions, mut is_full) = (Vec::new(), false);
    for (pattern, part) in from.iter().copied() {
        let parts = &patterns[pattern].parts;
        match parts.get(part) {
            Some(Part::Folders) => {
                enter(patterns, (pattern, part), &mut positions);
                is_full |= part + 1 == parts.len();
            }
            Some(Part::Name(glob)) if fits(glob, name) => {
                enter(patterns, (pattern, part + 1), &mut positions);
                is_full |= part + 1 == parts.len();
            }
            _ => {}
        }
    }
    positions.retain(|(pattern, part)| *part < patterns[*pattern].parts.len());
    (positions, is_full)
}

/// Whether a name fits a pattern. Cost: product of the lengths at worst.
fn fits(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match glob.get(g) {
            Some(b'*') => {
                star = Some((g + 1, n));
                g += 1;
                continue;
            }
            Some(b'?') => Some((1, character_bytes(&name[n..]))),
            Some(b'\\') if glob.get(g + 1) == Some(&name[n]) => Some((2, 1)),
            Some(byte) if *byte == name[n] && *byte != b'\\' => Some((1, 1)),
            _ => None,
        };
        match (step, star) {
            (Some((of_glob, of_name)), _) => (g, n) = (g + of_glob, n + of_name),
            (None, Some((after, at))) => {
                star = Some((after, at + 1));
                (g, n) = (after, at + 1);
            }
            (None, None) => return false,
        }
    }
    glob[g..].iter().all(|byte| *byte == b'*')
}

/// Bytes of the first character; one where it is no text.
fn character_bytes(name: &[u8]) -> usize {
    let first = name.utf8_chunks().next();
    let text = first.and_then(|chunk| chunk.valid().chars().next());
    text.map_or(1, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(filter: &PathFilter, path: &str) -> bool {
        let mut at = filter.start();
        for name in path.split('/') {
            match filter.step(&at, name.as_bytes()) {
                Judged::Out => return false,
                Judged::In(next) => at = next,
            }
        }
        at.is_selected()
    }

    fn filter(includes: &[&str], excludes: &[&str]) -> PathFilter {
        let owned = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        PathFilter::new(&owned(includes), &owned(excludes)).unwrap()
    }

    #[test]
    fn patterns_fit_as_they_are_described() {
        for (pattern, path, expected) in [
            ("/a/b", "a/b", true),
            ("/a/b", "a/b/c/d", true),
            ("/a/b", "a", false),
            ("/a/b", "a/bc", false),
            ("/a/b", "x/a/b", false),
            ("a/b", "x/a/b", true),
            ("*.conf", "etc/ssh/x.conf", true),
            ("*.conf", "etc/x.conf.bak", false),
            ("/etc/*/x?", "etc/a/x1", true),
            ("/etc/*/x?", "etc/a/x\u{e4}", true),
            ("/etc/*/x?", "etc/a/x12", false),
            ("/h/**/m", "h/m", true),
            ("/h/**/m", "h/a/b/m/x", true),
            ("/h/**/m", "g/a/b/m", false),
            ("/h/**", "h/x", true),
            ("/", "h/x", true),
            ("/a\\*", "a*", true),
            ("/a\\*", "ab", false),
            ("/*a*a*b", "aaaaaaab", true),
        ] {
            assert_eq!(
                takes(&filter(&[pattern], &[]), path),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn excludes_win() {
        let filter = filter(&["/a"], &["*.o", "/a/x"]);
        assert!(takes(&filter, "a/b.c"));
        assert!(!takes(&filter, "a/b.o"));
        assert!(!takes(&filter, "a/x/b.c"));
        assert!(takes(&filter, "a/y/x"));
    }

    #[test]
    fn patterns_that_fit_nothing_are_refused() {
        for text in ["", "../a", "/a/./b"] {
            assert!(PathFilter::new(&[text.to_owned()], &[]).is_err(), "{text}");
        }
    }
}
