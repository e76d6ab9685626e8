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
    /// Machines that run under libvirt.
    Running,
    /// A snapshot's disk, read at any place without a restore.
    Served,
    /// Machines that are started again.
    Instant,
}

impl Suite {
    /// Whether plain disks are backed up there, which every backup program can.
    pub(crate) fn is_of_disks(self) -> bool {
        matches!(self, Self::Machines | Self::Sparse | Self::Incompressible)
    }
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
    /// A count in bytes, by that of one tool.
    BytesOf(&'static str, &'static str, f64),
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
    /// A tool that is no peer but shows what is possible.
    pub(crate) bound: Option<&'static str>,
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
    bound: None,
    targets: &[],
};

/// All rows, in the order of the document.
pub(crate) const ROWS: [Row; 28] = [
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
    Row {
        name: "16a",
        title: "A running machine, first full backup",
        suite: Suite::Running,
        note: "vm-a as the qcow2 disk of a machine of libvirt. virtnbdbackup stores plain data \
               unless told `-z`.",
        has_durable: true,
        counts: &[STORED],
        targets: &[Target::WallOfBest(0.7)],
        ..TIMED
    },
    Row {
        name: "16b",
        title: "A running machine, increment",
        suite: Suite::Running,
        note: "A fourth of what day 2 changes, written to the running machine's disk where and \
               as day 2 has it; both tools read what the dirty bitmap says.",
        counts: &[ADDED, ("changed", "changed")],
        targets: &[Target::WallOfBest(1.0)],
        ..TIMED
    },
    Row {
        name: "16c",
        title: "Full and increment brought back",
        suite: Suite::Running,
        note: "To a new qcow2 file; lifeboat also defines a machine that has it. Compared by \
               qemu-img in the first round.",
        has_durable: true,
        counts: &[("allocated", "allocated")],
        targets: &[Target::WallOfBest(1.0)],
        ..TIMED
    },
    Row {
        name: "16d",
        title: "A second running machine",
        suite: Suite::Running,
        note: "vm-b as the qcow2 disk of another machine, after those two backups of vm-a.",
        has_durable: true,
        counts: &[ADDED],
        targets: &[Target::BytesOf("virtnbdbackup", "added", 0.2)],
        ..TIMED
    },
    Row {
        name: "17a",
        title: "Random reads, one at a time, fresh process",
        suite: Suite::Served,
        note: "4 KiB each, at places that hold data, all different; fio reads over NBD, and \
               through FUSE of `restic mount`. qemu-nbd serves the plain disk: the bound. CPU \
               and memory are the server's.",
        counts: RANDOM,
        bound: Some("qemu-nbd"),
        targets: &[Target::WallOfBest(1.0)],
        ..TIMED
    },
    Row {
        name: "17b",
        title: "Random reads, one at a time",
        suite: Suite::Served,
        note: "At other places, by the server that has just served those of 17a.",
        counts: RANDOM,
        bound: Some("qemu-nbd"),
        targets: &[Target::WallOfBest(1.0)],
        ..TIMED
    },
    Row {
        name: "17c",
        title: "Random reads, 16 at a time, fresh process",
        suite: Suite::Served,
        note: "Over NBD by one connection with 16 requests under way, through FUSE by 16 threads.",
        counts: RANDOM,
        bound: Some("qemu-nbd"),
        targets: &[Target::WallOfBest(1.0)],
        ..TIMED
    },
    Row {
        name: "17d",
        title: "Random reads, 16 at a time",
        suite: Suite::Served,
        note: "At other places, by the server that has just served those of 17c.",
        counts: RANDOM,
        bound: Some("qemu-nbd"),
        targets: &[Target::WallOfBest(1.0)],
        ..TIMED
    },
    Row {
        name: "17e",
        title: "The whole disk in order, fresh process",
        suite: Suite::Served,
        note: "All of vm-a, 1 MiB a read, over NBD with 4 requests under way. `restic dump` goes \
               to /dev/null.",
        counts: IN_ORDER,
        bound: Some("qemu-nbd"),
        targets: &[Target::WallOfBest(1.0)],
        ..TIMED
    },
    Row {
        name: "17f",
        title: "The whole disk in order, once more",
        suite: Suite::Served,
        note: "By the server that has just served it; the page cache of the mounted file was \
               dropped.",
        counts: IN_ORDER,
        bound: Some("qemu-nbd"),
        targets: &[Target::WallOfBest(1.0)],
        ..TIMED
    },
    Row {
        name: "18a",
        title: "A small machine is started again",
        suite: Suite::Instant,
        note: "2 GiB with Debian. Wall time goes until QEMU runs. The others copy the disks first: \
               `machine recover --start`, `restic restore`, and cp of the plain images.",
        counts: &[("console", "first console line ms")],
        targets: &[Target::WallSeconds(2.0)],
        ..TIMED
    },
    Row {
        name: "18b",
        title: "A large machine is started again",
        suite: Suite::Instant,
        note: "64 GiB with Debian at their beginning, and vm-a as a second disk.",
        counts: &[("console", "first console line ms")],
        targets: &[Target::WallSeconds(2.0)],
        ..TIMED
    },
];

/// What single reads are judged by: the server's answers, in microseconds.
const RANDOM: &[(&str, &str)] = &[
    ("iops", "reads/s"),
    ("median", "median µs"),
    ("p99", "99 % below µs"),
];
const IN_ORDER: &[(&str, &str)] = &[("rate", "MiB/s")];

const RESTORE_TARGETS: &[Target] = &[
    Target::WallOfBest(0.65),
    Target::CpuOfBest(0.75),
    Target::ResidentMib(200.0),
];
