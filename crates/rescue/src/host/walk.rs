//! A stream of entries with their content, checked as it comes.
//!
//! Whoever follows it can rely on: names are plain and ascend within each folder, so none comes
//! twice; folders nest no deeper than [`DEPTH_MAX`] and are left as often as entered; content
//! comes only for files, in ascending order, within the size of its entry.

use std::io::{self, Read};

use super::channel::Lost;
use super::session::Rescue;
use crate::Result;
use crate::wire::{DEPTH_MAX, Entry, FileKind, Reply, Request};

/// How many answers may be on their way when a walk is given up.
const LEFTOVER_MAX: usize = 1 << 16;

/// One step of a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An entry; for a file its content follows, for a folder what is in it and `Leave`.
    Entry(Box<Entry>),
    /// A piece of the file's content; what lies between pieces are zeros.
    Data {
        /// Where it begins.
        offset: u64,
        /// At least one byte, at most 256 KiB.
        bytes: Vec<u8>,
    },
    /// The file's content is complete.
    ContentEnd,
    /// The file's content came with an earlier entry of the same device and inode.
    SameContent,
    /// The folder is complete.
    Leave,
    /// Something of the latest entry could not be read: damage inside the file system. For a file
    /// its content ends here, incomplete.
    Fault(String),
}

/// An entry and all below it, step by step. Ends after an error.
#[derive(Debug)]
pub struct Walk<'a> {
    rescue: &'a mut Rescue,
    object: String,
    order: Order,
    is_over: bool,
    /// A step that was taken to look at it.
    ahead: Option<Step>,
}

/// Where in the sequence a walk is.
#[derive(Debug, Default)]
struct Order {
    has_begun: bool,
    /// For each open folder the latest name in it.
    names: Vec<Vec<u8>>,
    /// Size of the file whose content is coming, and where the latest piece ended.
    content: Option<(u64, u64)>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(rescue: &'a mut Rescue, object: String) -> Self {
        Self {
            rescue,
            object,
            order: Order::default(),
            is_over: false,
            ahead: None,
        }
    }

    /// The content of the file whose entry was the latest step; none if it came before.
    pub fn content(&mut self) -> Result<Option<Content<'_, 'a>>> {
        let size = self.order.content.map_or(0, |(size, _)| size);
        match self.next() {
            Some(Ok(Step::SameContent)) => return Ok(None),
            Some(Ok(step)) => self.ahead = Some(step),
            Some(Err(error)) => return Err(error),
            None => {}
        }
        Ok(Some(Content {
            walk: self,
            size,
            position: 0,
            piece: (0, Vec::new()),
            is_complete: false,
        }))
    }

    fn advance(&mut self) -> Result<Option<Step>> {
        let step = match self.rescue.next_reply()? {
            Reply::Done if self.order.is_complete() => return Ok(None),
            Reply::Entry(entry) => Step::Entry(entry),
            Reply::Data { offset, bytes } => Step::Data { offset, bytes },
            Reply::ContentEnd => Step::ContentEnd,
            Reply::SameContent => Step::SameContent,
            Reply::Leave => Step::Leave,
            Reply::Fault(text) => Step::Fault(text),
            reply => return Err(self.rescue.unexpected(reply, "reading", &self.object)),
        };
        match self.order.check(&step) {
            Ok(()) => Ok(Some(step)),
            Err(text) => Err(self.rescue.lose(Lost::OutOfTurn(text))),
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Step>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(step) = self.ahead.take() {
            return Some(Ok(step));
        }
        if self.is_over {
            return None;
        }
        let step = self.advance().transpose();
        self.is_over = !matches!(step, Some(Ok(_)));
        step
    }
}

impl Drop for Walk<'_> {
    /// Tells the rescue VM to stop and takes what is on its way, so that it can be asked again.
    fn drop(&mut self) {
        if self.is_over || self.rescue.ask(&Request::Stop).is_err() {
            return;
        }
        for _ in 0..LEFTOVER_MAX {
            match self.rescue.next_reply() {
                Ok(Reply::Done | Reply::Failed { .. }) | Err(_) => return,
                Ok(_) => {}
            }
        }
        self.rescue.lose(Lost::OutOfTurn("it does not stop"));
    }
}

impl Order {
    fn is_complete(&self) -> bool {
        self.has_begun && self.names.is_empty() && self.content.is_none()
    }

    fn check(&mut self, step: &Step) -> std::result::Result<(), &'static str> {
        match (step, &mut self.content) {
            (Step::Entry(entry), None) => self.check_entry(entry),
            (Step::Data { offset, bytes }, Some((size, end))) => {
                let new_end = offset.checked_add(bytes.len() as u64);
                if offset < end || new_end.is_none_or(|new_end| new_end > *size) {
                    return Err("a piece of content lies outside of its file");
                }
                *end = new_end.unwrap_or(*end);
                Ok(())
            }
            (Step::ContentEnd, Some(_)) => {
                self.content = None;
                Ok(())
            }
            (Step::SameContent, Some((_, 0))) => {
                self.content = None;
                Ok(())
            }
            (Step::Fault(_), _) if self.has_begun => {
                self.content = None;
                Ok(())
            }
            (Step::Leave, None) if self.names.pop().is_some() => Ok(()),
            _ => Err("a step has no place here"),
        }
    }

    fn check_entry(&mut self, entry: &Entry) -> std::result::Result<(), &'static str> {
        match self.names.last_mut() {
            None if self.has_begun => return Err("entries follow the last one"),
            None if !entry.name.is_empty() => return Err("the first entry has a name"),
            None => {}
            Some(latest) if *latest < entry.name => latest.clone_from(&entry.name),
            Some(_) => return Err("names do not ascend"),
        }
        self.has_begun = true;
        match entry.kind {
            FileKind::File => self.content = Some((entry.size, 0)),
            FileKind::Folder if self.names.len() >= DEPTH_MAX => {
                return Err("folders nest too deep");
            }
            FileKind::Folder => self.names.push(Vec::new()),
            _ => {}
        }
        Ok(())
    }
}

/// A file's content as a plain stream of bytes; holes are zeros.
///
/// A fault in the file is an error of the stream. What is not read is passed over.
#[derive(Debug)]
pub struct Content<'w, 'a> {
    walk: &'w mut Walk<'a>,
    size: u64,
    position: u64,
    piece: (u64, Vec<u8>),
    is_complete: bool,
}

impl Read for Content<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let (start, bytes) = &self.piece;
            let end = start + bytes.len() as u64;
            if self.position < *start || self.is_complete && self.position < self.size {
                let next = if self.is_complete { self.size } else { *start };
                let length = clamped(next - self.position, buffer.len());
                buffer[..length].fill(0);
                self.position += length as u64;
                return Ok(length);
            }
            if self.position < end {
                let rest = &bytes[(self.position - start) as usize..];
                let length = rest.len().min(buffer.len());
                buffer[..length].copy_from_slice(&rest[..length]);
                self.position += length as u64;
                return Ok(length);
            }
            if self.is_complete {
                return Ok(0);
            }
            self.advance()?;
        }
    }
}

impl Content<'_, '_> {
    fn advance(&mut self) -> io::Result<()> {
        match self.walk.next() {
            Some(Ok(Step::Data { offset, bytes })) => self.piece = (offset, bytes),
            Some(Ok(Step::ContentEnd)) => self.is_complete = true,
            Some(Ok(Step::Fault(text))) => return Err(io::Error::other(text)),
            Some(Err(error)) => return Err(io::Error::other(error)),
            Some(Ok(_)) | None => {
                return Err(io::Error::other("the latest entry was no file"));
            }
        }
        Ok(())
    }
}

impl Drop for Content<'_, '_> {
    fn drop(&mut self) {
        while !self.is_complete && self.walk.order.content.is_some() {
            if !matches!(self.walk.next(), Some(Ok(_))) {
                return;
            }
        }
        if let Some(Step::Data { .. } | Step::ContentEnd) = self.walk.ahead {
            self.walk.ahead = None;
        }
    }
}

fn clamped(length: u64, max: usize) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Moment;

    fn entry(name: &str, kind: FileKind, size: u64) -> Step {
        let zero = Moment::default();
        Step::Entry(Box::new(Entry {
            name: name.into(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            size,
            allocated: size,
            atime: zero,
            mtime: zero,
            ctime: zero,
            inode: 0,
            device_id: 0,
            links: 1,
            device: 0,
            link_target: None,
            attributes: Vec::new(),
        }))
    }

    fn data(offset: u64, length: usize) -> Step {
        let bytes = vec![1; length];
        Step::Data { offset, bytes }
    }

    /// What the first step that is refused is refused for; none if all pass.
    fn refused(steps: &[Step]) -> Option<&'static str> {
        let mut order = Order::default();
        let refused = steps.iter().find_map(|step| order.check(step).err());
        refused.or((!order.is_complete()).then_some("it is not complete"))
    }

    #[test]
    fn a_tree_in_order_passes() {
        use FileKind::{File, Folder, Symlink};
        let steps = [
            entry("", Folder, 0),
            entry("a", File, 10),
            data(0, 4),
            data(8, 2),
            Step::ContentEnd,
            entry("b", Folder, 0),
            entry("a", File, 10),
            Step::Fault("broken".into()),
            Step::Leave,
            entry("c", Symlink, 0),
            Step::Leave,
        ];
        assert_eq!(refused(&steps), None);
    }

    #[test]
    fn whatever_would_mislead_is_refused() {
        use FileKind::{File, Folder};
        let folder = || entry("", Folder, 0);
        let leave = || Step::Leave;
        let cases: [(&str, Vec<Step>); 9] = [
            (
                "twice",
                vec![
                    folder(),
                    entry("a", Folder, 0),
                    leave(),
                    entry("a", File, 0),
                ],
            ),
            (
                "downward",
                vec![
                    folder(),
                    entry("b", Folder, 0),
                    leave(),
                    entry("a", File, 0),
                ],
            ),
            ("left too often", vec![folder(), leave(), leave()]),
            ("never left", vec![folder()]),
            ("beyond the end", vec![entry("", File, 4), data(1, 4)]),
            ("backward", vec![entry("", File, 9), data(4, 2), data(5, 1)]),
            ("no file", vec![folder(), data(0, 1)]),
            (
                "unfinished",
                vec![folder(), entry("a", File, 4), entry("b", File, 4)],
            ),
            (
                "after the end",
                vec![folder(), leave(), entry("", Folder, 0)],
            ),
        ];
        for (what, steps) in cases {
            assert!(refused(&steps).is_some(), "{what}");
        }
        let deep = (0..=DEPTH_MAX).map(|at| entry(if at == 0 { "" } else { "d" }, Folder, 0));
        assert_eq!(
            refused(&deep.collect::<Vec<_>>()),
            Some("folders nest too deep")
        );
    }
}
