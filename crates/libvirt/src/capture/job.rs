//! The texts of a backup job and its checkpoint, written and read.
//!
//! Source: libvirt's documentation, "Backup XML format", "Checkpoint XML format".

use std::fmt::Write;
use std::path::PathBuf;

use lifeboat_platform::{CheckpointId, Origin, Result};

use crate::definition::{child, children, parse, text_of};

/// The name under which NBD shows what changed.
pub(crate) const CHANGED: &str = "changed";
/// How the description of every checkpoint of ours begins; the origin follows.
const ORIGIN: &str = "lifeboat origin ";

/// One disk of a job.
#[derive(Clone, Debug)]
pub(crate) struct JobDisk {
    /// The name inside the machine.
    pub(crate) target: String,
    pub(crate) scratch: PathBuf,
    /// Nothing reads everything.
    pub(crate) since: Option<CheckpointId>,
    /// Whether the new checkpoint covers it.
    pub(crate) is_marked: bool,
}

/// Text as it stands in XML, in attributes too.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// The job's description.
pub(crate) fn backup_xml(socket: &std::path::Path, disks: &[JobDisk]) -> String {
    let socket = escaped(&socket.display().to_string());
    let mut xml =
        format!("<domainbackup mode='pull'><server transport='unix' socket='{socket}'/><disks>");
    for disk in disks {
        let target = escaped(&disk.target);
        let scratch = escaped(&disk.scratch.display().to_string());
        let mode = match &disk.since {
            Some(since) => {
                format!("backupmode='incremental' incremental='{since}' exportbitmap='{CHANGED}'")
            }
            None => "backupmode='full'".to_owned(),
        };
        let written = write!(
            xml,
            "<disk name='{target}' backup='yes' type='file' exportname='{target}' {mode}>\
             <scratch file='{scratch}'/></disk>"
        );
        debug_assert!(written.is_ok(), "a text takes everything");
    }
    xml.push_str("</disks></domainbackup>");
    xml
}

/// The checkpoint's description; nothing if it would cover no disk.
pub(crate) fn checkpoint_xml(
    name: &CheckpointId,
    origin: &Origin,
    disks: &[JobDisk],
) -> Option<String> {
    if !disks.iter().any(|disk| disk.is_marked) {
        return None;
    }
    let listed = disks.iter().map(|disk| {
        let kind = if disk.is_marked { "bitmap" } else { "no" };
        let target = escaped(&disk.target);
        format!("<disk name='{target}' checkpoint='{kind}'/>")
    });
    Some(format!(
        "<domaincheckpoint><name>{name}</name><description>{ORIGIN}{origin}</description>\
         <disks>{}</disks></domaincheckpoint>",
        listed.collect::<String>()
    ))
}

/// A checkpoint as libvirt describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointRecord {
    /// Whose it is; nothing for those of others.
    pub(crate) origin: Option<String>,
    /// The disks that have a bitmap of it.
    pub(crate) disks: Vec<String>,
}

impl CheckpointRecord {
    /// Errors: `Invalid`.
    pub(crate) fn parse(xml: &str) -> Result<Self> {
        let document = parse(xml, "a checkpoint's description")?;
        let root = document.root_element();
        let description = text_of(root, "description").unwrap_or_default();
        let disks = child(root, "disks")
            .into_iter()
            .flat_map(|it| children(it, "disk"));
        let covered = disks.filter(|disk| disk.attribute("checkpoint") == Some("bitmap"));
        Ok(Self {
            origin: description.strip_prefix(ORIGIN).map(str::to_owned),
            disks: covered
                .filter_map(|disk| disk.attribute("name"))
                .map(str::to_owned)
                .collect(),
        })
    }
}

/// A job as libvirt describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobRecord {
    /// Where it is read, if over a unix socket.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) scratches: Vec<PathBuf>,
}

impl JobRecord {
    /// Errors: `Invalid`.
    pub(crate) fn parse(xml: &str) -> Result<Self> {
        let document = parse(xml, "a backup job's description")?;
        let root = document.root_element();
        let socket = child(root, "server").and_then(|server| server.attribute("socket"));
        let disks = child(root, "disks")
            .into_iter()
            .flat_map(|it| children(it, "disk"));
        let scratches = disks.filter_map(|disk| child(disk, "scratch")?.attribute("file"));
        Ok(Self {
            socket: socket.map(PathBuf::from),
            scratches: scratches.map(PathBuf::from).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let checkpoint: CheckpointId = "lifeboat-00112233445566778899aabbccddeeff".parse().unwrap();
        let origin: Origin = "0011223344556677".parse().unwrap();
        let disk = |target: &str, since, is_marked| JobDisk {
            target: target.into(),
            scratch: PathBuf::from(format!("/s/<'&\">/{target}")),
            since,
            is_marked,
        };
        let disks = [
            disk("vda", Some(checkpoint.clone()), true),
            disk("vdb", None, false),
        ];
        let xml = backup_xml(std::path::Path::new("/a&b.sock"), &disks);
        let read = JobRecord::parse(&xml).unwrap();
        assert_eq!(read.socket, Some("/a&b.sock".into()));
        assert_eq!(
            read.scratches,
            [disks[0].scratch.clone(), disks[1].scratch.clone()]
        );
        let xml = checkpoint_xml(&checkpoint, &origin, &disks).unwrap();
        let read = CheckpointRecord::parse(&xml).unwrap();
        assert_eq!(read.origin.as_deref(), Some("0011223344556677"));
        assert_eq!(read.disks, ["vda"]);
        assert_eq!(checkpoint_xml(&checkpoint, &origin, &disks[1..]), None);
    }
}
