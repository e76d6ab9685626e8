//! Promises against what was measured.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{Point, Proof, ProofKind};
use lifeboat_config::Objectives;

use crate::status::{ObjectiveKind, ObjectiveState, ObjectiveStatus};

/// Above this share of the time that was promised, in percent, a promise is at risk.
const RISK_PERCENT: u64 = 80;

/// So far copies may be behind where no age of the newest point is promised.
const COPY_BEHIND: Duration = Duration::from_secs(48 * 3600);

/// What was measured of a machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured<'a> {
    /// The newest point in each repository.
    pub(crate) newest: Vec<&'a Point>,
    /// Proofs, newest first.
    pub(crate) proofs: Vec<&'a Proof>,
    /// Since when the machine is known to be wanted.
    pub(crate) since: Option<Timestamp>,
}

impl Measured<'_> {
    /// The newest instant that any repository holds.
    pub(crate) fn newest_at(&self) -> Option<Timestamp> {
        self.newest.iter().map(|point| point.at).max()
    }

    /// Repositories that hold the newest instant, or one that is older by no more than `behind`.
    pub(crate) fn copies(&self, behind: SignedDuration) -> u32 {
        let newest = self.newest_at().unwrap_or(Timestamp::MIN);
        let holders: BTreeSet<&str> = self
            .newest
            .iter()
            .filter(|point| newest.duration_since(point.at) <= behind)
            .map(|point| point.key.repository.as_str())
            .collect();
        holders.len() as u32
    }

    /// When it was last proved that the machine comes back.
    pub(crate) fn proved(&self) -> Option<Timestamp> {
        let held = self.proofs.iter().filter(|proof| proof.is_ok);
        held.map(|proof| proof.at).max()
    }

    /// How long the last real recovery took, of a restore or a drill.
    fn recovery(&self) -> Option<u64> {
        let real = |proof: &&&Proof| proof.is_ok && proof.kind != ProofKind::Verify;
        let last = self.proofs.iter().filter(real).max_by_key(|proof| proof.at);
        last.map(|proof| proof.seconds.ceil() as u64)
    }
}

/// Judges every promise.
pub(crate) fn judge(
    objectives: &Objectives,
    measured: &Measured<'_>,
    now: Timestamp,
) -> Vec<ObjectiveStatus> {
    let age = |at: Timestamp| now.duration_since(at).as_secs().max(0).unsigned_abs();
    let of_age = |kind, span, at: Option<Timestamp>| match at {
        Some(at) => within(kind, span, Some(age(at))),
        None => nothing_yet(within(kind, span, None), (span, measured.since), now),
    };
    let promises = [
        objectives
            .recovery_point
            .map(|span| of_age(ObjectiveKind::Rpo, span, measured.newest_at())),
        objectives
            .recovery_time
            .map(|span| within(ObjectiveKind::Rto, span, measured.recovery())),
        objectives
            .copies
            .map(|count| copies(count, objectives, measured, now)),
        objectives
            .proof
            .map(|span| of_age(ObjectiveKind::Proof, span, measured.proved())),
    ];
    promises.into_iter().flatten().collect()
}

/// A promise of which nothing is there: missed when the machine is wanted for longer than `span`.
fn nothing_yet(
    mut status: ObjectiveStatus,
    (span, since): (Duration, Option<Timestamp>),
    now: Timestamp,
) -> ObjectiveStatus {
    let waited = since.map(|since| now.duration_since(since).as_secs().max(0).unsigned_abs());
    status.state = match within(status.kind, span, waited).state {
        ObjectiveState::Met => ObjectiveState::Unknown,
        other => other,
    };
    let until = since.and_then(|since| since.checked_add(span).ok());
    status.until = until.filter(|_| status.state != ObjectiveState::Missed);
    status
}

fn within(kind: ObjectiveKind, span: Duration, measured: Option<u64>) -> ObjectiveStatus {
    let promised = span.as_secs();
    let state = match measured {
        None => ObjectiveState::Unknown,
        Some(seconds) if seconds > promised => ObjectiveState::Missed,
        Some(seconds) if seconds.saturating_mul(100) > promised.saturating_mul(RISK_PERCENT) => {
            ObjectiveState::AtRisk
        }
        Some(_) => ObjectiveState::Met,
    };
    ObjectiveStatus {
        kind,
        state,
        promised,
        measured,
        until: None,
    }
}

fn copies(
    count: u32,
    objectives: &Objectives,
    measured: &Measured<'_>,
    now: Timestamp,
) -> ObjectiveStatus {
    // While a copy is made, the one before counts.
    let behind = objectives.recovery_point.unwrap_or(COPY_BEHIND);
    let found = measured.copies(SignedDuration::try_from(behind).unwrap_or(SignedDuration::MAX));
    let status = ObjectiveStatus {
        kind: ObjectiveKind::Copies,
        state: match found < count {
            true => ObjectiveState::Missed,
            false => ObjectiveState::Met,
        },
        promised: u64::from(count),
        measured: Some(u64::from(found)),
        until: None,
    };
    match found {
        0 => nothing_yet(status, (behind, measured.since), now),
        _ => status,
    }
}

/// The strictest of several sets of promises: those of all jobs that mean a machine.
pub(crate) fn strictest<'o>(all: impl Iterator<Item = &'o Objectives>) -> Objectives {
    all.fold(Objectives::default(), |sum, one| Objectives {
        recovery_point: least(sum.recovery_point, one.recovery_point),
        recovery_time: least(sum.recovery_time, one.recovery_time),
        copies: sum.copies.max(one.copies),
        proof: least(sum.proof, one.proof),
    })
}

fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Groups by machine.
pub(crate) fn by_machine<T>(list: &[T], name: impl Fn(&T) -> &str) -> BTreeMap<String, Vec<&T>> {
    let mut groups: BTreeMap<String, Vec<&T>> = BTreeMap::new();
    for one in list {
        groups.entry(name(one).to_owned()).or_default().push(one);
    }
    groups
}
