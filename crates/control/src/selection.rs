//! Which machines of a platform a job is about.

use std::str::FromStr;

use lifeboat_model::{ParseError, fits_pattern};
use lifeboat_platform::Vm;

/// One rule: a name, a pattern, or a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Names that fit: `*` stands for any characters, `?` for one, all else for itself.
    Name(String),
    /// Machines with this tag; of an empty value, with any value.
    Tag(String, String),
    /// The platform's own id.
    Id(String),
}

/// Which machines are meant: those that fit any of `wanted` (all, if it is empty) and none of
/// `but`. Machines that are made later join by the same rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Wanted.
    pub wanted: Vec<Rule>,
    /// Left out.
    pub but: Vec<Rule>,
}

impl FromStr for Rule {
    type Err = ParseError;

    /// Reads `web*`, `tag:backup=daily`, `tag:backup`, `id:7f3c...`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || {
            let rule = "write a name or pattern like web*, tag:KEY=VALUE, tag:KEY or id:ID";
            ParseError::new("selection of machines", text, rule)
        };
        if text.is_empty() {
            return Err(wrong());
        }
        if let Some(id) = text.strip_prefix("id:") {
            return (!id.is_empty())
                .then(|| Self::Id(id.to_owned()))
                .ok_or_else(wrong);
        }
        let Some(tag) = text.strip_prefix("tag:") else {
            return Ok(Self::Name(text.to_owned()));
        };
        let (key, value) = tag.split_once('=').unwrap_or((tag, ""));
        let is_sound = !key.is_empty();
        is_sound
            .then(|| Self::Tag(key.to_owned(), value.to_owned()))
            .ok_or_else(wrong)
    }
}

impl Rule {
    /// Whether a machine fits.
    pub fn fits(&self, vm: &Vm) -> bool {
        match self {
            Self::Name(pattern) => fits_pattern(pattern, vm.name.as_str()),
            Self::Id(id) => vm.id.as_str() == id,
            Self::Tag(key, value) => {
                let found = vm.tags.get(key);
                found.is_some_and(|found| value.is_empty() || found == value)
            }
        }
    }

    /// Whether it names one machine and not a set: then its absence is an error.
    pub fn is_exact(&self) -> bool {
        match self {
            Self::Name(pattern) => !pattern.contains(['*', '?']),
            Self::Id(_) => true,
            Self::Tag(..) => false,
        }
    }
}

impl Selection {
    /// The machines that are meant, in their order.
    pub fn of<'a>(&self, all: &'a [Vm]) -> Vec<&'a Vm> {
        let is_wanted = |vm: &Vm| self.wanted.is_empty() || self.wanted.iter().any(|r| r.fits(vm));
        let is_left_out = |vm: &Vm| self.but.iter().any(|rule| rule.fits(vm));
        all.iter()
            .filter(|vm| is_wanted(vm) && !is_left_out(vm))
            .collect()
    }

    /// Wanted rules that name a machine which is not there.
    pub fn missing(&self, all: &[Vm]) -> Vec<&Rule> {
        let exact = self.wanted.iter().filter(|rule| rule.is_exact());
        exact
            .filter(|rule| !all.iter().any(|vm| rule.fits(vm)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name) in [
            ("*", ""),
            ("web*", "web01"),
            ("*b?1", "web01"),
            ("a*b*c", "aXbbYc"),
        ] {
            assert!(fits_pattern(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("web", "web01"), ("?", ""), ("a*b", "ac"), ("*x", "xy")] {
            assert!(!fits_pattern(pattern, name), "{pattern} {name}");
        }
        assert!(!fits_pattern(&"*a".repeat(50), &"a".repeat(30)));
    }

    #[test]
    fn rules_are_read() {
        assert_eq!(
            "web*".parse::<Rule>().unwrap(),
            Rule::Name("web*".to_owned())
        );
        let tag = Rule::Tag("backup".to_owned(), "daily".to_owned());
        assert_eq!("tag:backup=daily".parse::<Rule>().unwrap(), tag);
        for wrong in ["", "tag:", "tag:=x", "id:"] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }
}
