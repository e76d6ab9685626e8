//! Who answers for the files.

use lifeboat_model::ErrorKind;
use lifeboat_rescue::GuestPath;
use lifeboat_rescue::wire::Entry;

/// Answers for files inside disks, one question at a time.
///
/// Errors: the sort of failure; the kernel has no place for more.
pub trait Source: Send + 'static {
    /// Gives `take` the folder at a path, then what is in it, sorted by the bytes of names.
    fn each(
        &mut self,
        path: &GuestPath,
        take: &mut dyn FnMut(Entry),
    ) -> std::result::Result<(), ErrorKind>;

    /// What is at a path; a symbolic link is what it is, not where it leads.
    fn describe(&mut self, path: &GuestPath) -> std::result::Result<Entry, ErrorKind>;

    /// Reads a range of a file; gives how many bytes it has there. May give less than the file
    /// has, but not nothing.
    fn read(
        &mut self,
        path: &GuestPath,
        offset: u64,
        buffer: &mut [u8],
    ) -> std::result::Result<usize, ErrorKind>;
}

/// What is shown at the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A folder for each volume; `group/name` becomes a folder in a folder.
    Volumes(Vec<String>),
    /// What is in one folder.
    Folder {
        /// Its volume; none for the system's own tree.
        volume: Option<String>,
        /// From the root of the volume or the system.
        path: Vec<u8>,
    },
}
