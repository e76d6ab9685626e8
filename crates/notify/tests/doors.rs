//! A notice as the doors get it, and how long they may take.

use std::time::Duration;

use lifeboat_notify::{Condition, Content, Event, Item, Notice, Remedy, Severity, Subject};

use crate::world::{later, start};

/// How long targets wait for servers that are silent on purpose.
pub(crate) const SHORT: Duration = Duration::from_millis(300);
/// How long they wait for those that answer.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A notice about one machine.
pub(crate) fn notice(machine: &str, target: &str) -> Notice {
    let condition = Condition {
        key: format!("rpo/{machine}"),
        severity: Severity::Critical,
        subject: Subject {
            machine: Some(machine.to_owned()),
            ..Subject::default()
        },
        text: "no backup for 26 h".to_owned(),
        details: "error: the disk is gone\n".to_owned(),
        remedies: vec![Remedy {
            text: "back it up now".to_owned(),
            command: "lifeboat run nightly".to_owned(),
        }],
        since: start(),
        cleared: None,
        link: Some("https://lifeboat.example/machines/1".to_owned()),
    };
    Notice {
        id: "19caf-1".to_owned(),
        at: later(start(), 60),
        label: "lifeboat berlin".to_owned(),
        target: target.to_owned(),
        severity: Severity::Critical,
        route: "all".to_owned(),
        level: 0,
        link: Some("https://lifeboat.example".to_owned()),
        content: Content::Conditions {
            items: vec![Item {
                event: Event::Began,
                condition,
                acknowledged_by: None,
            }],
            more: 0,
            missed: 0,
        },
    }
}
