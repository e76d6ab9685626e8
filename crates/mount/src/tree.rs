//! What the kernel asks, answered from the source.

use std::cmp::Ordering;
use std::sync::Arc;

use fuser::{FileAttr, FileType};
use lifeboat_model::ErrorKind;
use lifeboat_rescue::wire::Attribute;

use crate::listing::{Listing, Listings};
use crate::node::{Facts, Node, Nodes, Place, TOP};
use crate::source::{Shown, Source};
use crate::top::{Step, Top};

/// An answer, or what the kernel is told instead.
pub(crate) type Answer<T> = std::result::Result<T, ErrorKind>;

/// The largest range given at once.
const READ_BYTES_MAX: usize = 1 << 20;

/// A tree of files and what the kernel holds of it.
#[derive(Debug)]
pub(crate) struct Tree<S> {
    source: S,
    top: Top,
    nodes: Nodes,
    listings: Listings,
    /// Those of the file that was asked about last.
    attributes: (u64, Arc<[Attribute]>),
}

impl<S: Source> Tree<S> {
    /// Errors: those of the source; `Invalid` if no folder is at the top.
    pub(crate) fn new(mut source: S, shown: Shown) -> Answer<Self> {
        let top = Top::of(shown);
        let (place, facts) = look(&mut source, &top, top.begin())?;
        if facts.attr.kind != FileType::Directory {
            return Err(ErrorKind::Invalid);
        }
        Ok(Self {
            source,
            top,
            nodes: Nodes::with_top(place, facts),
            listings: Listings::default(),
            attributes: (0, Arc::default()),
        })
    }

    fn node(&self, number: u64) -> Answer<&Node> {
        self.nodes.get(number).ok_or(ErrorKind::NotFound)
    }

    pub(crate) fn attr(&self, number: u64) -> Answer<FileAttr> {
        Ok(self.node(number)?.facts.attr)
    }

    pub(crate) fn link_target(&self, number: u64) -> Answer<&[u8]> {
        let target = self.node(number)?.facts.link_target.as_deref();
        target.ok_or(ErrorKind::Invalid)
    }

    /// Finds a name in a folder; the kernel holds it from now on.
    pub(crate) fn look_up(&mut self, parent: u64, name: &[u8]) -> Answer<FileAttr> {
        let (place, facts) = match self.node(parent)?.place.clone() {
            Place::Own(folder) => {
                let step = self.top.folder(folder).get(name);
                let step = *step.ok_or(ErrorKind::NotFound)?;
                look(&mut self.source, &self.top, step)?
            }
            Place::Inside(root, above) => {
                let path = [&above[..], b"/", name].concat();
                let listed = self.listings.kept(&Place::Inside(root, above));
                let listed = listed.and_then(|listing| find(&listing, name));
                let facts = match listed {
                    Some(facts) => facts,
                    None => self.describe(root, &path)?.0,
                };
                (Place::Inside(root, path), facts)
            }
        };
        Ok(self.nodes.hold(place, facts))
    }

    fn describe(&mut self, root: usize, path: &[u8]) -> Answer<(Facts, Vec<Attribute>)> {
        let entry = self.source.describe(&self.top.roots[root].path(path))?;
        let facts = Facts::of(&entry).ok_or(ErrorKind::Unsupported)?;
        Ok((facts, entry.attributes))
    }

    pub(crate) fn forget(&mut self, number: u64, count: u64) {
        self.nodes.forget(number, count);
    }

    /// Lists a folder; gives its handle.
    pub(crate) fn open_folder(&mut self, number: u64) -> Answer<u64> {
        let place = self.node(number)?.place.clone();
        let listing = match self.listings.kept(&place) {
            Some(listing) => listing,
            None => {
                let listing = self.list(&place)?;
                self.listings.keep(place, &listing);
                listing
            }
        };
        Ok(self.listings.open(listing))
    }

    fn list(&mut self, place: &Place) -> Answer<Listing> {
        let mut entries: Vec<(Box<[u8]>, Facts)> = Vec::new();
        match place {
            Place::Own(folder) => {
                let names = self.top.folder(*folder).keys();
                entries.extend(names.map(|name| (name.as_slice().into(), Facts::own())));
            }
            Place::Inside(root, path) => {
                let path = self.top.roots[*root].path(path);
                self.source.each(&path, &mut |entry| {
                    let facts = Facts::of(&entry).filter(|_| !entry.name.is_empty());
                    entries.extend(facts.map(|facts| (entry.name.into(), facts)));
                })?;
            }
        }
        // For the search by name; and a name comes once, whatever the source says.
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.dedup_by(|a, b| a.0 == b.0);
        Ok(Arc::new(entries))
    }

    pub(crate) fn close_folder(&mut self, handle: u64) {
        self.listings.close(handle);
    }

    /// Gives `add` what is in an open folder from `offset` on: number, offset of the next, kind,
    /// name; until it has enough.
    pub(crate) fn entries(
        &self,
        number: u64,
        handle: u64,
        offset: u64,
        mut add: impl FnMut(u64, u64, FileType, &[u8]) -> bool,
    ) -> Answer<()> {
        let place = &self.node(number)?.place;
        let listing = self.listings.of(handle).ok_or(ErrorKind::Invalid)?;
        let dots: [(&[u8], u64); 2] = [(b".", number), (b"..", self.above(place))];
        let mut next = offset;
        for (name, number) in dots.into_iter().skip(clamped(offset)) {
            next += 1;
            if add(number, next, FileType::Directory, name) {
                return Ok(());
            }
        }
        let begin = clamped(next - dots.len() as u64);
        for (name, facts) in listing.iter().skip(begin) {
            next += 1;
            let number = self.nodes.number(&self.below(place, name), facts);
            if add(number, next, facts.attr.kind, name) {
                break;
            }
        }
        Ok(())
    }

    /// The place of a name in a folder.
    fn below(&self, place: &Place, name: &[u8]) -> Place {
        match place {
            Place::Own(folder) => match self.top.folder(*folder).get(name) {
                Some(Step::Root(root)) => Place::Inside(*root, Vec::new()),
                Some(Step::Own(number)) => Place::Own(*number),
                None => Place::Own(*folder),
            },
            Place::Inside(root, path) => Place::Inside(*root, [path, &b"/"[..], name].concat()),
        }
    }

    /// The number of the folder above; the top's for what is near it.
    fn above(&self, place: &Place) -> u64 {
        let Place::Inside(root, path) = place else {
            return TOP;
        };
        let Some(at) = path.iter().rposition(|byte| *byte == b'/') else {
            return TOP;
        };
        self.nodes
            .number(&Place::Inside(*root, path[..at].to_vec()), &Facts::own())
    }

    /// A range of a file, cut at its end.
    pub(crate) fn read(&mut self, number: u64, offset: u64, length: usize) -> Answer<Vec<u8>> {
        let node = self.node(number)?;
        let Place::Inside(root, path) = &node.place else {
            return Err(ErrorKind::Invalid);
        };
        if node.facts.attr.kind != FileType::RegularFile {
            return Err(ErrorKind::Invalid);
        }
        let rest = clamped(node.facts.attr.size.saturating_sub(offset));
        let path = self.top.roots[*root].path(path);
        let mut bytes = vec![0; length.min(rest).min(READ_BYTES_MAX)];
        let mut filled = 0;
        while filled < bytes.len() {
            let read = self
                .source
                .read(&path, offset + filled as u64, &mut bytes[filled..])?;
            if read == 0 {
                // Less than it was said to have: zeros in its place would be a lie.
                return Err(ErrorKind::Corrupt);
            }
            filled += read;
        }
        Ok(bytes)
    }

    /// All extended attributes of something.
    pub(crate) fn attributes(&mut self, number: u64) -> Answer<Arc<[Attribute]>> {
        let node = self.node(number)?;
        if !node.facts.has_attributes {
            return Ok(Arc::default());
        }
        if self.attributes.0 == number {
            return Ok(Arc::clone(&self.attributes.1));
        }
        let Place::Inside(root, path) = node.place.clone() else {
            return Ok(Arc::default());
        };
        let (_, attributes) = self.describe(root, &path)?;
        self.attributes = (number, attributes.into());
        Ok(Arc::clone(&self.attributes.1))
    }
}

fn look<S: Source>(source: &mut S, top: &Top, step: Step) -> Answer<(Place, Facts)> {
    match step {
        Step::Own(number) => Ok((Place::Own(number), Facts::own())),
        Step::Root(number) => {
            let entry = source.describe(&top.roots[number].path(b""))?;
            let facts = Facts::of(&entry).ok_or(ErrorKind::Unsupported)?;
            Ok((Place::Inside(number, Vec::new()), facts))
        }
    }
}

fn find(listing: &Listing, name: &[u8]) -> Option<Facts> {
    let found = listing.binary_search_by(|(other, _)| -> Ordering { (**other).cmp(name) });
    found.ok().map(|at| listing[at].1.clone())
}

fn clamped(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
