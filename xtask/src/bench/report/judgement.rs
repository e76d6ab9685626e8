//! Targets against figures.

use super::figures::{Figure, Figures};
use crate::bench::rows::{Row, Target};
use crate::bench::statistics::ratio;
use crate::bench::tools::RESTIC;

const MIB: f64 = 1024.0 * 1024.0;

/// A target, what was measured, and whether that is enough.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) target: String,
    pub(crate) measured: String,
    pub(crate) verdict: &'static str,
}

/// Our value, what it may be at most, and the words for both.
struct Held {
    target: String,
    /// `None` where one side is missing.
    measured: Option<(f64, String)>,
    limit: f64,
    is_least: bool,
}

/// Judges every target of a row.
pub(crate) fn judge(row: &Row, figures: &Figures) -> Vec<Judged> {
    let judged = |target: &Target| verdict(held(*target, figures));
    row.targets.iter().map(judged).collect()
}

fn verdict(held: Held) -> Judged {
    let (measured, verdict) = match held.measured {
        None => ("not measured".to_owned(), "open"),
        Some((value, words)) => {
            let is_met = if held.is_least {
                value >= held.limit
            } else {
                value <= held.limit
            };
            (words, if is_met { "met" } else { "**NOT met**" })
        }
    };
    Judged {
        target: held.target,
        measured,
        verdict,
    }
}

fn held(target: Target, figures: &Figures) -> Held {
    match target {
        Target::WallOfBest(limit) => of_best("wall", limit, figures, |it| it.wall.median),
        Target::CpuOfBest(limit) => of_best("CPU", limit, figures, |it| it.cpu.median),
        Target::WallOf(tool, limit) => {
            let wall = |it: &Figure| Some(it.wall.median);
            let theirs = figures.named(tool).and_then(wall);
            let ours = figures.ours().and_then(wall);
            by(
                format!("wall ≤ {limit} × {tool}"),
                limit,
                ours,
                theirs,
                tool,
            )
        }
        Target::BytesOfRestic(count, limit) => held(Target::BytesOf(RESTIC, count, limit), figures),
        Target::BytesOf(tool, count, limit) => {
            let theirs = figures.named(tool).and_then(|it| it.count(count));
            let ours = figures.ours().and_then(|it| it.count(count));
            by(
                format!("{count} ≤ {limit} × {tool}"),
                limit,
                ours,
                theirs,
                tool,
            )
        }
        Target::WallSeconds(limit) => {
            let told = |it: &Figure| (it.wall.median, format!("{:.2} s", it.wall.median));
            alone(format!("wall ≤ {limit} s"), limit, figures.ours().map(told))
        }
        Target::ResidentMib(limit) => {
            let told = |it: &Figure| {
                let mib = it.resident.max / MIB;
                (mib, format!("{mib:.0} MiB"))
            };
            alone(
                format!("memory ≤ {limit} MiB"),
                limit,
                figures.ours().map(told),
            )
        }
        Target::ResidentPerBlob(limit) => {
            let told = |it: &Figure| {
                let bytes = ratio(it.resident.max, it.count("blobs")?)?;
                Some((bytes, format!("{bytes:.1} bytes")))
            };
            let measured = figures.ours().and_then(told);
            alone(format!("memory ≤ {limit} bytes a blob"), limit, measured)
        }
        Target::BlobsPerCpuSecond(limit) => {
            let told = |it: &Figure| {
                let rate = ratio(it.count("blobs")?, it.cpu.median)?;
                Some((rate, format!("{rate:.0}")))
            };
            let measured = figures.ours().and_then(told);
            let target = format!("blobs a second and core ≥ {limit}");
            Held {
                is_least: true,
                ..alone(target, limit, measured)
            }
        }
    }
}

fn of_best(what: &str, limit: f64, figures: &Figures, value: fn(&Figure) -> f64) -> Held {
    let best = figures.best(|it| Some(value(it)));
    let ours = figures.ours().map(value);
    let target = format!("{what} ≤ {limit} × best peer");
    let name = best.map_or("", |(name, _)| name);
    by(target, limit, ours, best.map(|(_, value)| value), name)
}

fn by(target: String, limit: f64, ours: Option<f64>, theirs: Option<f64>, name: &str) -> Held {
    let told = |(ours, theirs)| {
        let value = ratio(ours, theirs)?;
        Some((value, format!("{value:.2} × {name}")))
    };
    alone(target, limit, ours.zip(theirs).and_then(told))
}

fn alone(target: String, limit: f64, measured: Option<(f64, String)>) -> Held {
    Held {
        target,
        measured,
        limit,
        is_least: false,
    }
}
