//! Values of the catalog and the scheduler as the API shows them.

use lifeboat_api as api;
use lifeboat_catalog as catalog;
use lifeboat_scheduler as scheduler;

pub(crate) fn role(role: catalog::Role) -> api::Role {
    match role {
        catalog::Role::Viewer => api::Role::Viewer,
        catalog::Role::Operator => api::Role::Operator,
        catalog::Role::Restore => api::Role::Restore,
        catalog::Role::Admin => api::Role::Admin,
        catalog::Role::Auditor => api::Role::Auditor,
    }
}

pub(crate) fn role_inside(role: api::Role) -> catalog::Role {
    match role {
        api::Role::Viewer => catalog::Role::Viewer,
        api::Role::Operator => catalog::Role::Operator,
        api::Role::Restore => catalog::Role::Restore,
        api::Role::Admin => catalog::Role::Admin,
        api::Role::Auditor => catalog::Role::Auditor,
    }
}

fn run_state(state: catalog::RunState) -> api::RunState {
    match state {
        catalog::RunState::Open => api::RunState::Open,
        catalog::RunState::Succeeded => api::RunState::Succeeded,
        catalog::RunState::Partial => api::RunState::Partial,
        catalog::RunState::Failed => api::RunState::Failed,
        catalog::RunState::Cancelled => api::RunState::Cancelled,
    }
}

pub(crate) fn run_state_inside(state: api::RunState) -> catalog::RunState {
    match state {
        api::RunState::Open => catalog::RunState::Open,
        api::RunState::Succeeded => catalog::RunState::Succeeded,
        api::RunState::Partial => catalog::RunState::Partial,
        api::RunState::Failed => catalog::RunState::Failed,
        api::RunState::Cancelled => catalog::RunState::Cancelled,
    }
}

fn task_state(state: catalog::TaskState) -> api::TaskState {
    match state {
        catalog::TaskState::Queued => api::TaskState::Queued,
        catalog::TaskState::Running => api::TaskState::Running,
        catalog::TaskState::Succeeded => api::TaskState::Succeeded,
        catalog::TaskState::PassedOver => api::TaskState::PassedOver,
        catalog::TaskState::Failed => api::TaskState::Failed,
        catalog::TaskState::Cancelled => api::TaskState::Cancelled,
    }
}

pub(crate) fn task_state_inside(state: api::TaskState) -> catalog::TaskState {
    match state {
        api::TaskState::Queued => catalog::TaskState::Queued,
        api::TaskState::Running => catalog::TaskState::Running,
        api::TaskState::Succeeded => catalog::TaskState::Succeeded,
        api::TaskState::PassedOver => catalog::TaskState::PassedOver,
        api::TaskState::Failed => catalog::TaskState::Failed,
        api::TaskState::Cancelled => catalog::TaskState::Cancelled,
    }
}

fn action(action: catalog::Action) -> api::Action {
    match action {
        catalog::Action::Resolve => api::Action::Resolve,
        catalog::Action::Backup => api::Action::Backup,
        catalog::Action::Copy => api::Action::Copy,
        catalog::Action::Forget => api::Action::Forget,
        catalog::Action::Verify => api::Action::Verify,
        catalog::Action::Check => api::Action::Check,
        catalog::Action::Prune => api::Action::Prune,
        catalog::Action::Restore => api::Action::Restore,
        catalog::Action::Look => api::Action::Look,
    }
}

pub(crate) fn run(run: catalog::Run) -> api::Run {
    api::Run {
        id: run.id.0,
        job: run.job,
        planned: run.planned,
        cause: match run.cause {
            catalog::Cause::Schedule => api::Cause::Schedule,
            catalog::Cause::CatchUp => api::Cause::CatchUp,
            catalog::Cause::Request => api::Cause::Request,
        },
        requested_by: run.requested_by,
        state: run_state(run.state),
        created: run.created,
        ended: run.ended,
    }
}

pub(crate) fn task(task: catalog::Task) -> api::Task {
    let progress = task.progress.map(|progress| api::Progress {
        phase: progress.phase,
        done: progress.done,
        total: progress.total,
        rate: progress.rate,
        seconds_left: progress.seconds_left,
    });
    api::Task {
        id: task.id.0,
        run: task.run.0,
        job: task.job,
        action: action(task.action),
        subject: task.subject,
        words: task.words,
        state: task_state(task.state),
        attempt: task.attempt,
        attempts_max: task.attempts_max,
        not_before: task.not_before,
        held_up: task.held_up,
        node: task.node,
        started: task.started,
        ended: task.ended,
        error_kind: task.error_kind.map(|kind| kind.replace(' ', "_")),
        message: task.message,
        cancelled_by: task.cancelled_by,
        progress,
    }
}

pub(crate) fn step(step: catalog::StepRecord) -> api::Step {
    api::Step {
        name: step.name,
        attempt: step.attempt,
        began: step.began,
        ended: step.ended,
        state: match step.state {
            catalog::StepState::Running => api::StepState::Running,
            catalog::StepState::Done => api::StepState::Done,
            catalog::StepState::Failed => api::StepState::Failed,
            catalog::StepState::Stopped => api::StepState::Stopped,
        },
        message: step.message,
    }
}

pub(crate) fn line(line: catalog::LogLine) -> api::LogLine {
    api::LogLine {
        number: line.number,
        at: line.at,
        level: match line.level {
            catalog::LogLevel::Note => api::LogLevel::Note,
            catalog::LogLevel::Warning => api::LogLevel::Warning,
            catalog::LogLevel::Error => api::LogLevel::Error,
        },
        line: line.line,
    }
}

pub(crate) fn point(point: catalog::Point) -> api::Point {
    let is_told = point.tells_how();
    api::Point {
        repository: point.key.repository,
        snapshot: point.key.snapshot,
        machine: point.machine,
        platform: point.platform,
        job: point.job,
        at: point.at,
        bytes: point.bytes,
        bytes_read: is_told.then_some(point.bytes_read),
        bytes_stored: point.bytes_stored,
        seconds: (point.seconds > 0.0).then_some(point.seconds),
        consistency: point.consistency,
        is_full: is_told.then_some(point.is_full),
        tags: point.tags,
        pinned_until: point.pinned_until,
        verified: point
            .verified
            .map(|(at, is_ok)| api::Verified { at, is_ok }),
    }
}

pub(crate) fn proof(proof: catalog::Proof) -> api::Proof {
    api::Proof {
        repository: proof.point.repository,
        snapshot: proof.point.snapshot,
        machine: proof.machine,
        kind: match proof.kind {
            catalog::ProofKind::Verify => api::ProofKind::Verify,
            catalog::ProofKind::Restore => api::ProofKind::Restore,
            catalog::ProofKind::Drill => api::ProofKind::Drill,
        },
        at: proof.at,
        is_ok: proof.is_ok,
        seconds: proof.seconds,
        bytes: proof.bytes,
        message: proof.message,
    }
}

fn objective_state(state: scheduler::ObjectiveState) -> api::ObjectiveState {
    match state {
        scheduler::ObjectiveState::Met => api::ObjectiveState::Met,
        scheduler::ObjectiveState::AtRisk => api::ObjectiveState::AtRisk,
        scheduler::ObjectiveState::Missed => api::ObjectiveState::Missed,
        scheduler::ObjectiveState::Unknown => api::ObjectiveState::Unknown,
    }
}

fn objective(status: &scheduler::ObjectiveStatus) -> api::Objective {
    api::Objective {
        kind: match status.kind {
            scheduler::ObjectiveKind::Rpo => api::ObjectiveKind::Rpo,
            scheduler::ObjectiveKind::Rto => api::ObjectiveKind::Rto,
            scheduler::ObjectiveKind::Copies => api::ObjectiveKind::Copies,
            scheduler::ObjectiveKind::Proof => api::ObjectiveKind::Proof,
        },
        state: objective_state(status.state),
        promised: status.promised,
        measured: status.measured,
        until: status.until,
    }
}

fn class(class: scheduler::MachineClass) -> api::MachineClass {
    match class {
        scheduler::MachineClass::Gone => api::MachineClass::Gone,
        scheduler::MachineClass::Excused => api::MachineClass::Excused,
        scheduler::MachineClass::Unprotected => api::MachineClass::Unprotected,
        scheduler::MachineClass::NoPoint => api::MachineClass::NoPoint,
        scheduler::MachineClass::Missed => api::MachineClass::Missed,
        scheduler::MachineClass::AtRisk => api::MachineClass::AtRisk,
        scheduler::MachineClass::Unknown => api::MachineClass::Unknown,
        scheduler::MachineClass::Met => api::MachineClass::Met,
    }
}

pub(crate) fn counts(counts: &scheduler::MachineCounts) -> api::ObjectiveCounts {
    api::ObjectiveCounts {
        met: counts.met,
        at_risk: counts.at_risk,
        missed: counts.missed,
        unknown: counts.unknown,
        no_point: counts.no_point,
        unprotected: counts.unprotected,
    }
}

pub(crate) fn machine(machine: &scheduler::MachineStatus) -> api::Machine {
    api::Machine {
        name: machine.name.clone(),
        platform: machine.platform.clone(),
        id: machine.id.clone(),
        state: machine.state.clone(),
        jobs: machine.jobs.clone(),
        is_protected: machine.is_protected,
        is_excused: machine.is_excused,
        bytes: machine.bytes,
        newest: machine.newest.clone().map(point),
        points: machine.points,
        copies: machine.copies,
        proved: machine.proved,
        objectives: machine.objectives.iter().map(objective).collect(),
        class: class(machine.class()),
        worst: objective_state(machine.worst),
        last_failure: machine.last_failure.as_ref().map(|it| it.message.clone()),
        last_state: machine.last_task.map(|(state, _)| task_state(state)),
        last_at: machine.last_task.map(|(_, at)| at),
        next: machine.next,
    }
}

pub(crate) fn job(job: &scheduler::JobStatus) -> api::Job {
    api::Job {
        name: job.name.clone(),
        platform: job.platform.clone(),
        repository: job.repository.clone(),
        policy: job.policy.clone(),
        schedule: job.schedule.clone(),
        is_enabled: job.is_enabled,
        last: job.last.clone().map(run),
        next: job.next,
        waits_for: job.waits_for.map(|run| run.0),
        comes_after: job.comes_after.clone(),
        overdue: job.overdue,
        machines: job.machines,
    }
}

pub(crate) fn size(size: catalog::RepositorySize) -> api::RepositorySize {
    api::RepositorySize {
        at: size.at,
        bytes: size.bytes,
        bytes_unpacked: size.bytes_unpacked,
        bytes_restored: size.bytes_restored,
        blobs: size.blobs,
        snapshots: size.snapshots,
    }
}

pub(crate) fn repository(status: &scheduler::RepositoryStatus) -> api::Repository {
    let facts = status.facts.clone();
    api::Repository {
        name: facts.name,
        place: status.place.clone(),
        id: facts.id,
        size: facts.size.map(size),
        checked: facts.checked,
        is_ok: facts.is_ok,
        findings: facts.findings,
        pruned: facts.pruned,
        unreachable: status.unreachable.as_ref().map(|it| it.message.clone()),
        points: status.points,
        next_check: status.next_check,
        next_prune: status.next_prune,
        size_max: status.size_max,
    }
}

pub(crate) fn alert(alert: catalog::Alert, advice: scheduler::Advice) -> api::Alert {
    let remedies = advice.remedies.into_iter().map(|it| api::Remedy {
        text: it.text,
        command: it.command,
    });
    let (by, at) = alert.acknowledged.map(|it| (it.by, it.at)).unzip();
    api::Alert {
        id: alert.id,
        subject: alert.subject,
        condition: alert.condition,
        severity: match alert.severity {
            catalog::AlertSeverity::Info => api::Severity::Info,
            catalog::AlertSeverity::Warning => api::Severity::Warning,
            catalog::AlertSeverity::Critical => api::Severity::Critical,
        },
        text: alert.text,
        why: advice.why,
        remedies: remedies.collect(),
        site: alert.site,
        job: alert.job,
        machine: alert.machine,
        platform: alert.platform,
        repository: alert.repository,
        since: alert.since,
        cleared: alert.cleared,
        acknowledged_by: by,
        acknowledged_at: at,
    }
}

pub(crate) fn event(event: catalog::Event) -> api::Event {
    api::Event {
        number: event.number,
        kind: event.kind,
        subject: event.subject,
        state: event.state,
    }
}

pub(crate) fn audit_entry(entry: catalog::AuditEntry) -> api::AuditEntry {
    api::AuditEntry {
        number: entry.number,
        at: entry.at,
        who: entry.who,
        from: entry.from,
        action: entry.action,
        subject: entry.subject,
        details: entry.details,
        is_done: entry.is_done,
    }
}

pub(crate) fn user(user: catalog::User) -> api::User {
    api::User {
        name: user.name,
        role: role(user.role),
        is_enabled: user.is_enabled,
        created: user.created,
    }
}

pub(crate) fn token(token: catalog::Token) -> api::Token {
    api::Token {
        id: token.id,
        title: token.title,
        role: role(token.role),
        scopes: token.scopes,
        created_by: token.created_by,
        created: token.created,
        expires: token.expires,
        used: token.used,
    }
}

/// What a request of the API asks of the node.
pub(crate) fn request(request: api::RunRequest) -> scheduler::Request {
    match request {
        api::RunRequest::Backup {
            job,
            machines,
            is_forced,
        } => scheduler::Request::Backup {
            job,
            machines,
            is_forced,
        },
        api::RunRequest::Verify { machine, platform } => {
            scheduler::Request::Verify { machine, platform }
        }
        api::RunRequest::Check { repository } => scheduler::Request::Check { repository },
        api::RunRequest::Prune { repository } => scheduler::Request::Prune { repository },
        api::RunRequest::Look { repository } => scheduler::Request::Look { repository },
    }
}

/// What a request for a restore asks of the node.
pub(crate) fn restore(request: api::RestoreRequest) -> scheduler::Request {
    scheduler::Request::Restore(scheduler::RestoreRequest {
        repository: request.repository,
        snapshot: request.snapshot,
        platform: request.platform,
        name: request.name,
        to: request.to,
        is_started: request.is_started,
        is_replacing: request.is_replacing,
    })
}

pub(crate) fn planned(run: scheduler::PlannedRun) -> api::PlannedRun {
    api::PlannedRun {
        job: run.job,
        planned: run.planned,
        begins: run.begins,
    }
}

pub(crate) fn simulated(point: &lifeboat_policy::SimulatedPoint) -> api::SimulatedPoint {
    api::SimulatedPoint {
        at: point.time.timestamp(),
        is_there: point.run.is_none(),
        is_full: point.run.is_some_and(|run| run.full.is_some()),
        removed: point.removed,
        reasons: point.reasons.iter().map(ToString::to_string).collect(),
    }
}
