//! A task that ended is done once more, whatever it did; a restore only by whoever may restore,
//! and over something that is there only after its plan was looked at.

use std::time::Duration;

use lifeboat_api::Role;
use lifeboat_catalog::{Action, LeaseOffer, NewTask, Task, TaskEnd, TaskFilter};
use lifeboat_model::ErrorKind;

use crate::stage::Stage;

/// A task that failed, of a run of its own.
fn failed(stage: &Stage, job: &str, action: Action, subject: &str, words: &[&str]) -> i64 {
    let task = NewTask {
        action,
        subject: subject.into(),
        words: words.iter().map(|&word| word.to_owned()).collect(),
        stage: 0,
        lanes: Vec::new(),
        attempts_max: 1,
        retry_seconds: 1,
    };
    let run = lifeboat_catalog::NewRun {
        job: job.into(),
        planned: None,
        cause: lifeboat_catalog::Cause::Request,
        requested_by: "anna".into(),
        tasks: vec![task],
    };
    let run = stage.catalog.begin_run(&run).unwrap();
    let offer = LeaseOffer {
        node: "node-a",
        hold: Duration::from_secs(60),
        count: 1,
        run,
    };
    let lease = stage.catalog.lease(&offer).unwrap().remove(0);
    let end = TaskEnd::Failed(ErrorKind::Unreachable, "nobody is there".into());
    stage.catalog.end_task(&lease, &end).unwrap();
    lease.task.id.0
}

/// The tasks of the newest run.
fn newest(stage: &Stage) -> Vec<Task> {
    let mut tasks = stage.catalog.tasks(&TaskFilter::default()).unwrap();
    let run = tasks[0].run;
    tasks.retain(|task| task.run == run);
    tasks.reverse();
    tasks
}

#[test]
fn every_kind_of_task_is_done_once_more() {
    let stage = Stage::new();
    let operator = stage.token(Role::Operator, &[]);
    let kinds = [
        ("web", Action::Backup, "web01"),
        ("web", Action::Resolve, "local"),
        ("web", Action::Copy, "far"),
        ("web", Action::Forget, "main"),
        ("verify web01", Action::Verify, "web01"),
        ("check main", Action::Check, "main"),
        ("prune main", Action::Prune, "main"),
        ("look main", Action::Look, "main"),
    ];
    for (job, action, subject) in kinds {
        let id = failed(&stage, job, action, subject, &["anything"]);
        let head = format!("POST /api/v1/tasks/{id}/retry");
        let reply = stage.as_token(&operator, &head, "");
        assert_eq!(reply.status, 201, "{action}: {reply:?}");
        let again = newest(&stage).remove(0);
        assert_eq!(reply.json()["run"], again.run.0);
        assert_eq!((again.action, again.subject.as_str()), (action, subject));
        assert_eq!(again.job, job);
    }
    let id = failed(&stage, "web", Action::Copy, "elsewhere", &[]);
    let reply = stage.as_token(&operator, &format!("POST /api/v1/tasks/{id}/retry"), "");
    assert_eq!(reply.status, 404, "{reply:?}");
    let running = "POST /api/v1/tasks/1/retry";
    assert_eq!(stage.as_token(&operator, running, "").status, 409);
}

#[test]
fn a_restore_is_repeated_as_it_was_and_replaces_only_when_confirmed() {
    let stage = Stage::new();
    let operator = stage.token(Role::Operator, &[]);
    let restorer = stage.token(Role::Restore, &[]);
    let words = "machine recover --repo @main --platform @local --as=b --replace -- web01@abcd";
    let words: Vec<&str> = words.split(' ').collect();
    let id = failed(&stage, "restore abcd", Action::Restore, "abcd", &words);
    let plan = stage.as_token(&operator, &format!("GET /api/v1/tasks/{id}/retry"), "");
    let plan = plan.json();
    assert_eq!(plan["is_replacing"], true);
    assert_eq!(plan["command"], format!("lifeboat {}", words.join(" ")));
    let head = format!("POST /api/v1/tasks/{id}/retry?is_confirmed=true");
    assert_eq!(stage.as_token(&operator, &head, "").status, 403);
    let unsure = format!("POST /api/v1/tasks/{id}/retry");
    let refused = stage.as_token(&restorer, &unsure, "");
    assert_eq!(refused.status, 409);
    let hint = refused.json()["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("is_confirmed"), "{hint}");
    assert_eq!(stage.as_token(&restorer, &head, "").status, 201);
    let again = newest(&stage).remove(0);
    assert_eq!(
        (again.action, again.words),
        (
            Action::Restore,
            words.iter().map(|&it| it.to_owned()).collect()
        )
    );
    let entries = stage.catalog.audit_entries(None, 3).unwrap();
    let done: Vec<_> = entries.iter().map(|it| it.is_done).collect();
    assert_eq!(done, [true, false, false]);
}
