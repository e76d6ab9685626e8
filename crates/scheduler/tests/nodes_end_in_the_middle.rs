//! Nodes that stop, die, sleep, or cannot reach the catalog.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_catalog::{Action, Lease, RunState, Task, TaskEnd, TaskState};
use lifeboat_model::{CancelToken, Clock, ErrorKind};
use lifeboat_scheduler::{Executor, Node, TaskWatch};
use lifeboat_testkit::ManualClock;

use crate::play::Play;
use crate::world::{World, job, settings};

/// Carries backups out until it is told to stop, everything else at once.
struct Endless {
    play: Arc<Play>,
    begun: Mutex<Sender<()>>,
}

impl Executor for Endless {
    fn execute(&self, task: &Task, watch: &dyn TaskWatch, cancel: &CancelToken) -> TaskEnd {
        if task.action != Action::Backup {
            return self.play.execute(task, watch, cancel);
        }
        watch.step("transfer");
        self.begun.lock().unwrap().send(()).unwrap();
        while !cancel.is_cancelled() {
            std::thread::yield_now();
        }
        TaskEnd::Cancelled
    }
}

fn endless(world: &World, name: &str) -> (Arc<Node>, Receiver<()>) {
    let (sender, begun) = channel();
    let executor = Endless {
        play: world.play.clone(),
        begun: Mutex::new(sender),
    };
    (world.node_with(name, Arc::new(executor)), begun)
}

/// A world whose only backup is leased by a node.
fn in_the_middle() -> (World, Arc<Node>, Receiver<()>, Lease) {
    let world = World::new(settings(&[("web", job())]), &[("a", "web")]);
    let (node, begun) = endless(&world, "n");
    world.go("2026-03-02T02:00:00Z");
    world
        .tick(&node)
        .into_iter()
        .for_each(|it| world.end(&node, it));
    let lease = world.tick(&node).remove(0);
    (world, node, begun, lease)
}

fn state(world: &World, lease: &Lease) -> (TaskState, u32) {
    let task = world.catalog.task(lease.task.id).unwrap();
    (task.state, task.attempt)
}

#[test]
fn a_run_that_goes_on_is_stopped_when_somebody_wants_it() {
    let (world, node, begun, lease) = in_the_middle();
    std::thread::scope(|scope| {
        let carried = lease.clone();
        scope.spawn(|| node.carry_out(carried, &CancelToken::new()));
        begun.recv().unwrap();
        world.catalog.cancel_run(lease.task.run, "anna").unwrap();
    });
    assert_eq!(state(&world, &lease), (TaskState::Cancelled, 1));
    let steps = world.catalog.steps(lease.task.id).unwrap();
    assert_eq!(steps[0].name, "transfer");
}

#[test]
fn a_node_that_stops_gives_its_tasks_back_uncounted() {
    let (world, node, begun, lease) = in_the_middle();
    let stop = CancelToken::new();
    std::thread::scope(|scope| {
        let carried = lease.clone();
        scope.spawn(|| node.carry_out(carried, &stop));
        begun.recv().unwrap();
        stop.cancel();
    });
    assert_eq!(state(&world, &lease), (TaskState::Queued, 0));
    world.drain(&world.node("other"));
    assert_eq!(state(&world, &lease), (TaskState::Succeeded, 1));
}

#[test]
fn the_loop_of_a_node_ends_with_its_tasks_given_back_and_itself_signed_off() {
    let world = World::new(settings(&[("web", job())]), &[("a", "web")]);
    let (node, begun) = endless(&world, "n");
    world.go("2026-03-02T02:00:00Z");
    let stop = CancelToken::new();
    std::thread::scope(|scope| {
        scope.spawn(|| node.run(&stop, &|error| panic!("{error}")));
        begun.recv().unwrap();
        stop.cancel();
    });
    assert!(world.running().is_empty());
    assert!(world.catalog.nodes().unwrap().is_empty());
    assert_eq!(world.runs("web")[0].state, RunState::Open);
}

#[test]
fn the_tasks_of_a_node_that_was_killed_are_taken_over_and_counted() {
    let (world, _, _, lease) = in_the_middle();
    let other = world.node("other");
    world.pass(60);
    world.drain(&other);
    assert_eq!(
        state(&world, &lease),
        (TaskState::Running, 1),
        "it holds still"
    );
    // Nobody waits for what has passed with the node.
    world.pass(1);
    world.drain(&other);
    assert_eq!(state(&world, &lease), (TaskState::Succeeded, 2));
    assert_eq!(world.play.look().held("main").len(), 1);
}

#[test]
fn a_node_that_comes_back_takes_its_own_tasks_at_once() {
    let (world, _, _, lease) = in_the_middle();
    let again = world.node("n");
    assert_eq!(state(&world, &lease), (TaskState::Queued, 1));
    world.pass(60);
    world.drain(&again);
    assert_eq!(state(&world, &lease), (TaskState::Succeeded, 2));
}

#[test]
fn a_node_that_lost_its_lease_stops_its_child_and_writes_nothing() {
    let (world, node, begun, lease) = in_the_middle();
    let other = world.node("other");
    std::thread::scope(|scope| {
        let carried = lease.clone();
        scope.spawn(|| node.carry_out(carried, &CancelToken::new()));
        begun.recv().unwrap();
        // As when the whole computer slept; the other looks before it can renew anything.
        let looked = world.catalog.task(lease.task.id).unwrap();
        assert_eq!(looked.state, TaskState::Running);
        steal(&world, &lease);
        world.clock.advance(Duration::from_secs(25));
    });
    let task = world.catalog.task(lease.task.id).unwrap();
    assert_ne!(task.state, TaskState::Cancelled);
    world.pass(60);
    world.drain(&other);
    assert_eq!(state(&world, &lease), (TaskState::Succeeded, 2));
}

/// Takes what the node runs, as a process of its name that has just started does.
fn steal(world: &World, lease: &Lease) {
    let node = lease.task.node.as_deref().unwrap();
    assert_eq!(world.catalog.take_over_own(node).unwrap().len(), 1);
}

#[test]
fn a_node_that_stops_its_child_for_want_of_the_catalog_does_not_end_the_task() {
    let (world, node, begun, lease) = in_the_middle();
    let stop = CancelToken::new();
    // Nobody asked: what the node itself stopped waits for its next turn.
    std::thread::scope(|scope| {
        let carried = lease.clone();
        scope.spawn(|| node.carry_out(carried, &stop));
        begun.recv().unwrap();
        stop.cancel();
    });
    assert_eq!(state(&world, &lease).0, TaskState::Queued);
    assert!(
        world
            .catalog
            .task(lease.task.id)
            .unwrap()
            .cancelled_by
            .is_none()
    );
}

#[test]
fn a_node_that_slept_before_it_began_begins_nothing() {
    let (world, node, begun, lease) = in_the_middle();
    steal(&world, &lease);
    node.carry_out(lease.clone(), &CancelToken::new());
    assert!(begun.try_recv().is_err(), "nothing was begun");
    assert_eq!(state(&world, &lease), (TaskState::Queued, 1));
}

/// Ends what it carries out with the lease, while the node stands still.
struct Lapsing(Arc<ManualClock>);

impl Executor for Lapsing {
    fn execute(&self, _: &Task, watch: &dyn TaskWatch, _: &CancelToken) -> TaskEnd {
        assert_eq!(
            watch.held_until(),
            self.0.monotonic() + Duration::from_secs(60)
        );
        self.0.advance(Duration::from_secs(50));
        TaskEnd::Failed(
            ErrorKind::Cancelled,
            "it ended with exit status: 130".to_owned(),
        )
    }
}

#[test]
fn what_ended_because_its_node_stood_still_is_begun_again() {
    let (world, _, _, lease) = in_the_middle();
    let node = world.node_with("still", Arc::new(Lapsing(world.clock.clone())));
    node.carry_out(lease.clone(), &CancelToken::new());
    assert_eq!(state(&world, &lease), (TaskState::Queued, 0));
}

#[test]
fn two_loops_share_a_crowd_and_back_each_machine_up_once() {
    let names: Vec<String> = (0..40).map(|number| format!("m{number:02}")).collect();
    let shown: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "web")).collect();
    let world = World::new(settings(&[("web", job())]), &shown);
    let nodes = ["a", "b"].map(|name| world.node(name));
    world.go("2026-03-02T02:00:00Z");
    world.play.look().now = world.now();
    let stop = CancelToken::new();
    std::thread::scope(|scope| {
        for node in &nodes {
            scope.spawn(|| node.run(&stop, &|error| panic!("{error}")));
        }
        while world
            .runs("web")
            .iter()
            .all(|run| run.state == RunState::Open)
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.cancel();
    });
    assert_eq!(world.runs("web")[0].state, RunState::Succeeded);
    let outside = world.play.look();
    let mut machines: Vec<&str> = outside.held("main").iter().map(|it| &*it.machine).collect();
    machines.sort_unstable();
    assert_eq!(machines, names);
    assert_eq!(world.tasks().iter().filter(|it| it.attempt != 1).count(), 0);
}
