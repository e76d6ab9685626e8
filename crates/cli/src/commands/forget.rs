//! `lifeboat forget`

use jiff::tz::TimeZone;
use lifeboat_format::SnapshotId;
use lifeboat_policy::{
    GroupPlan, Grouping, Guard, KeepCount, KeepDuration, RecoveryPoint, RemovingAll, Retention,
    localized, plan, plan_guarded,
};
use lifeboat_repository::{LockMode, Repository, Snapshot, snapshots};
use serde::Serialize;

use super::snapshots as listing;
use crate::args::{FilterArguments, ForgetArguments, KeepArguments};
use crate::context::Context;
use crate::error::{EXIT_REFUSED, Error, Result};
use crate::select::{self, Filter};
use crate::service::{guard, job_tag};
use crate::tables::{Table, count, moment};

#[derive(Serialize)]
struct GroupLine {
    tags: Vec<String>,
    host: String,
    paths: Vec<String>,
    keep: Vec<serde_json::Value>,
    remove: Vec<serde_json::Value>,
    reasons: Vec<ReasonLine>,
}

#[derive(Serialize)]
struct ReasonLine {
    snapshot: String,
    matches: Vec<String>,
}

/// Removes snapshots by rules, or exactly those that are named.
pub(crate) fn run(context: &Context, arguments: &ForgetArguments) -> Result<u8> {
    match &arguments.job {
        Some(job) => of_job(context, arguments, job),
        None => {
            let rules = (retention(&arguments.keep)?, Guard::default());
            forget(context, arguments, &arguments.filter, &rules)
        }
    }
}

/// Applies the rules of a job's policy to the points of that job.
fn of_job(context: &Context, arguments: &ForgetArguments, job: &str) -> Result<u8> {
    let typed = retention(&arguments.keep)?;
    let name = job.strip_prefix('@').unwrap_or(job);
    if !typed.is_empty() || !arguments.ids.is_empty() {
        return Err(Error::usage(
            "--job brings its own rules: leave out others and snapshots",
        ));
    }
    let policy = context.policy_of_job(name)?;
    let guard = Guard {
        at_most: (!arguments.allow_many).then_some(policy.forget_at_most),
        ..guard(policy)
    };
    let rules = (policy.retention.clone().unwrap_or_default(), guard);
    let (_, repository) = context.ends_of_job(name)?;
    let mut filter = arguments.filter.clone();
    filter.tag.push(job_tag(name));
    forget(
        &context.with_repository(repository),
        arguments,
        &filter,
        &rules,
    )
}

fn forget(
    context: &Context,
    arguments: &ForgetArguments,
    filter: &FilterArguments,
    rules: &(Retention, Guard),
) -> Result<u8> {
    let retention = &rules.0;
    if !arguments.ids.is_empty() && !retention.is_empty() {
        return Err(Error::usage("give either snapshots or rules, not both"));
    }
    let repository = context.open()?;
    let locked = context.lock_to_make_room(&repository, LockMode::Shared)?;
    let (broken, ids) = unreadable(&repository, &arguments.ids)?;
    let going = if arguments.ids.is_empty() {
        let list = select::many(&repository, &[], filter)?;
        by_rules(context, arguments, rules, list)?
    } else if ids.is_empty() {
        Vec::new()
    } else {
        select::many(&repository, &ids, filter)?
    };
    let going: Vec<SnapshotId> = going.iter().map(|s| s.id).chain(broken).collect();
    if !arguments.prune_arguments.dry_run {
        for id in &going {
            locked.lock()?.check()?;
            snapshots::remove(&repository, *id)?;
        }
    }
    report(context, arguments, going.len())?;
    drop(locked);
    if arguments.prune && !going.is_empty() && !arguments.prune_arguments.dry_run {
        return super::prune::prune(context, &repository, &arguments.prune_arguments);
    }
    Ok(0)
}

/// Splits off the records that cannot be read: exactly those that are named can be removed, since
/// nothing else gets rid of them and a prune refuses to work beside them.
fn unreadable(repository: &Repository, ids: &[String]) -> Result<(Vec<SnapshotId>, Vec<String>)> {
    let (mut broken, mut others) = (Vec::new(), Vec::new());
    if ids.is_empty() {
        return Ok((broken, others));
    }
    let (readable, unreadable) = snapshots::list_tolerant(repository)?;
    for id in ids {
        let is_meant = |known: &SnapshotId| !id.is_empty() && known.id().starts_with(id);
        let mut found = unreadable.iter().map(|(id, _)| *id).filter(&is_meant);
        match (found.next(), found.next()) {
            (Some(one), None) if !readable.iter().any(|s| is_meant(&s.id)) => broken.push(one),
            _ => others.push(id.clone()),
        }
    }
    Ok((broken, others))
}

fn by_rules(
    context: &Context,
    arguments: &ForgetArguments,
    (retention, guard): &(Retention, Guard),
    list: Vec<Snapshot>,
) -> Result<Vec<Snapshot>> {
    let is_filtered = !Filter::parse(&arguments.filter).is_empty();
    let may_remove_all = arguments.unsafe_allow_remove_all && is_filtered;
    if arguments.unsafe_allow_remove_all && !is_filtered {
        let message = "--unsafe-allow-remove-all needs --machine, --tag or --path: \
                       it would remove every snapshot of the repository";
        return Err(Error::with_code(EXIT_REFUSED, message));
    }
    let grouping = Grouping::parse(&arguments.group_by)?;
    let points: Vec<RecoveryPoint<Snapshot>> = list.into_iter().map(point).collect();
    let now = context.environment.clock.now();
    let removing = if may_remove_all {
        RemovingAll::Allowed
    } else {
        RemovingAll::Refused
    };
    if retention.is_empty() && may_remove_all {
        return Ok(points.into_iter().map(|point| point.key).collect());
    }
    let spares = |snapshot: &Snapshot| {
        let mut kept = arguments.keep_id.iter();
        kept.any(|id| !id.is_empty() && snapshot.id.id().starts_with(id))
    };
    let planned = |guard: &Guard| match removing {
        RemovingAll::Allowed => plan(retention, grouping, &points, now, removing),
        RemovingAll::Refused => plan_guarded((retention, guard), grouping, &points, now, &spares),
    };
    let refused = |error| Error::with_code(EXIT_REFUSED, crate::error::chain(&error));
    let plans = planned(guard).map_err(|error| {
        let unbraked = Guard {
            at_most: None,
            ..guard.clone()
        };
        // Whoever wants to see what would go is shown it before it is refused.
        let shown = arguments
            .prune_arguments
            .dry_run
            .then(|| planned(&unbraked));
        match shown {
            Some(Ok(plans)) => show(context, &plans)
                .err()
                .unwrap_or_else(|| refused(error)),
            _ => refused(error),
        }
    })?;
    show(context, &plans)?;
    let going = plans
        .iter()
        .flat_map(|plan| &plan.decisions)
        .filter(|decision| !decision.keep());
    Ok(going.map(|decision| decision.point.key.clone()).collect())
}

fn point(snapshot: Snapshot) -> RecoveryPoint<Snapshot> {
    RecoveryPoint {
        time: localized(&snapshot.file.time.zoned(), &TimeZone::system()),
        host: snapshot.file.hostname.clone(),
        paths: snapshot.file.paths.clone(),
        tags: snapshot.file.tags.clone(),
        key: snapshot,
    }
}

fn show(context: &Context, plans: &[GroupPlan<'_, Snapshot>]) -> Result<()> {
    if context.output.is_json() {
        return context
            .output
            .json(&plans.iter().map(group_line).collect::<Vec<_>>());
    }
    for plan in plans {
        context.output.tell(format!(
            "{}:",
            crate::tables::shown(&plan.group.to_string())
        ))?;
        let mut table = Table::new(&["", "ID", "Time", "Reasons"]);
        for decision in &plan.decisions {
            let snapshot = &decision.point.key;
            let reasons: Vec<String> = decision.reasons.iter().map(ToString::to_string).collect();
            let word = if decision.keep() { "keep" } else { "remove" };
            let time = moment(snapshot.file.time.timestamp());
            table.row([
                word.to_owned(),
                snapshot.id.short(),
                time,
                reasons.join(", "),
            ]);
        }
        for line in table.lines() {
            context.output.tell(format!("  {line}"))?;
        }
    }
    Ok(())
}

fn group_line(plan: &GroupPlan<'_, Snapshot>) -> GroupLine {
    let first = plan
        .decisions
        .first()
        .map(|decision| &decision.point.key.file);
    let value = |snapshot: &Snapshot| listing::value(snapshot);
    let kept = plan.decisions.iter().filter(|decision| decision.keep());
    let gone = plan.decisions.iter().filter(|decision| !decision.keep());
    GroupLine {
        tags: plan.group.tags.clone().unwrap_or_default(),
        host: first.map(|file| file.hostname.clone()).unwrap_or_default(),
        paths: first.map(|file| file.paths.clone()).unwrap_or_default(),
        keep: kept
            .clone()
            .map(|decision| value(&decision.point.key))
            .collect(),
        remove: gone.map(|decision| value(&decision.point.key)).collect(),
        reasons: kept
            .map(|decision| ReasonLine {
                snapshot: decision.point.key.id.to_string(),
                matches: decision.reasons.iter().map(ToString::to_string).collect(),
            })
            .collect(),
    }
}

fn report(context: &Context, arguments: &ForgetArguments, going: usize) -> Result<()> {
    if context.output.is_json() {
        return Ok(());
    }
    let verb = if arguments.prune_arguments.dry_run {
        "would forget"
    } else {
        "forgot"
    };
    context
        .output
        .result(format!("{verb} {}", count(going, "snapshot")))?;
    if going > 0 && !arguments.prune {
        context
            .output
            .tell("their data stays until 'lifeboat prune'")?;
    }
    Ok(())
}

/// Parses the rules.
pub(crate) fn retention(keep: &KeepArguments) -> Result<Retention> {
    let number = |text: &Option<String>| -> Result<Option<KeepCount>> {
        Ok(text
            .as_ref()
            .map(|text| KeepCount::parse(text))
            .transpose()?
            .flatten())
    };
    let span = |text: &Option<String>| -> Result<Option<KeepDuration>> {
        Ok(text
            .as_ref()
            .map(|text| KeepDuration::parse(text))
            .transpose()?)
    };
    let tags = keep.keep_tag.iter();
    Ok(Retention {
        last: number(&keep.keep_last)?,
        hourly: number(&keep.keep_hourly)?,
        daily: number(&keep.keep_daily)?,
        weekly: number(&keep.keep_weekly)?,
        monthly: number(&keep.keep_monthly)?,
        yearly: number(&keep.keep_yearly)?,
        within: span(&keep.keep_within)?,
        within_hourly: span(&keep.keep_within_hourly)?,
        within_daily: span(&keep.keep_within_daily)?,
        within_weekly: span(&keep.keep_within_weekly)?,
        within_monthly: span(&keep.keep_within_monthly)?,
        within_yearly: span(&keep.keep_within_yearly)?,
        tags: tags
            .map(|list| list.split(',').map(str::to_owned).collect())
            .collect(),
    })
}
