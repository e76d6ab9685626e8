//! Where backups go, and where machines are.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use lifeboat_model::ParseError;
use lifeboat_policy::Schedule;

use crate::job::Names;
use crate::secret::{PASSWORD, SecretSource};
use crate::section::Section;

/// A site: a place with people of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteEntry {
    /// What reports call it.
    pub title: Option<String>,
    /// What people should know of it.
    pub note: Option<String>,
}

/// What a check reads of the stored data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckData {
    /// A share, chosen anew each time: 1 to 100.
    Percent(u8),
    /// Everything.
    All,
    /// One of so many parts, the next one each time: everything is read after as many checks.
    OneOf(u32),
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryEntry {
    /// Its place, as `--repo` takes it.
    pub place: String,
    /// Its password.
    pub password: SecretSource,
    /// The name of its site, if it is not that of the file.
    pub site: Option<String>,
    /// When it is checked.
    pub check: Option<Schedule>,
    /// What a check reads of the stored data; nothing for the structure alone.
    pub check_data: Option<CheckData>,
    /// When it is pruned.
    pub prune: Option<Schedule>,
    /// The zone of these times.
    pub zone: TimeZone,
    /// Bytes that it should not outgrow.
    pub size_max: Option<u64>,
    /// Tasks that work on it at the same time.
    pub parallel: Option<u32>,
    /// How what is stored is compressed, as `--compression` takes it.
    pub compression: Option<String>,
    /// A pack is closed at this size.
    pub pack_size: Option<u64>,
    /// Threads that compute for it.
    pub threads: Option<u32>,
    /// Why nothing is carried out here, if it came from another program.
    pub carried_over: Option<String>,
}

/// A platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformEntry {
    /// Its address, as `--platform` takes it.
    pub uri: String,
    /// The name of its site, if it is not that of the file.
    pub site: Option<String>,
    /// Names and patterns of machines that need no protection.
    pub unprotected_ok: Vec<String>,
    /// Why nothing is carried out here, if it came from another program.
    pub carried_over: Option<String>,
}

impl SiteEntry {
    pub(crate) fn read(section: Section<'_>) -> Self {
        let entry = Self {
            title: section.text("title"),
            note: section.text("note"),
        };
        section.finish();
        entry
    }
}

impl RepositoryEntry {
    pub(crate) fn read(section: Section<'_>, names: &Names) -> Option<Self> {
        let place = section.needed("place", "place = \"/srv/backup\"");
        let password = PASSWORD.read_needed(&section);
        let zone = section.zone("zone");
        let check = section.schedule("check");
        let check_data = section.parsed_by("check_data", str::parse);
        if check.is_none() && check_data.is_some() && !section.holds("check") {
            let why = "nothing is read, because no check begins by itself";
            section.warn("check_data", why, "write check = \"weekly sun 05:00\"");
        }
        let entry = Self {
            site: names.site(&section),
            check,
            check_data,
            prune: section.schedule("prune"),
            zone: zone.unwrap_or_else(TimeZone::system),
            size_max: section.size("size_max"),
            parallel: section.number("parallel", (1, 64)),
            compression: section.parsed_by("compression", compression),
            pack_size: section.size("pack_size"),
            threads: section.number("threads", (1, 1024)),
            carried_over: carried_over(&section),
            place: String::new(),
            password: SecretSource::Environment(String::new()),
        };
        section.finish();
        Some(Self {
            place: place?,
            password: password?,
            ..entry
        })
    }
}

/// restic's words for compression, and zstd's levels.
fn compression(text: &str) -> Result<String, ParseError> {
    let is_word = ["off", "auto", "fastest", "better", "max"].contains(&text);
    let is_level = text.parse::<u8>().is_ok_and(|it| (1..=19).contains(&it));
    let rule = "write off, auto, fastest, better, max, or a level from 1 to 19";
    let wrong = || ParseError::new("compression", text, rule);
    (is_word || is_level)
        .then(|| text.to_owned())
        .ok_or_else(wrong)
}

impl PlatformEntry {
    pub(crate) fn read(section: Section<'_>, names: &Names) -> Option<Self> {
        let uri = section.needed("uri", "uri = \"qemu:///system\"");
        let site = names.site(&section);
        let unprotected_ok = section.texts("unprotected_ok");
        let carried_over = carried_over(&section);
        section.finish();
        Some(Self {
            uri: uri?,
            site,
            unprotected_ok,
            carried_over,
        })
    }
}

/// Reads the mark of an entry that came from another program and that nothing carries out.
pub(crate) fn carried_over(section: &Section<'_>) -> Option<String> {
    let mark = section.text("carried_over")?;
    let why = format!("carried over, not carried out yet: {mark}");
    let next = "replace it by what there is, or leave it as a note";
    section.warn("carried_over", why, next);
    Some(mark)
}

impl FromStr for CheckData {
    type Err = ParseError;

    /// Reads `all`, `5%`, `1/30`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let rule = "write all, a share as in 5%, or one of so many parts as in 1/30";
        let wrong = || ParseError::new("part of the data", text, rule);
        if text == "all" {
            return Ok(Self::All);
        }
        if let Some(share) = text.strip_suffix('%') {
            let share: u8 = share.trim().parse().map_err(|_| wrong())?;
            let is_share = (1..=100).contains(&share);
            return is_share.then_some(Self::Percent(share)).ok_or_else(wrong);
        }
        let parts = text.strip_prefix("1/").ok_or_else(wrong)?;
        let parts: u32 = parts.parse().map_err(|_| wrong())?;
        let is_part = (1..=1000).contains(&parts);
        is_part.then_some(Self::OneOf(parts)).ok_or_else(wrong)
    }
}

impl fmt::Display for CheckData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(share) => write!(f, "{share}%"),
            Self::All => f.write_str("all"),
            Self::OneOf(parts) => write!(f, "1/{parts}"),
        }
    }
}
