//! A file without a disk: for readers that take a path.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};

thread_local! {
    static FILE: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// Calls `work` with a path that holds `content`, and behind it a hole up to `length_min`.
///
/// Each thread has one file, which is used again.
pub(crate) fn with_file(content: &[u8], length_min: u64, work: impl FnOnce(&Path)) {
    FILE.with_borrow_mut(|slot| {
        let file = slot.get_or_insert_with(create);
        file.set_len(0).expect("a file in memory can be emptied");
        file.write_all_at(content, 0)
            .expect("a file in memory takes some bytes");
        if length_min > content.len() as u64 {
            file.set_len(length_min).expect("a hole takes no memory");
        }
        file.flush().expect("a file in memory has no buffer");
        work(&PathBuf::from(format!(
            "/proc/self/fd/{}",
            file.as_raw_fd()
        )));
    });
}

fn create() -> File {
    let made = memfd_create("input", MemfdFlags::CLOEXEC);
    File::from(made.expect("the kernel gives files in memory"))
}
