//! What a job says of files inside machines.

use std::collections::BTreeMap;

use lifeboat_engine::files::{Judged, PathFilter};
use lifeboat_format::label::MACHINE_TAG;
use lifeboat_model::ErrorKind;
use lifeboat_rescue::{GuestPath, Volume};
use serde::Deserialize;

use super::invalid;
use crate::{Error, Result};

/// Which files inside a machine are backed up, parsed.
#[derive(Clone, Debug)]
pub struct FilesJob {
    /// Where volumes appear, by the volume's name: a path without a slash at its end. None stands
    /// for the tree as the machine's own table has it.
    pub mounts: BTreeMap<String, String>,
    /// What is taken: paths from the root, sorted; `/` for everything.
    pub sources: Vec<String>,
    /// What is left out, as it was written.
    pub excludes: Vec<String>,
    /// Both as a filter.
    pub filter: PathFilter,
}

/// The same as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilesText {
    /// Where volumes appear, as in `vda2 = "/"`; none stands for the machine's own table.
    pub mount: BTreeMap<String, String>,
    /// Paths that are taken; none stands for everything.
    pub source: Vec<String>,
    /// Patterns that are left out.
    pub exclude: Vec<String>,
}

impl FilesText {
    /// Parses every value; `tags` are those of the job.
    ///
    /// Errors: `Invalid`, naming the field.
    pub fn parse(&self, tags: &[String]) -> Result<FilesJob> {
        if tags.iter().any(|tag| tag == MACHINE_TAG) {
            let rule = format!("the tag {MACHINE_TAG} says that a snapshot holds disks");
            return Err(invalid("tags", &rule));
        }
        let mut mounts = BTreeMap::new();
        for (volume, path) in &self.mount {
            let path = plain_path(path)
                .ok_or_else(|| invalid("files.mount", "write VOLUME = PATH, as in vda2 = \"/\""))?;
            if mounts.values().any(|other| *other == path) {
                return Err(invalid("files.mount", "two volumes have one path"));
            }
            mounts.insert(volume.clone(), path);
        }
        let mut sources = Vec::new();
        for text in &self.source {
            let path = plain_path(text);
            let rule = "write paths from the root, as in /etc";
            sources.push(path.ok_or_else(|| invalid("files.source", rule))?);
        }
        sources.sort();
        sources.dedup();
        let is_all = sources.is_empty() || sources.contains(&String::new());
        let includes: Vec<String> = sources.iter().map(|path| literal(path)).collect();
        let includes = if is_all { &[][..] } else { &includes };
        let filter = PathFilter::new(includes, &self.exclude)
            .map_err(|error| invalid("files.exclude", &error.to_string()))?;
        Ok(FilesJob {
            mounts,
            sources: if is_all {
                vec!["/".to_owned()]
            } else {
                sources
            },
            excludes: self.exclude.clone(),
            filter,
        })
    }
}

impl FilesJob {
    /// The job as these volumes need it: where no system is found on them, every volume that can
    /// be read is a folder of its name.
    ///
    /// Errors: `NotFound` for a volume that the job names and that is not there, `Unsupported`
    /// if none can be read.
    pub(crate) fn on(&self, volumes: &[Volume]) -> Result<Self> {
        let mut on = self.clone();
        let names = || volumes.iter().map(|it| it.name.as_str());
        if let Some(absent) = self
            .mounts
            .keys()
            .find(|name| names().all(|it| it != *name))
        {
            let there: Vec<String> = names().map(|it| it.escape_default().to_string()).collect();
            let message = format!(
                "there is no volume {absent}, which the job puts at {}; there are {}",
                shown(self.mounts[absent].as_bytes()),
                there.join(", ")
            );
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let mut readable = volumes.iter().filter(|it| it.is_readable).peekable();
        if readable.peek().is_none() {
            let notes = volumes.iter().map(|it| format!("{}: {}", it.name, it.note));
            let notes: Vec<String> = notes.map(|it| it.escape_default().to_string()).collect();
            let message = format!("no volume of the machine can be read: {}", notes.join("; "));
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let has_system = volumes
            .iter()
            .any(|it| it.mounted_at.as_deref() == Some("/"));
        if !has_system && self.mounts.is_empty() {
            let places = readable.filter_map(|it| {
                let place = plain_path(&format!("/{}", it.name))?;
                (place == format!("/{}", it.name)).then(|| (it.name.clone(), place))
            });
            on.mounts = places.collect();
        }
        Ok(on)
    }

    /// Whether the filter leaves a path and all below it out.
    pub(crate) fn leaves_out(&self, path: &str) -> bool {
        let mut at = self.filter.start();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match self.filter.step(&at, name.as_bytes()) {
                Judged::In(next) => at = next,
                Judged::Out => return true,
            }
        }
        false
    }

    /// Where a path from the root lies in the disks; nothing for one above all volumes.
    pub(crate) fn locate(&self, path: &[u8]) -> Option<GuestPath> {
        let slash = |path: &[u8]| match path {
            b"" => b"/".to_vec(),
            path => path.to_vec(),
        };
        if self.mounts.is_empty() {
            return Some(GuestPath::of_system(&slash(path)));
        }
        let below = |(volume, at): (&'_ String, &String)| {
            let rest = path.strip_prefix(at.as_bytes())?;
            let is_below = rest.is_empty() || rest.starts_with(b"/");
            is_below.then(|| (at.len(), GuestPath::on_volume(volume, &slash(rest))))
        };
        let found = self.mounts.iter().filter_map(below);
        found
            .max_by_key(|(length, _)| *length)
            .map(|(_, path)| path)
    }

    /// Names in a folder that are volumes, or lead to some.
    pub(crate) fn mounted_in(&self, path: &[u8]) -> BTreeMap<Vec<u8>, Option<&str>> {
        let mut names = BTreeMap::new();
        for (volume, at) in &self.mounts {
            let rest = at.as_bytes().strip_prefix(path);
            let Some(rest) = rest.and_then(|rest| rest.strip_prefix(b"/")) else {
                continue;
            };
            let mut parts = rest.splitn(2, |byte| *byte == b'/');
            let name = parts.next().unwrap_or_default().to_vec();
            let is_end = parts.next().is_none();
            let known = names.entry(name).or_insert(None);
            if is_end {
                *known = Some(volume.as_str());
            }
        }
        names
    }
}

/// A path from the root for people.
pub(crate) fn shown(path: &[u8]) -> String {
    match path {
        b"" => "/".to_owned(),
        path => path.escape_ascii().to_string(),
    }
}

/// A path without needless slashes; nothing for the root; none if it is no path from the root.
fn plain_path(text: &str) -> Option<String> {
    let names = text
        .strip_prefix('/')?
        .split('/')
        .filter(|name| !name.is_empty());
    let names: Vec<&str> = names.collect();
    let is_plain = !names.iter().any(|name| matches!(*name, "." | ".."));
    is_plain.then(|| names.iter().map(|name| format!("/{name}")).collect())
}

/// A pattern that fits exactly this path.
fn literal(path: &str) -> String {
    let mut text = String::new();
    for letter in path.chars() {
        if matches!(letter, '*' | '?' | '\\') {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(mount: &[(&str, &str)], source: &[&str]) -> Result<FilesJob> {
        let pairs = mount
            .iter()
            .map(|(volume, path)| (volume.to_string(), path.to_string()));
        let text = FilesText {
            mount: pairs.collect(),
            source: source.iter().map(ToString::to_string).collect(),
            exclude: Vec::new(),
        };
        text.parse(&[])
    }

    #[test]
    fn paths_are_found_on_the_innermost_volume() {
        let job = parsed(&[("vda2", "/"), ("vg/data", "/srv/data/")], &[]).unwrap();
        let shown = |path: &str| job.locate(path.as_bytes()).unwrap().to_string();
        assert_eq!(shown(""), "vda2:/");
        assert_eq!(shown("/srv"), "vda2:/srv");
        assert_eq!(shown("/srv/data"), "vg/data:/");
        assert_eq!(shown("/srv/data/x"), "vg/data:/x");
        assert_eq!(shown("/srv/database"), "vda2:/srv/database");
        let names = |path: &str| job.mounted_in(path.as_bytes());
        assert_eq!(names("")[&b"srv"[..]], None);
        assert_eq!(names("/srv")[&b"data"[..]], Some("vg/data"));
        assert!(names("/etc").is_empty());
    }

    #[test]
    fn sources_are_sorted_and_the_root_is_everything() {
        let sources = |list: &[&str]| parsed(&[], list).unwrap().sources;
        assert_eq!(sources(&["/srv/", "/etc", "/srv"]), ["/etc", "/srv"]);
        assert_eq!(sources(&[]), ["/"]);
        assert_eq!(sources(&["/etc", "/"]), ["/"]);
        for wrong in ["etc", "/etc/../x", ""] {
            assert!(parsed(&[], &[wrong]).is_err(), "{wrong}");
        }
    }

    fn volume(name: &str, content: &str, mounted_at: Option<&str>) -> Volume {
        Volume {
            name: name.to_owned(),
            size: 1,
            content: content.to_owned(),
            label: String::new(),
            uuid: String::new(),
            is_readable: content == "ext4",
            mounted_at: mounted_at.map(str::to_owned),
            letter: None,
            note: String::new(),
        }
    }

    #[test]
    fn volumes_without_a_system_are_folders_of_their_names() {
        let volumes = ["vda1", "vg/data", "../x", "a//b", "vg/./y"];
        let volumes = volumes.map(|name| volume(name, "ext4", None));
        let job = parsed(&[], &[]).unwrap().on(&volumes).unwrap();
        let places: Vec<&String> = job.mounts.values().collect();
        assert_eq!(places, ["/vda1", "/vg/data"]);
        let system = [
            volume("vda1", "ext4", Some("/")),
            volume("vdb", "ext4", None),
        ];
        assert!(
            parsed(&[], &[])
                .unwrap()
                .on(&system)
                .unwrap()
                .mounts
                .is_empty()
        );
        let told = parsed(&[("vdc", "/")], &[]).unwrap().on(&system);
        assert_eq!(told.unwrap_err().kind(), ErrorKind::NotFound);
        let told = parsed(&[], &[]).unwrap().on(&[volume("vda", "swap", None)]);
        assert_eq!(told.unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn a_path_is_left_out_with_the_folder_above_it() {
        let text = FilesText {
            source: vec!["/srv".to_owned()],
            exclude: vec!["/srv/data".to_owned()],
            ..FilesText::default()
        };
        let job = text.parse(&[]).unwrap();
        for (path, is_out) in [("/srv", false), ("/srv/data/x", true), ("/etc", true)] {
            assert_eq!(job.leaves_out(path), is_out, "{path}");
        }
        assert!(text.parse(&["lifeboat".to_owned()]).is_err());
    }
}
