//! The rows of the benchmark: what each measures, and what lifeboat promises there.

/// Which repository a row works on; rows of one suite follow each other in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Suite {
    /// Two machines, over two days.
    Machines,
    /// A large disk that is nearly empty.
    Sparse,
    /// A disk of noise.
    Incompressible,
    /// Repositories with very many snapshots and blobs.
    Fleet,
}

/// What a row is judged by. Times and sizes are medians; "best" is the smallest of all peers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// Wall time, by the best peer's.
    WallOfBest(f64),
    /// CPU time, by the best peer's.
    CpuOfBest(f64),
    /// Wall time, by that of one tool.
    WallOf(&'static str, f64),
    /// Wall time in seconds.
    WallSeconds(f64),
    /// A count in bytes, by the newest restic's.
    BytesOfRestic(&'static str, f64),
    /// Peak memory in MiB.
    ResidentMib(f64),
    /// Peak memory in bytes for each blob of the index.
    ResidentPerBlob(f64),
    /// Blobs of the index for each second of CPU time.
    BlobsPerCpuSecond(f64),
}

/// One row.
#[derive(Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) suite: Suite,
    /// What is done, for the document.
    pub(crate) note: &'static str,
    /// Whether time passes here; else only bytes are looked at.
    pub(crate) has_times: bool,
    /// Whether the time until everything is durable is shown too.
    pub(crate) has_durable: bool,
    /// Counts that are shown, as name and heading.
    pub(crate) counts: &'static [(&'static str, &'static str)],
    /// Where the peers' figures come from, if not from this row.
    pub(crate) peers_row: Option<&'static str>,
    pub(crate) targets: &'static [Target],
}

impl Row {
    /// The name without the letter of a part.
    pub(crate) fn number(&self) -> &'static str {
        self.name
            .trim_end_matches(|end: char| end.is_ascii_lowercase())
    }
}

const STORED: (&str, &str) = ("stored", "repository");
const ADDED: (&str, &str) = ("added", "added");
const READ: (&str, &str) = ("read", "read");

/// What most rows have.
const TIMED: Row = Row {
    name: "",
    title: "",
    suite: Suite::Machines,
    note: "",
    has_times: true,
    has_durable: false,
    counts: &[],
    peers_row: None,
    targets: &[],
};

/// All rows, in the order of the document.
pub(crate) const ROWS: [Row; 16] = [
    Row {
        name: "1",
        title: "First full backup",
        note: "vm-a.raw into an empty repository.",
        has_durable: true,
        counts: &[STORED],
        targets: &[
            Target::WallOfBest(0.55),
            Target::CpuOfBest(0.75),
            Target::BytesOfRestic("stored", 1.02),
        ],
        ..TIMED
    },
    Row {
        name: "2",
        title: "Everything read again, nothing changed",
        note: "restic and rustic `--force`, borg `--files-cache=disabled`, bupstash \
               `--no-send-log`, lifeboat without a list of changes.",
        counts: &[ADDED],
        targets: &[Target::WallOfBest(0.45), Target::CpuOfBest(0.65)],
        ..TIMED
    },
    Row {
        name: "3",
        title: "Nothing changed, and the tool may know it",
        note: "Peers trust size and times of the file where they do; lifeboat has a list of \
               changes that is empty.",
        counts: &[ADDED],
        targets: &[Target::WallSeconds(0.5)],
        ..TIMED
    },
    Row {
        name: "4",
        title: "Day 2, everything read",
        note: "vm-a.day2.raw as the same disk.",
        counts: &[ADDED],
        targets: &[
            Target::WallOfBest(0.55),
            Target::CpuOfBest(0.7),
            Target::BytesOfRestic("added", 0.85),
        ],
        ..TIMED
    },
    Row {
        name: "5",
        title: "Day 2, by changed extents",
        note: "lifeboat reads what a dirty bitmap of 64 KiB granularity would mark; no peer can, \
               so theirs are the figures of row 4.",
        counts: &[ADDED, READ, ("changed", "changed")],
        peers_row: Some("4"),
        targets: &[Target::WallOfBest(0.25), Target::CpuOfBest(0.35)],
        ..TIMED
    },
    Row {
        name: "6",
        title: "A second machine",
        note: "vm-b.raw into the repository that holds both days of vm-a.",
        counts: &[ADDED],
        targets: &[
            Target::WallOfBest(0.55),
            Target::CpuOfBest(0.75),
            Target::BytesOfRestic("added", 0.80),
        ],
        ..TIMED
    },
    Row {
        name: "7",
        title: "The same files on another file system",
        note: "vm-b's files on XFS, into the repository that holds vm-b on ext4.",
        counts: &[ADDED],
        targets: &[Target::BytesOfRestic("added", 0.65)],
        ..TIMED
    },
    Row {
        name: "8",
        title: "Stored in all",
        note: "vm-a, its day 2, and vm-b in one repository.",
        has_times: false,
        counts: &[STORED],
        targets: &[Target::BytesOfRestic("stored", 0.92)],
        ..TIMED
    },
    Row {
        name: "9",
        title: "64 GiB, of which 100 MiB are data",
        suite: Suite::Sparse,
        note: "A sparse file into an empty repository; `qemu-img convert -c` makes a qcow2 of it.",
        counts: &[STORED, READ],
        targets: &[Target::WallOf("qemu-img", 1.0)],
        ..TIMED
    },
    Row {
        name: "10",
        title: "4 GiB that cannot be compressed",
        suite: Suite::Incompressible,
        note: "Random bytes into an empty repository.",
        has_durable: true,
        counts: &[STORED],
        targets: &[Target::WallOfBest(0.6), Target::CpuOfBest(0.95)],
        ..TIMED
    },
    Row {
        name: "11",
        title: "Restore, dense",
        note: "vm-a to a new file, in each tool's usual form. lifeboat has only one: zeros become \
               holes. Compared byte for byte in the first round.",
        has_durable: true,
        counts: &[("allocated", "allocated")],
        targets: RESTORE_TARGETS,
        ..TIMED
    },
    Row {
        name: "12",
        title: "Restore, sparse",
        note: "vm-a to a new file with holes: restic and borg `--sparse`, rustic \
               `--sparse by-content`. Compared byte for byte in the first round.",
        has_durable: true,
        counts: &[("allocated", "allocated")],
        targets: RESTORE_TARGETS,
        ..TIMED
    },
    Row {
        name: "13",
        title: "Verify all data",
        note: "vm-a, its day 2 and vm-b are inside; every byte is read, opened and hashed.",
        targets: &[Target::WallOfBest(0.75), Target::CpuOfBest(0.75)],
        ..TIMED
    },
    Row {
        name: "14",
        title: "Forget half of the snapshots, and prune",
        note: "Six states of a disk of 1 GiB with random page writes between them are added \
               first. Forgotten are the first day of vm-a and every other state. \"Rewritten\" \
               is what lies in new files of data afterwards; bupstash keeps every chunk in a \
               file of its own and only deletes.",
        counts: &[("rewritten", "rewritten"), ("freed", "freed")],
        targets: &[
            Target::WallOfBest(0.5),
            Target::BytesOfRestic("rewritten", 1.0),
        ],
        ..TIMED
    },
    Row {
        name: "15a",
        title: "List 10,000 snapshots",
        suite: Suite::Fleet,
        note: "Open the repository and list them all; caches are warm.",
        counts: &[("snapshots", "snapshots")],
        targets: &[Target::WallOfBest(0.5)],
        ..TIMED
    },
    Row {
        name: "15b",
        title: "Open an index of 10 million blobs",
        suite: Suite::Fleet,
        note: "A trial backup of a disk of 64 KiB that stores nothing, but has to know every blob.",
        counts: &[("blobs", "blobs")],
        targets: &[
            Target::WallOfBest(0.5),
            Target::ResidentPerBlob(64.0),
            Target::BlobsPerCpuSecond(1e6),
        ],
        ..TIMED
    },
];

const RESTORE_TARGETS: &[Target] = &[
    Target::WallOfBest(0.65),
    Target::CpuOfBest(0.75),
    Target::ResidentMib(200.0),
];
