//! Whoever is killed between which two calls of a machine's backup: the next run succeeds, what it
//! stored is the machine, and nothing of the broken one is left.

use lifeboat_testkit::libvirtd::{TestMachine, qcow2, raw, wait_for};
use lifeboat_testkit::{Effort, SeededEntropy, figure};

use crate::machines::host::{Host, Struck, Victim};
use crate::machines::wire::{Edge, Moment, Wire};
use crate::trial::{files, spread};

const BACKUP: [&str; 3] = ["machine", "backup", "web"];
const VICTIMS: [Victim; 3] = [Victim::Lifeboat, Victim::Emulator, Victim::Daemon];
const DISK_MIB: u64 = 8;

/// A kill: who, and when.
type Kill = (Victim, Moment);

struct Trial<'a> {
    host: &'a Host,
    wire: &'a Wire,
    machine: TestMachine<'a>,
    dice: SeededEntropy,
    is_first: bool,
}

/// The seed: `LIFEBOAT_SEED`, or always the same.
fn seed() -> u64 {
    let given = std::env::var("LIFEBOAT_SEED").ok();
    given.map_or(1, |text| text.parse().expect("LIFEBOAT_SEED is a number"))
}

impl Trial<'_> {
    fn write(&mut self) {
        for disk in ["vda", "vdb"] {
            let size = self.machine.truth[disk].len() as u64;
            let length = 512 * (1 + self.dice.below(128));
            let offset = 512 * self.dice.below((size - length) / 512);
            let byte = 1 + self.dice.below(255) as u8;
            self.machine.write(disk, byte, offset, length);
        }
    }

    /// A first backup finds a repository without snapshots.
    fn prepare(&mut self) {
        if self.is_first {
            for file in files(&self.host.path("r/snapshots")) {
                std::fs::remove_file(file).unwrap();
            }
        }
        self.write();
    }

    /// How many calls an undisturbed run makes.
    fn calls(&mut self) -> usize {
        self.prepare();
        self.wire.aim(None);
        let mut command = self.host.command(&self.wire.uri(), "r", &BACKUP);
        assert!(command.output().unwrap().status.success());
        let calls = self.wire.calls();
        assert!(calls > 10, "{calls}");
        calls
    }

    /// Says whether the moment came.
    fn kill(&mut self, (victim, moment): Kill) -> bool {
        let when = format!("{victim:?} killed at {moment:?} (seed {})", seed());
        self.prepare();
        let (wire, host) = (self.wire, self.host);
        let struck = host.strike((wire, moment), (victim, "web"), "r", &BACKUP);
        let before = self.machine.truth.clone();
        if struck.is_hit && victim == Victim::Emulator {
            let daemon = &host.daemon;
            wait_for(|| daemon.virsh(&["domstate", "web"]).trim() == "shut off");
            self.machine.read_truth();
        }
        if struck.ended.status.success() {
            // Either the instant of the capture, or what QEMU left: the machine was off by then.
            for (disk, after) in &self.machine.truth {
                let restored = host.restored(&when, "r", disk);
                assert!(
                    restored == before[disk] || restored == *after,
                    "{when}: {disk}"
                );
            }
        } else {
            assert!(struck.is_hit, "{when}: {}", struck.ended.told);
            is_told(&when, victim, &struck);
        }
        if struck.is_hit && victim == Victim::Emulator {
            self.machine.start();
        }
        self.write();
        let told = host.backup(&when, "r", "web");
        host.is_restored(&when, "r", &self.machine);
        host.is_clean(&when, "r", &self.machine, &[&told]);
        struck.is_hit
    }
}

/// A run that goes on after the kill says what happened.
fn is_told(when: &str, victim: Victim, struck: &Struck) {
    let ended = &struck.ended;
    match victim {
        Victim::Lifeboat => assert!(ended.is_killed(), "{when}: {}", ended.told),
        Victim::Emulator | Victim::Daemon => {
            assert!(ended.status.code().is_some_and(|it| it > 0), "{when}");
            // Before anything is known of machines, it tells whom it asked.
            let named = ["web", "qemu:///session"];
            let is_named = named.iter().any(|it| ended.told.contains(it));
            assert!(is_named, "{when}: {}", ended.told);
        }
    }
}

fn kills(is_first: bool) {
    let Some(host) = Host::begin() else {
        return;
    };
    host.init("r");
    let wire = Wire::begin(&host.path("wire"), &host.daemon.socket());
    let disks = [qcow2("vda", DISK_MIB), raw("vdb", 1)];
    let mut trial = Trial {
        host: &host,
        wire: &wire,
        machine: host.daemon.machine("web", &disks),
        dice: SeededEntropy::new(seed()),
        is_first,
    };
    if !is_first {
        host.backup("before", "r", "web");
    }
    let calls = trial.calls();
    let moments = (1..=calls).flat_map(|call| {
        let edges = [Edge::Before, Edge::After];
        edges.map(|edge| Moment { edge, call })
    });
    let all: Vec<Kill> = moments
        .flat_map(|moment| VICTIMS.map(|victim| (victim, moment)))
        .collect();
    let chosen = spread(&all, Effort::current().pick(7, 110));
    let hits = chosen.into_iter().filter(|kill| trial.kill(*kill)).count();
    let what = if is_first {
        "first backup"
    } else {
        "increment"
    };
    figure("machines", &format!("{what}: kills between calls"), hits);
    figure("machines", &format!("{what}: calls"), calls);
}

#[test]
fn kills_of_a_machines_first_backup() {
    kills(true);
}

#[test]
fn kills_of_a_machines_increment() {
    kills(false);
}
