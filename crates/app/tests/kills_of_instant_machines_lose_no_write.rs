//! A machine that runs from the repository keeps every write, whoever is killed while it is
//! started, moved or removed; what was begun goes on, or is removed without a trace.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use lifeboat_testkit::libvirtd::{TestMachine, qcow2, qemu_img, shown, wait_for};
use lifeboat_testkit::{Effort, figure};
use serde_json::Value;

use crate::machines::host::{Host, Victim};
use crate::machines::wire::{Edge, Moment, Wire};
use crate::trial::{files, spread};

const NAME: &str = "web-instant";
const START: [&str; 3] = ["instant", "start", "web"];
const MIB: u64 = 1 << 20;

struct Trial<'a> {
    host: &'a Host,
    wire: &'a Wire,
    web: TestMachine<'a>,
    round: u8,
}

/// A daemon, a machine that is off, and its snapshot in `r`.
fn prepared(host: &Host) -> TestMachine<'_> {
    host.init("r");
    let mut web = host
        .daemon
        .machine("web", &[qcow2("vda", 4), qcow2("vdb", 2)]);
    web.write("vda", 1, 0, 2 * MIB);
    web.write("vdb", 2, MIB, MIB);
    host.backup("before", "r", "web");
    web.stop();
    web
}

/// All moments of a run that makes so many calls, at each with whoever is killed.
fn moments(calls: usize, count: usize, victims: &[Victim]) -> Vec<(Victim, Moment)> {
    let edges = [Edge::Before, Edge::After];
    let all = (1..=calls).flat_map(|call| edges.map(|edge| Moment { edge, call }));
    let all = all.flat_map(|moment| victims.iter().map(move |victim| (*victim, moment)));
    spread(&all.collect::<Vec<_>>(), count)
}

impl<'a> Trial<'a> {
    /// Runs the program through the wire, undisturbed; gives how many calls it made.
    fn calls(&self, words: &[&str]) -> usize {
        self.wire.aim(None);
        let mut command = self.host.command(&self.wire.uri(), "r", words);
        let output = command.output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {complaint}");
        self.wire.calls()
    }

    /// The machine that runs from the repository.
    fn quick(&self) -> TestMachine<'a> {
        TestMachine {
            daemon: &self.host.daemon,
            name: NAME.to_owned(),
            id: self.web.id.clone(),
            disks: self.web.disks.clone(),
            truth: self.web.truth.clone(),
        }
    }

    fn write(&mut self, quick: &mut TestMachine<'_>) {
        self.round = self.round % 250 + 1;
        let at = u64::from(self.round) * 4096;
        quick.write("vda", self.round, MIB + at, 8192);
        quick.write("vdb", self.round, at, 8192);
    }

    /// The words that move the machine into a folder.
    fn promote(&self) -> [String; 4] {
        let to = format!("--to={}/", shown(&self.host.path("moved")));
        ["instant".into(), "promote".into(), NAME.into(), to]
    }

    /// The machine runs from its own disks, which hold every write; then it goes.
    fn is_home(&self, when: &str, quick: &TestMachine<'_>) {
        let xml = self.host.daemon.virsh(&["dumpxml", NAME]);
        assert!(!xml.contains("protocol='nbd'"), "{when}: {xml}");
        quick.stop();
        for (disk, truth) in &quick.truth {
            let home = self.host.path(&format!("moved/{NAME}-{disk}.qcow2"));
            let copy = shown(&self.host.path("copy.raw"));
            qemu_img(&["convert", "-f", "qcow2", "-O", "raw", &shown(&home), &copy]);
            assert!(
                fs::read(&copy).unwrap() == *truth,
                "{when}: {disk} lost a write"
            );
            fs::remove_file(home).unwrap();
        }
        self.host.daemon.virsh(&["undefine", NAME]);
        self.nothing_is_left(when);
    }

    /// No machine, no server, no copy, no scratch. A lock of the dead goes with the next command
    /// that opens the repository.
    fn nothing_is_left(&self, when: &str) {
        let host = self.host;
        let all = host.daemon.virsh(&["list", "--all", "--name"]);
        assert_eq!(
            all.split_whitespace().collect::<Vec<_>>(),
            ["web"],
            "{when}"
        );
        let none = [""; 0].map(PathBuf::from);
        assert_eq!(files(&host.path("moved")), none, "{when}");
        assert_eq!(files(&host.path("instant")), none, "{when}");
        assert_eq!(host.daemon.scratch(), [""; 0], "{when}");
    }
}

fn trial(scenario: impl FnOnce(&mut Trial<'_>)) {
    let Some(host) = Host::begin() else {
        return;
    };
    let web = prepared(&host);
    let wire = Wire::begin(&host.path("wire"), &host.daemon.socket());
    host.folder("moved");
    scenario(&mut Trial {
        host: &host,
        wire: &wire,
        web,
        round: 0,
    });
}

#[test]
fn kills_of_a_promotion_let_it_go_on() {
    trial(|trial| {
        let words = trial.promote();
        let words = words.each_ref().map(String::as_str);
        trial.calls(&START);
        let mut quick = trial.quick();
        trial.write(&mut quick);
        let calls = trial.calls(&words);
        trial.is_home("undisturbed", &quick);
        let victims = [Victim::Lifeboat, Victim::Daemon, Victim::Emulator];
        let chosen = moments(calls, Effort::current().pick(4, 40), &victims);
        let mut hits = 0;
        for (victim, moment) in chosen {
            hits += usize::from(killed_promotion(trial, (victim, moment), &words));
        }
        figure("machines", "promotion: kills between calls", hits);
    });
}

fn killed_promotion(
    trial: &mut Trial<'_>,
    (victim, moment): (Victim, Moment),
    words: &[&str],
) -> bool {
    let when = format!("{victim:?} killed at {moment:?}");
    let (host, wire) = (trial.host, trial.wire);
    trial.calls(&START);
    let mut quick = trial.quick();
    trial.write(&mut quick);
    let struck = host.strike((wire, moment), (victim, NAME), "r", words);
    if victim == Victim::Emulator && struck.is_hit {
        wait_for(|| host.daemon.virsh(&["domstate", NAME]).trim() == "shut off");
        if !struck.ended.status.success() {
            let told = host.fails(1, "r", words);
            assert!(told.contains("start it"), "{when}: {told}");
        }
        quick.start();
    }
    trial.write(&mut quick);
    if !struck.ended.status.success() {
        host.lifeboat(&when, "r", words);
        trial.write(&mut quick);
    }
    trial.is_home(&when, &quick);
    struck.is_hit
}

#[test]
fn kills_of_a_start_or_a_removal_are_cleared_by_a_removal() {
    trial(|trial| {
        let discard = ["instant", "discard", NAME];
        let starting = trial.calls(&START);
        let removing = trial.calls(&discard);
        trial.nothing_is_left("undisturbed");
        let (host, wire) = (trial.host, trial.wire);
        let victims = [Victim::Lifeboat, Victim::Daemon];
        let count = Effort::current().pick(3, 30);
        let mut hits = 0;
        for (victim, moment) in moments(starting, count, &victims) {
            let when = format!("start: {victim:?} killed at {moment:?}");
            let struck = host.strike((wire, moment), (victim, NAME), "r", &START);
            if !struck.ended.status.success() {
                // What had begun is known by its name; what had not, needs no removal.
                host.run("r", &discard);
                trial.nothing_is_left(&when);
                trial.calls(&START);
            }
            host.lifeboat(&when, "r", &discard);
            trial.nothing_is_left(&when);
            hits += usize::from(struck.is_hit);
        }
        for (victim, moment) in moments(removing, count, &victims) {
            let when = format!("discard: {victim:?} killed at {moment:?}");
            trial.calls(&START);
            let struck = host.strike((wire, moment), (victim, NAME), "r", &discard);
            if !struck.ended.status.success() {
                let again = host.run("r", &discard);
                // The kill may have come when all was done but the farewell to libvirt.
                let is_over = again.told.contains("no machine \"web-instant\" runs");
                assert!(again.status.success() || is_over, "{when}: {}", again.told);
            }
            trial.nothing_is_left(&when);
            hits += usize::from(struck.is_hit);
        }
        figure("machines", "start and removal: kills between calls", hits);
    });
}

#[test]
fn kills_of_a_server_lose_no_write_that_it_answered() {
    trial(|trial| {
        let (host, rounds) = (trial.host, Effort::current().pick(2, 25));
        for round in 0..rounds {
            let when = format!("server killed, round {round}");
            trial.calls(&START);
            let seen = refused_writes(host);
            let mut quick = trial.quick();
            trial.write(&mut quick);
            // What is flushed is durable; what is not must be there all the same.
            if round % 2 == 1 {
                quick.flush("vda");
                quick.flush("vdb");
                trial.write(&mut quick);
            }
            assert_eq!(refused_writes(host), seen, "{when}");
            kill_server(host);
            host.lifeboat(&when, "r", &["instant", "resume", NAME]);
            write_until_taken(trial, &mut quick);
            let words = trial.promote();
            host.lifeboat(&when, "r", &words.each_ref().map(String::as_str));
            trial.is_home(&when, &quick);
        }
        figure("machines", "instant: servers killed and resumed", rounds);
    });
}

#[test]
fn kills_of_a_server_are_told_and_can_be_cleared() {
    trial(|trial| {
        let host = trial.host;
        trial.calls(&START);
        let mut quick = trial.quick();
        trial.write(&mut quick);
        let taken = host.run("r", &START);
        assert!(taken.told.contains("instant resume"), "{}", taken.told);
        kill_server(host);
        let table = host.lifeboat("list", "r", &["instant", "list"]);
        assert!(table.contains("NO: instant resume"), "{table}");
        host.lifeboat("discard", "r", &["instant", "discard", NAME]);
        trial.nothing_is_left("after the server was killed");
    });
}

fn kill_server(host: &Host) {
    let server = fs::read_to_string(host.path(&format!("instant/{NAME}/server.lock")));
    let kill = Command::new("kill").args(["-9", &server.unwrap()]).status();
    assert!(kill.unwrap().success());
    wait_for(|| !is_served(host));
}

/// QEMU fails what it is asked until it has connected anew; a machine's own disk asks again.
fn write_until_taken(trial: &mut Trial<'_>, quick: &mut TestMachine<'_>) {
    let round = trial.round;
    wait_for(|| {
        let refused = refused_writes(trial.host);
        trial.round = round;
        trial.write(quick);
        refused_writes(trial.host) == refused
    });
}

/// QEMU says in its own log what became of a write that it was asked for.
fn refused_writes(host: &Host) -> usize {
    let log = host.daemon.emulator_log(NAME);
    log.lines().filter(|it| it.contains("write failed")).count()
}

fn is_served(host: &Host) -> bool {
    let list = host.lifeboat("list", "r", &["--json", "instant", "list"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    list[0]["is_served"] == true
}

/// Found by killing libvirt's daemon before every call: the machine was not in the list that the
/// daemon could not finish, was taken for gone, and stayed behind without its disks.
#[test]
fn a_removal_that_cannot_see_the_machine_removes_nothing() {
    trial(|trial| {
        let discard = ["instant", "discard", NAME];
        trial.calls(&START);
        let calls = trial.calls(&discard);
        let (host, wire) = (trial.host, trial.wire);
        // Where machines are asked for what they are.
        for call in 6..=8.min(calls) {
            let edge = Edge::Before;
            let moment = Moment { edge, call };
            trial.calls(&START);
            let when = format!("{moment:?}");
            let struck = host.strike((wire, moment), (Victim::Daemon, NAME), "r", &discard);
            if !struck.ended.status.success() {
                host.lifeboat(&when, "r", &discard);
            }
            trial.nothing_is_left(&when);
        }
    });
}
