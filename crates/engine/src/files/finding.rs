//! What goes wrong with single files.

/// So many findings of a kind are kept; more are only counted.
const KEPT_MAX: u64 = 1000;

/// What sort of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// The snapshot asks for something that is never done.
    Refused,
    /// The repository does not hold all of it.
    Damaged,
    /// The target did not take it.
    Failed,
    /// Owner, mode, times or attributes are not as they were.
    Metadata,
    /// There is nothing to restore, as with sockets; no fault.
    Note,
}

impl FindingKind {
    const ALL: [Self; 5] = [
        Self::Refused,
        Self::Damaged,
        Self::Failed,
        Self::Metadata,
        Self::Note,
    ];

    /// A word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Damaged => "damaged",
            Self::Failed => "failed",
            Self::Metadata => "metadata",
            Self::Note => "note",
        }
    }
}

/// One thing found on one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFinding {
    /// What sort.
    pub kind: FindingKind,
    /// Path in the snapshot; what is not text is escaped.
    pub path: String,
    /// What was seen.
    pub seen: String,
}

/// All that was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    kept: Vec<FileFinding>,
    counts: [u64; FindingKind::ALL.len()],
}

impl Findings {
    /// Adds one.
    pub(super) fn add(&mut self, kind: FindingKind, path: String, seen: impl Into<String>) {
        let count = &mut self.counts[kind as usize];
        *count += 1;
        if *count <= KEPT_MAX {
            let seen = seen.into();
            self.kept.push(FileFinding { kind, path, seen });
        }
    }

    /// The first thousand of each kind.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &FileFinding> {
        self.kept.iter()
    }

    /// How many there are of a kind.
    pub fn count(&self, kind: FindingKind) -> u64 {
        self.counts[kind as usize]
    }

    /// How many faults there are; notes are none.
    pub fn fault_count(&self) -> u64 {
        let all: u64 = self.counts.iter().sum();
        all - self.count(FindingKind::Note)
    }
}
