//! Which points are judged together.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use lifeboat_model::ParseError;

use crate::RecoveryPoint;

/// What points must have in common to be one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grouping {
    /// The same host.
    pub host: bool,
    /// The same paths, in any order.
    pub paths: bool,
    /// The same tags, in any order.
    pub tags: bool,
}

/// What the points of a group have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// Their host.
    pub host: Option<String>,
    /// Their paths, sorted.
    pub paths: Option<Vec<String>>,
    /// Their tags, sorted.
    pub tags: Option<Vec<String>>,
}

impl Grouping {
    /// All points are one group.
    pub const NONE: Self = Self {
        host: false,
        paths: false,
        tags: false,
    };

    /// Reads `host,paths,tags`, some of them, or nothing for one group of all.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let rule = "write host, paths and tags, or some of them, with commas between";
        let mut grouping = Self::NONE;
        for word in text.split(',') {
            match word.trim() {
                "host" | "hosts" => grouping.host = true,
                "path" | "paths" => grouping.paths = true,
                "tag" | "tags" => grouping.tags = true,
                "" => {}
                _ => return Err(ParseError::new("grouping", text, rule)),
            }
        }
        Ok(grouping)
    }

    /// The group of a point.
    pub fn key<T>(self, point: &RecoveryPoint<T>) -> GroupKey {
        GroupKey {
            host: self.host.then(|| point.host.clone()),
            paths: self.paths.then(|| sorted(&point.paths)),
            tags: self.tags.then(|| sorted(&point.tags)),
        }
    }

    /// Puts points into their groups, in the order they have.
    pub fn split<'a, T>(
        self,
        points: impl IntoIterator<Item = &'a RecoveryPoint<T>>,
    ) -> BTreeMap<GroupKey, Vec<&'a RecoveryPoint<T>>> {
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for point in points {
            groups.entry(self.key(point)).or_default().push(point);
        }
        groups
    }
}

fn sorted(words: &[String]) -> Vec<String> {
    let mut words = words.to_vec();
    words.sort();
    words
}

impl Default for Grouping {
    /// By host and paths, as restic does.
    fn default() -> Self {
        Self {
            host: true,
            paths: true,
            tags: false,
        }
    }
}

impl FromStr for Grouping {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.host, "host"),
            (self.paths, "paths"),
            (self.tags, "tags"),
        ];
        let set: Vec<_> = words
            .iter()
            .filter(|word| word.0)
            .map(|word| word.1)
            .collect();
        f.write_str(&set.join(","))
    }
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.iter().map(|host| format!("host {host}"));
        let paths = self
            .paths
            .iter()
            .map(|paths| format!("paths [{}]", paths.join(", ")));
        let tags = self
            .tags
            .iter()
            .map(|tags| format!("tags [{}]", tags.join(", ")));
        let parts: Vec<_> = host.chain(paths).chain(tags).collect();
        if parts.is_empty() {
            return f.write_str("all recovery points");
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groupings_follow_their_rule() {
        for (text, shown) in [
            ("host,paths", "host,paths"),
            ("tag,host", "host,tags"),
            ("paths, tags,hosts", "host,paths,tags"),
            ("", ""),
        ] {
            assert_eq!(Grouping::parse(text).unwrap().to_string(), shown, "{text}");
        }
        assert!(Grouping::parse("host,month").is_err());
        assert_eq!(Grouping::default().to_string(), "host,paths");
    }
}
