//! Clocks of nodes that differ never make two of them carry out one task: leases go by the clock
//! of the database, and who is far from it gets none.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use lifeboat_catalog::{Action, Catalog, CatalogPlace, Lease, TaskState};
use lifeboat_model::{CancelToken, Clock, ErrorKind};
use lifeboat_scheduler::{Node, NodeOptions};
use lifeboat_testkit::{ManualClock, postgres::Server};

use crate::play::Play;
use crate::world::{job, settings, start};

/// A server with a clock, and nodes with clocks of their own.
struct Site {
    place: CatalogPlace,
    /// The clock of the database.
    right: Arc<ManualClock>,
    play: Arc<Play>,
    clocks: RefCell<Vec<Arc<ManualClock>>>,
}

impl Site {
    fn new() -> Option<Self> {
        let url = Server::shared()?.database();
        let play = Arc::new(Play::default());
        play.look().show("local", &[("web01", "web")]);
        play.look().settings = settings(&[("web", job())]);
        Some(Self {
            place: CatalogPlace::parse(&url, None).unwrap(),
            right: Arc::new(ManualClock::new(start())),
            play,
            clocks: RefCell::default(),
        })
    }

    fn node(&self, name: &str, ahead: i64) -> (Node, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(self.shifted(ahead)));
        self.clocks.borrow_mut().push(clock.clone());
        let catalog = Catalog::open_judged(&self.place, clock.clone(), self.right.clone());
        let node = Node::new(
            NodeOptions::new(name, "1"),
            settings(&[("web", job())]),
            Arc::new(catalog.unwrap()),
            self.play.clone(),
            clock.clone(),
        );
        (node.unwrap(), clock)
    }

    fn shifted(&self, seconds: i64) -> jiff::Timestamp {
        self.right.now() + SignedDuration::from_secs(seconds)
    }

    fn pass(&self, seconds: u64) {
        let span = Duration::from_secs(seconds);
        self.right.advance(span);
        self.clocks.borrow().iter().for_each(|it| it.advance(span));
    }
}

fn look(node: &Node) -> Vec<Lease> {
    let begun = RefCell::new(Vec::new());
    let begin = |lease| begun.borrow_mut().push(lease);
    node.tick(&CancelToken::new(), &begin).unwrap();
    begun.into_inner()
}

fn end(site: &Site, node: &Node, lease: &Lease) {
    site.play.look().now = site.right.now();
    let end = site.play.look().perform(&lease.task);
    node.conclude(&node.settings(), lease, end);
}

#[test]
fn a_node_with_a_wrong_clock_begins_nothing_and_people_are_told_what_to_do() {
    let Some(site) = Site::new() else {
        return;
    };
    let (fast, clock) = site.node("fast", 1200);
    let (slow, _) = site.node("slow", -1200);
    let (near, _) = site.node("near", 10);
    for node in [&near, &fast, &slow] {
        assert!(look(node).is_empty());
    }
    // By its own clock the moment of the schedule has come.
    site.pass(2 * 3600 - 600);
    assert!(look(&fast).is_empty());
    assert_eq!(fast.catalog().runs(&Default::default()).unwrap(), []);
    site.pass(600);
    for node in [&fast, &slow] {
        assert!(look(node).is_empty());
    }
    let leases = look(&near);
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].until, site.shifted(60), "by the database's clock");
    site.pass(31);
    for node in [&slow, &fast] {
        assert!(look(node).is_empty());
    }
    let alerts = near.catalog().open_alerts().unwrap();
    let of_clocks: Vec<_> = alerts
        .iter()
        .filter(|it| it.condition == "clock_skew")
        .collect();
    let mut subjects: Vec<&str> = of_clocks.iter().map(|it| &*it.subject).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["clock_skew fast", "clock_skew slow"]);
    for (alert, side) in of_clocks.iter().zip(["ahead of", "behind"]) {
        let is_meant = |word: &str| alert.text.contains(word);
        assert!(
            is_meant(side) && is_meant("NTP") && is_meant("15 s"),
            "{}",
            alert.text
        );
        assert!(alert.since.duration_since(site.right.now()).abs() < SignedDuration::from_hours(3));
    }
    // A run by hand is refused in words.
    let offer = lifeboat_catalog::LeaseOffer {
        node: "fast",
        hold: Duration::from_secs(60),
        count: 1,
        run: None,
    };
    let error = fast.catalog().lease(&offer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("1200 s ahead"), "{error}");
    // Set right, it takes part again, and the alert is over.
    clock.set(site.right.now());
    site.pass(61);
    assert_eq!(look(&fast).len(), 1, "the lease of the other is over");
    site.pass(61);
    look(&near);
    look(&fast);
    let alerts = near.catalog().open_alerts().unwrap();
    assert!(
        alerts.iter().all(|it| it.subject != "clock_skew fast"),
        "{alerts:?}"
    );
}

#[test]
fn clocks_that_differ_take_nobodys_task_away() {
    let Some(site) = Site::new() else {
        return;
    };
    let (right, _) = site.node("right", 0);
    let (fast, clock) = site.node("fast", 3600);
    let (near, _) = site.node("near", -14);
    look(&right);
    site.pass(2 * 3600);
    let found = look(&right).remove(0);
    end(&site, &right, &found);
    let mut lease = look(&right).remove(0);
    assert_eq!(lease.task.action, Action::Backup);
    for _ in 0..10 {
        site.pass(40);
        // The clock of the one jumps about meanwhile.
        clock.set(site.shifted(-7200));
        assert!(look(&fast).is_empty());
        clock.set(site.shifted(7200));
        assert!(look(&fast).is_empty());
        assert!(look(&near).is_empty());
        right
            .catalog()
            .renew(&mut lease, Duration::from_secs(60))
            .unwrap();
    }
    end(&site, &right, &lease);
    let task = right.catalog().task(lease.task.id).unwrap();
    assert_eq!((task.state, task.attempt), (TaskState::Succeeded, 1));
    assert_eq!(site.play.look().held("main").len(), 1);
}

#[test]
fn the_clock_that_counts_is_that_of_the_server() {
    let Some(server) = Server::shared() else {
        return;
    };
    let place = CatalogPlace::parse(&server.database(), None).unwrap();
    let own = lifeboat_model::SystemClock::new();
    let wrong = own.now() + SignedDuration::from_hours(5);
    let catalog = Catalog::open(&place, Arc::new(ManualClock::new(wrong))).unwrap();
    let node = Node::new(
        NodeOptions::new("n", "1"),
        settings(&[("web", job())]),
        Arc::new(catalog),
        Arc::new(Play::default()),
        Arc::new(ManualClock::new(wrong)),
    );
    let node = node.unwrap();
    assert!(look(&node).is_empty());
    // Rows are dated by the server from now on.
    let differs = node.catalog().now().duration_since(own.now()).abs();
    assert!(differs < SignedDuration::from_hours(1), "{differs}");
    let alerts = node.catalog().open_alerts().unwrap();
    assert!(
        alerts.iter().any(|it| it.subject == "clock_skew n"),
        "{alerts:?}"
    );
}
