//! What holds for every story: told, not too often, ended for whoever was told, level by level.
//!
//! A failure shows its seed and its shortest story; `LIFEBOAT_SEED` takes a seed back.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lifeboat_notify::{Condition, Event, Notice, Route, Rules, Severity};
use lifeboat_testkit::{Effort, figure};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::world::{World, escalation, later, route, seconds};

/// How long everything may take to be told after a story has ended, in seconds.
const AFTERMATH: u64 = 8 * 3600;
const FIRST: u64 = 900;
const SECOND: u64 = 600;

#[derive(Clone, Debug)]
enum Act {
    Begin(u8, Severity),
    Clear(u8),
    Acknowledge(u8),
    Worsen(u8),
    Lose(u8),
    Find(u8),
}

#[derive(Clone, Debug)]
struct Story {
    group_wait: u64,
    repeat_every: Option<u64>,
    per_hour: Option<u32>,
    acts: Vec<(u64, Act)>,
}

/// One time that a condition held, as the story tells it.
#[derive(Clone, Debug)]
struct Held {
    condition: Condition,
    cleared: Option<Timestamp>,
    acknowledged: Option<Timestamp>,
}

fn severity() -> impl Strategy<Value = Severity> {
    prop_oneof![
        Just(Severity::Info),
        Just(Severity::Warning),
        Just(Severity::Critical)
    ]
}

fn act(with_faults: bool) -> BoxedStrategy<Act> {
    let begin = (0..40_u8, severity()).prop_map(|(key, severity)| Act::Begin(key, severity));
    let clear = (0..40_u8).prop_map(Act::Clear);
    let acknowledge = (0..40_u8).prop_map(Act::Acknowledge);
    if !with_faults {
        return prop_oneof![4 => begin, 2 => clear, 1 => acknowledge].boxed();
    }
    let lose = (0..4_u8).prop_map(Act::Lose);
    let find = (0..4_u8).prop_map(Act::Find);
    let worsen = (0..40_u8).prop_map(Act::Worsen);
    prop_oneof![8 => begin, 4 => clear, 2 => acknowledge, 2 => worsen, 1 => lose, 1 => find].boxed()
}

fn story(with_faults: bool, with_limit: bool) -> impl Strategy<Value = Story> {
    let gap = prop_oneof![Just(0_u64), 1..120_u64, 60..4000_u64];
    let limit = if with_limit {
        proptest::option::of(1..6_u32).boxed()
    } else {
        Just(None).boxed()
    };
    let acts = vec((gap, act(with_faults)), 1..80);
    let repeat = proptest::option::of(1200..9000_u64);
    (0..300_u64, repeat, limit, acts).prop_map(|(group_wait, repeat_every, per_hour, acts)| Story {
        group_wait,
        repeat_every,
        per_hour,
        acts,
    })
}

fn world(story: &Story) -> World {
    let with = |route: Route| Route {
        group_wait: seconds(story.group_wait),
        repeat_every: story.repeat_every.map(seconds),
        per_hour: story.per_hour,
        ..route
    };
    World::new(Rules {
        routes: vec![
            with(Route {
                severities: vec![Severity::Critical],
                escalation: Some("duty".to_owned()),
                ..route("critical", &["t0"])
            }),
            with(route("all", &["t0", "t3"])),
        ],
        escalations: vec![escalation(
            "duty",
            &[(&["t1"], FIRST), (&["t2"], SECOND), (&["t3"], 0)],
        )],
        ..Rules::default()
    })
}

/// Plays a story to its end; at the end everybody is reached, and all is cleared if asked.
fn play(world: &mut World, story: &Story, ends_well: bool, steps_more: bool) -> Vec<Held> {
    let mut held: Vec<Held> = Vec::new();
    for (gap, act) in &story.acts {
        if steps_more {
            world.pass(gap / 3);
            world.pass(gap - gap / 3);
            world.step();
        } else {
            world.pass(*gap);
        }
        carry_out(world, act, &mut held);
        world.pass(0);
    }
    world.down.clear();
    world.pass(AFTERMATH);
    if ends_well {
        let now = world.now;
        world.conditions.clear();
        for it in held.iter_mut().filter(|it| it.cleared.is_none()) {
            it.cleared = Some(now);
        }
        world.pass(AFTERMATH);
    }
    held
}

fn carry_out(world: &mut World, act: &Act, held: &mut Vec<Held>) {
    let now = world.now;
    let name = |key: &u8| format!("m{key}");
    let open = |held: &mut Vec<Held>, key: &u8| {
        held.iter()
            .rposition(|it| it.condition.key == name(key) && it.cleared.is_none())
    };
    match act {
        Act::Begin(key, severity) => {
            // The same condition does not begin twice at one moment.
            let is_known = held
                .iter()
                .any(|it| it.condition.key == name(key) && it.condition.since == now);
            if open(held, key).is_none() && !is_known {
                world.begin(&name(key), *severity);
                held.push(Held {
                    condition: world.conditions.last().unwrap().clone(),
                    cleared: None,
                    acknowledged: None,
                });
            }
        }
        Act::Clear(key) => {
            if let Some(at) = open(held, key) {
                held[at].cleared = Some(now);
                world.clear(&name(key));
            }
        }
        Act::Acknowledge(key) => {
            if let Some(at) = open(held, key) {
                held[at].acknowledged.get_or_insert(now);
                world.acknowledge(&name(key));
            }
        }
        Act::Worsen(key) => {
            if let Some(at) = open(held, key) {
                held[at].condition.severity = Severity::Critical;
                let mut known = world.conditions.iter_mut();
                let known = known.find(|it| it.key == name(key)).unwrap();
                known.severity = Severity::Critical;
            }
        }
        Act::Lose(target) => {
            world.down.insert(format!("t{target}"));
        }
        Act::Find(target) => {
            world.down.remove(&format!("t{target}"));
        }
    }
}

fn run(name: &str, cases: u32, stories: impl Strategy<Value = Story>, check: impl Fn(&Story)) {
    let seed = std::env::var("LIFEBOAT_SEED").ok();
    let seed = seed.map_or(1, |seed| seed.parse().unwrap());
    let config = Config {
        rng_seed: RngSeed::Fixed(seed),
        cases: Effort::current().pick(cases, cases * 100),
        failure_persistence: None,
        ..Config::default()
    };
    let cases = config.cases;
    let outcome = TestRunner::new(config).run(&stories, |story| {
        check(&story);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("seed {seed}: {error}");
    }
    figure("notices", name, cases);
}

/// Who was told of which condition: key, since, route, target.
type Telling = (String, Timestamp, String, String);

fn tellings(world: &World, counts: impl Fn(Event, &Condition) -> bool) -> Vec<Telling> {
    let all = world.arrived.iter().flat_map(|(_, notice)| {
        let items = notice.items().iter();
        items.map(move |item| (notice, item))
    });
    let told = all.filter(|(_, item)| counts(item.event, &item.condition));
    told.map(|(notice, item)| {
        let condition = &item.condition;
        let (route, target) = (notice.route.clone(), notice.target.clone());
        (condition.key.clone(), condition.since, route, target)
    })
    .collect()
}

#[test]
fn no_critical_condition_goes_untold() {
    run(
        "stories: critical ones told",
        60,
        story(true, true),
        |story| {
            let mut world = world(story);
            let held = play(&mut world, story, false, false);
            let told = tellings(&world, |_, it| it.severity == Severity::Critical);
            let told: BTreeSet<(String, Timestamp, String)> = told
                .into_iter()
                .map(|(key, since, _, target)| (key, since, target))
                .collect();
            for it in held {
                let condition = it.condition;
                let ready = later(condition.since, story.group_wait);
                let is_quiet = it.cleared.is_some_and(|cleared| cleared < ready);
                if condition.severity < Severity::Critical || is_quiet {
                    continue;
                }
                for target in ["t0", "t1", "t3"] {
                    let telling = (condition.key.clone(), condition.since, target.to_owned());
                    assert!(told.contains(&telling), "untold: {telling:?}");
                }
            }
            assert!(world.state.outbox.waiting().is_empty());
        },
    );
}

#[test]
fn nobody_is_told_more_than_the_limit() {
    run("stories: limits kept", 30, story(true, true), |story| {
        let mut world = world(story);
        play(&mut world, story, true, false);
        let Some(limit) = story.per_hour else {
            return;
        };
        let mut lanes: BTreeMap<(&str, usize, &str), Vec<Timestamp>> = BTreeMap::new();
        for (_, notice) in &world.arrived {
            let lane = (notice.route.as_str(), notice.level, notice.target.as_str());
            lanes.entry(lane).or_default().push(notice.at);
        }
        for (lane, mut times) in lanes {
            times.sort();
            for window in times.windows(limit as usize + 1) {
                let (first, last) = (window[0], window[limit as usize]);
                assert!(later(first, 3600) <= last, "{lane:?}: {window:?}");
            }
        }
    });
}

#[test]
fn the_end_is_told_once_and_exactly_to_those_who_were_told() {
    run("stories: ends told", 30, story(true, true), |story| {
        let mut world = world(story);
        play(&mut world, story, true, false);
        let is_news =
            |event, condition: &Condition| event != Event::Resolved && condition.cleared.is_none();
        let told: BTreeSet<Telling> = tellings(&world, is_news).into_iter().collect();
        let ended = tellings(&world, |event, _| event == Event::Resolved);
        let once: BTreeSet<Telling> = ended.iter().cloned().collect();
        assert_eq!(ended.len(), once.len(), "an end is told once");
        assert_eq!(once, told);
    });
}

#[test]
fn levels_have_their_turn_at_the_exact_moment() {
    run(
        "stories: levels on time",
        60,
        story(false, false),
        |story| {
            let mut world = world(story);
            let held = play(&mut world, story, false, false);
            let of_level = |it: &Held, level: usize| {
                let tells = |notice: &Notice| {
                    let mut items = notice.items().iter();
                    let is_it = |condition: &Condition| {
                        condition.key == it.condition.key && condition.since == it.condition.since
                    };
                    let is_new = |event| matches!(event, Event::Began | Event::Escalated);
                    notice.route == "critical"
                        && notice.level == level
                        && items.any(|item| is_it(&item.condition) && is_new(item.event))
                };
                let times = world.arrived.iter().filter(|(_, notice)| tells(notice));
                times.map(|(at, _)| *at).collect::<Vec<Timestamp>>()
            };
            for it in held
                .iter()
                .filter(|it| it.condition.severity == Severity::Critical)
            {
                let first = of_level(it, 1);
                assert!(first.len() <= 1);
                let stops = [it.cleared, it.acknowledged].into_iter().flatten().min();
                let turns = |after: u64| {
                    let due = first.iter().map(|first| later(*first, after));
                    due.filter(|due| stops.is_none_or(|stop| stop >= *due))
                        .collect::<Vec<Timestamp>>()
                };
                assert_eq!(of_level(it, 2), turns(FIRST), "second level: {it:?}");
                assert_eq!(
                    of_level(it, 3),
                    turns(FIRST + SECOND),
                    "third level: {it:?}"
                );
            }
        },
    );
}

#[test]
fn a_restart_at_any_step_and_steps_in_between_change_nothing() {
    run("stories: restarted", 15, story(true, true), |story| {
        let mut plain = world(story);
        play(&mut plain, story, true, false);
        let mut restarted = world(story);
        restarted.restarts = true;
        play(&mut restarted, story, true, false);
        assert_eq!(plain.arrived, restarted.arrived);
        assert_eq!(plain.state, restarted.state);
        let mut eager = world(story);
        play(&mut eager, story, true, true);
        assert_eq!(plain.arrived, eager.arrived);
    });
}
