//! Grouping, repeats, levels, ends, limits, runs and digests, one by one.

use jiff::civil::time;
use jiff::tz::TimeZone;
use lifeboat_notify::{
    Content, Digest, DigestRule, Outcome, Pattern, Route, Router, Rules, Run, RunRule, Severity,
    State, When,
};

use crate::world::{World, escalation, later, route, seconds, start};

type Told<'a> = (i64, &'a str, &'a [&'a str]);

fn check(world: &World, expected: &[Told<'_>]) {
    let told = world.told();
    let told: Vec<(i64, &str, Vec<&str>)> = told
        .iter()
        .map(|(at, target, items)| {
            let items = items.iter().map(String::as_str).collect();
            (*at, target.as_str(), items)
        })
        .collect();
    let expected: Vec<(i64, &str, Vec<&str>)> = expected
        .iter()
        .map(|(at, target, items)| (*at, *target, items.to_vec()))
        .collect();
    assert_eq!(told, expected);
}

fn waiting(count: u64) -> Route {
    Route {
        group_wait: seconds(count),
        ..route("all", &["mail"])
    }
}

#[test]
fn what_begins_together_is_one_notice_and_so_is_its_end() {
    let mut world = World::of_routes(vec![waiting(60)]);
    world.begin("web", Severity::Warning);
    world.pass(30);
    world.begin("db", Severity::Critical);
    world.pass(100);
    check(&world, &[(60, "mail", &["began db", "began web"])]);
    world.clear("db");
    world.clear("web");
    world.pass(1);
    let resolved: Told<'_> = (130, "mail", &["resolved db", "resolved web"]);
    check(
        &world,
        &[(60, "mail", &["began db", "began web"]), resolved],
    );
    assert!(world.arrived[1].1.is_resolved());
    assert_eq!(world.arrived[1].1.severity, Severity::Critical);
}

#[test]
fn what_ends_before_the_wait_is_never_told() {
    let mut world = World::of_routes(vec![waiting(60)]);
    world.begin("web", Severity::Critical);
    world.pass(59);
    world.clear("web");
    world.pass(7200);
    check(&world, &[]);
}

#[test]
fn what_goes_on_is_repeated_until_somebody_acknowledges() {
    let mut world = World::of_routes(vec![Route {
        repeat_every: Some(seconds(3600)),
        ..route("all", &["mail"])
    }]);
    world.begin("web", Severity::Warning);
    world.pass(7300);
    world.acknowledge("web");
    world.pass(9000);
    world.clear("web");
    world.pass(1);
    let expected: [Told<'_>; 4] = [
        (0, "mail", &["began web"]),
        (3600, "mail", &["continues web"]),
        (7200, "mail", &["continues web"]),
        (16_300, "mail", &["resolved web"]),
    ];
    check(&world, &expected);
    let last = &world.arrived[3].1.items()[0];
    assert_eq!(last.acknowledged_by.as_deref(), Some("Ada"));
}

#[test]
fn the_next_level_is_told_when_nobody_acknowledges_in_time() {
    let mut world = World::new(Rules {
        routes: vec![Route {
            severities: vec![Severity::Critical],
            escalation: Some("duty".to_owned()),
            ..route("critical", &["chat"])
        }],
        escalations: vec![escalation(
            "duty",
            &[(&["first"], 900), (&["second"], 600), (&["boss"], 600)],
        )],
        ..Rules::default()
    });
    world.begin("web", Severity::Critical);
    world.pass(0);
    world.begin("disk", Severity::Warning);
    world.pass(1000);
    world.acknowledge("web");
    world.pass(5000);
    world.clear("web");
    world.pass(1);
    let expected: [Told<'_>; 6] = [
        (0, "chat", &["began web"]),
        (0, "first", &["began web"]),
        (900, "second", &["escalated web"]),
        (6000, "chat", &["resolved web"]),
        (6000, "first", &["resolved web"]),
        (6000, "second", &["resolved web"]),
    ];
    check(&world, &expected);
    assert_eq!(world.arrived[2].1.level, 2);
}

#[test]
fn a_limit_holds_warnings_back_before_critical_ones_and_counts_what_it_kept() {
    let mut world = World::of_routes(vec![Route {
        per_hour: Some(2),
        ..route("all", &["mail"])
    }]);
    world.begin("one", Severity::Warning);
    world.pass(10);
    // The second notice of the hour is kept for critical ones.
    world.begin("two", Severity::Warning);
    world.begin("three", Severity::Warning);
    world.pass(10);
    world.clear("three");
    world.pass(10);
    world.begin("four", Severity::Critical);
    world.pass(10);
    world.begin("five", Severity::Critical);
    world.pass(10);
    world.clear("five");
    world.pass(7200);
    let expected: [Told<'_>; 3] = [
        (0, "mail", &["began one"]),
        (30, "mail", &["began four", "began two"]),
        (3600, "mail", &["began five"]),
    ];
    check(&world, &expected);
    let Content::Conditions { missed, .. } = &world.arrived[1].1.content else {
        panic!("it tells of conditions");
    };
    assert_eq!(*missed, 1);
    // What was critical is told by name even when it is over; then there is nothing to resolve.
    assert!(world.arrived[2].1.is_resolved());
}

#[test]
fn many_warnings_are_counted_and_critical_ones_are_named() {
    let mut world = World::of_routes(vec![waiting(60)]);
    for number in 0..200 {
        let severity = if number % 4 == 0 {
            Severity::Critical
        } else {
            Severity::Warning
        };
        world.begin(&format!("m{number:03}"), severity);
    }
    world.pass(60);
    let notice = &world.arrived[0].1;
    let Content::Conditions { items, more, .. } = &notice.content else {
        panic!("it tells of conditions");
    };
    assert_eq!((items.len(), *more), (70, 130));
    assert!(notice.plain().contains("and 130 more that hold"));
    world.conditions.clear();
    world.pass(60);
    // The end is told of those that were named.
    assert_eq!(world.arrived[1].1.items().len(), 70);
}

#[test]
fn two_hundred_machines_that_fail_at_once_are_one_notice_and_so_is_their_end() {
    let mut world = World::new(Rules {
        routes: vec![Route {
            escalation: Some("duty".to_owned()),
            ..waiting(30)
        }],
        escalations: vec![escalation("duty", &[(&["chat"], 600), (&["phone"], 0)])],
        ..Rules::default()
    });
    for number in 0..200 {
        world.begin(&format!("m{number:03}"), Severity::Critical);
        if number % 10 == 9 {
            world.pass(1);
        }
    }
    world.pass(3600);
    world.conditions.clear();
    world.pass(60);
    let told: Vec<(&str, usize, bool)> = world
        .arrived
        .iter()
        .map(|(_, it)| (it.target.as_str(), it.items().len(), it.is_resolved()))
        .collect();
    let expected = [
        ("mail", 200, false),
        ("chat", 200, false),
        ("phone", 200, false),
        ("chat", 200, true),
        ("mail", 200, true),
        ("phone", 200, true),
    ];
    assert_eq!(told, expected);
    let first = &world.arrived[0].1;
    let title = "[] CRITICAL: 200 problems: m000, m001, m002 and 197 more";
    assert_eq!(first.title(), title);
    // One line each, and one that says what to do about all.
    let plain = first.plain();
    assert!(plain.lines().count() < 210, "{plain}");
    assert!(plain.contains("What to do about each:  lifeboat alert list"));
    let end = world.arrived[3].1.title();
    assert!(end.starts_with("[] RESOLVED: 200 problems: "), "{end}");
}

#[test]
fn a_route_that_wants_no_ends_gets_none() {
    let quiet = Route {
        is_end_quiet: true,
        ..route("quiet", &["phone"])
    };
    let mut world = World::of_routes(vec![quiet, route("all", &["mail"])]);
    world.begin("web", Severity::Critical);
    world.pass(10);
    world.clear("web");
    world.pass(10);
    check(
        &world,
        &[
            (0, "phone", &["began web"]),
            (0, "mail", &["began web"]),
            (10, "mail", &["resolved web"]),
        ],
    );
}

#[test]
fn a_condition_that_becomes_worse_is_told_again() {
    let critical = Route {
        severities: vec![Severity::Critical],
        ..route("critical", &["pager"])
    };
    let mut world = World::of_routes(vec![critical, route("all", &["mail"])]);
    world.begin("disk", Severity::Warning);
    world.pass(100);
    world.conditions[0].severity = Severity::Critical;
    world.pass(100);
    world.conditions[0].severity = Severity::Warning;
    world.pass(100);
    world.clear("disk");
    world.pass(1);
    let expected: [Told<'_>; 5] = [
        (0, "mail", &["began disk"]),
        (100, "mail", &["began disk"]),
        (100, "pager", &["began disk"]),
        (300, "mail", &["resolved disk"]),
        (300, "pager", &["resolved disk"]),
    ];
    check(&world, &expected);
}

#[test]
fn routes_choose_by_severity_and_name_and_the_first_takes_a_target() {
    let databases = Route {
        machines: vec![Pattern::new("db*")],
        ..route("databases", &["admin", "mail"])
    };
    let mut world = World::of_routes(vec![databases, route("all", &["mail", "log"])]);
    world.begin("db1", Severity::Info);
    world.pass(10);
    world.begin("web", Severity::Info);
    world.pass(10);
    let expected: [Told<'_>; 5] = [
        (0, "admin", &["began db1"]),
        (0, "mail", &["began db1"]),
        (0, "log", &["began db1"]),
        (10, "mail", &["began web"]),
        (10, "log", &["began web"]),
    ];
    check(&world, &expected);
    assert_eq!(world.arrived[1].1.route, "databases");
}

#[test]
fn a_target_that_takes_nothing_is_told_to_the_others_and_gets_all_when_it_is_back() {
    let only_info = Route {
        severities: vec![Severity::Info],
        ..route("info", &["log"])
    };
    let mut world = World::of_routes(vec![route("all", &["mail"]), only_info]);
    world.down.insert("mail".to_owned());
    world.begin("web", Severity::Critical);
    world.pass(3600);
    // Attempts at 0, 30 and 90 s; no route takes this to another target, so each other is told.
    check(&world, &[(90, "log", &["began notices mail"])]);
    assert!(
        world.arrived[0]
            .1
            .plain()
            .contains("cannot be delivered: it is down")
    );
    assert!(
        world.arrived[0]
            .1
            .plain()
            .contains("lifeboat notify test mail")
    );
    assert!(world.state.outbox.undeliverable().contains_key("mail"));
    world.begin("db", Severity::Critical);
    world.pass(10);
    world.down.clear();
    world.pass(3600);
    let told = world.told();
    let mail: Vec<&Vec<String>> = told
        .iter()
        .filter(|(_, target, _)| target == "mail")
        .map(|(.., items)| items)
        .collect();
    // The fresh one tries whether the target is back.
    assert_eq!(mail, [&["began db"], &["began web"]]);
    let (.., last) = told.last().unwrap();
    assert_eq!(last, &["resolved notices mail"]);
    assert!(world.state.outbox.waiting().is_empty());
    assert!(world.state.outbox.undeliverable().is_empty());
}

#[test]
fn a_crash_after_sending_sends_again_under_the_same_id() {
    let mut world = World::of_routes(vec![route("all", &["mail"])]);
    world.begin("web", Severity::Critical);
    let state = std::mem::take(&mut world.state);
    let step = world.router.step(state, world.now, &world.conditions, &[]);
    let sent = step.send[0].notice.clone();
    // Nothing of the delivery was written down; the kept state is all that is left.
    let kept = serde_json::to_string(&step.state).unwrap();
    world.state = serde_json::from_str(&kept).unwrap();
    world.pass(3600);
    let again: Vec<&str> = world.arrived.iter().map(|(_, it)| it.id.as_str()).collect();
    assert_eq!(again, [sent.id.as_str()]);
    assert!(world.state.outbox.waiting().is_empty());
}

#[test]
fn who_takes_over_sends_what_was_on_its_way_at_once() {
    let mut world = World::of_routes(vec![route("all", &["mail"])]);
    world.begin("web", Severity::Critical);
    let state = std::mem::take(&mut world.state);
    let step = world.router.step(state, world.now, &world.conditions, &[]);
    world.state = step.state;
    // Whoever sends is asked again only when it must be gone.
    world.pass(1);
    check(&world, &[]);
    world.state.outbox.resume(world.now);
    world.pass(0);
    check(&world, &[(1, "mail", &["began web"])]);
    assert_eq!(world.arrived[0].1.id, step.send[0].notice.id);
}

#[test]
fn a_state_of_an_older_version_is_read() {
    let state: State = serde_json::from_str("{}").unwrap();
    assert_eq!(state, State::new());
}

#[test]
fn one_notice_that_is_refused_does_not_hold_up_the_others() {
    let mut world = World::of_routes(vec![route("all", &["mail"])]);
    world.begin("web", Severity::Info);
    world.down.insert("mail".to_owned());
    world.pass(10);
    world.begin("db", Severity::Info);
    world.pass(10);
    let refused = world.state.outbox.waiting()[0].notice.id.clone();
    let next = world.step().unwrap();
    world.now = next;
    let step = world
        .router
        .step(world.state.clone(), next, &world.conditions, &[]);
    let probe = &step.send[0].notice.id;
    assert_ne!(*probe, refused);
}

#[test]
fn runs_are_told_by_their_outcome_and_beginnings_only_to_who_wants_them() {
    let rule = |when, beginnings, target: &str| RunRule {
        sites: Vec::new(),
        jobs: vec![Pattern::new("web*")],
        when,
        beginnings,
        targets: vec![target.to_owned()],
    };
    let router = Router::new(Rules {
        runs: vec![
            rule(When::Always, true, "ping"),
            rule(When::Failure, false, "mail"),
            rule(When::Never, false, "nobody"),
        ],
        ..Rules::default()
    });
    let mut world = World::new(router.unwrap().rules().clone());
    let mut tell = |job: &str, outcome| {
        let run = Run {
            id: "r1".to_owned(),
            job: job.to_owned(),
            name: String::new(),
            site: None,
            outcome,
            began: start(),
            ended: outcome.map(|_| later(start(), 90)),
            exit_code: None,
            failed: Vec::new(),
            text: "3 machines".to_owned(),
            remedies: Vec::new(),
            link: None,
        };
        let state = std::mem::take(&mut world.state);
        world.state = world.router.run(state, world.now, &run);
        world.pass(1);
    };
    tell("web", None);
    tell("web", Some(Outcome::Success));
    tell("web", Some(Outcome::Failure));
    tell("other", Some(Outcome::Failure));
    let told = world.arrived.iter();
    let told: Vec<(&str, String)> = told
        .map(|(_, notice)| (notice.target.as_str(), notice.title()))
        .collect();
    let expected = [
        ("ping", "[] BEGAN: job web, run r1".to_owned()),
        ("ping", "[] OK: job web, run r1".to_owned()),
        ("ping", "[] FAILED: job web, run r1".to_owned()),
        ("mail", "[] FAILED: job web, run r1".to_owned()),
    ];
    assert_eq!(told, expected);
    assert!(world.arrived[3].1.plain().contains("took 1 min"));
}

#[test]
fn a_beginning_that_arrived_nowhere_is_not_told_after_the_end() {
    let rule = RunRule {
        when: When::Always,
        beginnings: true,
        targets: vec!["ping".to_owned()],
        ..RunRule::default()
    };
    let mut world = World::new(Rules {
        runs: vec![rule],
        ..Rules::default()
    });
    world.down.insert("ping".to_owned());
    let mut run = Run {
        id: "r1".to_owned(),
        job: "web".to_owned(),
        name: String::new(),
        site: None,
        outcome: None,
        began: start(),
        ended: None,
        exit_code: None,
        failed: Vec::new(),
        text: String::new(),
        remedies: Vec::new(),
        link: None,
    };
    for outcome in [None, Some(Outcome::Success)] {
        run.outcome = outcome;
        let state = std::mem::take(&mut world.state);
        world.state = world.router.run(state, world.now, &run);
        world.pass(1);
    }
    world.down.clear();
    world.pass(3600);
    let told: Vec<String> = world.arrived.iter().map(|(_, it)| it.title()).collect();
    assert_eq!(told, ["[] OK: job web, run r1"]);
}

#[test]
fn a_digest_comes_once_a_day_at_its_hour_of_the_wall() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let mut world = World::new(Rules {
        digests: vec![DigestRule {
            name: "morning".to_owned(),
            at: Some(time(7, 30, 0, 0)),
            zone: zone.clone(),
            targets: vec!["mail".to_owned()],
        }],
        ..Rules::default()
    });
    // Over the last Sunday of March, when the clocks go forward.
    for _ in 0..40 {
        let next = world.step().unwrap();
        world.now = next;
        assert_eq!(world.router.digests_due(&world.state, next), ["morning"]);
        let state = std::mem::take(&mut world.state);
        let digest = Digest {
            summary: "all is well".to_owned(),
            ..Digest::default()
        };
        world.state = world.router.digest(state, next, "morning", &digest);
        assert!(world.router.digests_due(&world.state, next).is_empty());
        world.step();
    }
    let days: Vec<String> = world
        .arrived
        .iter()
        .map(|(at, _)| {
            at.to_zoned(zone.clone())
                .strftime("%m-%d %H:%M")
                .to_string()
        })
        .collect();
    assert_eq!(days.len(), 40);
    assert_eq!(
        (days[0].as_str(), days[39].as_str()),
        ("03-02 07:30", "04-10 07:30")
    );
    assert!(days.iter().all(|day| day.ends_with("07:30")));
    assert_eq!(world.arrived[0].1.title(), "[] DIGEST: all is well");
}

#[test]
fn rules_that_cannot_be_followed_are_refused() {
    let refused = |route: Route| {
        let rules = Rules {
            routes: vec![route],
            ..Rules::default()
        };
        Router::new(rules).unwrap_err().to_string()
    };
    assert!(refused(route("a", &[])).contains("has no targets"));
    let limit = Route {
        per_hour: Some(0),
        ..route("a", &["x"])
    };
    assert!(refused(limit).contains("per_hour must be 1 or more"));
    let chain = Route {
        escalation: Some("duty".to_owned()),
        ..route("a", &["x"])
    };
    assert!(refused(chain).contains("\"duty\", which has no levels"));
}
