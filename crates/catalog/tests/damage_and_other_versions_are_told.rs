//! A catalog that cannot be used says why and what to do.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use lifeboat_catalog::{Catalog, CatalogPlace, RunState};
use lifeboat_model::ErrorKind;
use lifeboat_testkit::ManualClock;

use crate::beds::{Bed, Raw, child, on_both, run, task};

const PLACE: &str = "LIFEBOAT_TEST_FIRST_OPEN";
const FULL: &str = "LIFEBOAT_TEST_FULL";

fn open_again(bed: &Bed) -> lifeboat_catalog::Error {
    Catalog::open(&bed.place, bed.clock.clone()).unwrap_err()
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    on_both(|bed| {
        drop(bed.open());
        bed.raw()
            .execute("INSERT INTO schema_steps (number) VALUES (99)");
        assert_eq!(open_again(bed).kind(), ErrorKind::Unsupported);
        bed.raw()
            .execute("DELETE FROM schema_steps WHERE number = 99");
        bed.open();
    });
}

#[test]
fn an_older_schema_is_brought_up_to_date_with_its_rows() {
    on_both(|bed| {
        let catalog = bed.open();
        let new = run("web", Some(bed.now()), vec![task("web01", 0)]);
        let id = catalog.begin_run(&new).unwrap().unwrap();
        catalog.cancel_run(id, "ann").unwrap();
        drop(catalog);
        let indexes = [
            "tasks_open",
            "tasks_ended",
            "runs_counts",
            "runs_ended",
            "points_series",
            "points_at",
            "proofs_at",
        ];
        for index in indexes {
            bed.raw().execute(&format!("DROP INDEX {index}"));
        }
        for table in ["series", "task_ends", "reads", "run_totals", "listings"] {
            bed.raw().execute(&format!("DROP TABLE {table}"));
        }
        for column in ["machines DROP COLUMN since", "points DROP COLUMN written"] {
            bed.raw().execute(&format!("ALTER TABLE {column}"));
        }
        bed.raw()
            .execute("INSERT INTO counters (name, value) VALUES ('failures backup io', 3)");
        bed.raw()
            .execute("DELETE FROM schema_steps WHERE number > 0");
        let catalog = bed.open();
        assert_eq!(catalog.last_planned("web").unwrap(), Some(bed.now()));
        let planned = vec![("web".to_owned(), bed.now())];
        assert_eq!(catalog.all_last_planned().unwrap(), planned);
        assert_eq!(catalog.newest_runs().unwrap()[0].job, "web");
        let totals = [("web".to_owned(), RunState::Cancelled, 1)];
        assert_eq!(catalog.run_totals().unwrap(), totals);
        let counted = [("backup io".to_owned(), 3)];
        assert_eq!(catalog.failures().unwrap(), counted);
        assert_eq!(catalog.failed_attempts().unwrap(), counted);
        bed.raw().execute("DROP INDEX points_series");
    });
}

/// One of the processes that open a new catalog at once.
#[test]
fn opener() {
    let Ok(words) = env::var(PLACE) else {
        return;
    };
    let place = CatalogPlace::parse(&words, None).unwrap();
    let catalog = Catalog::open(&place, Arc::new(ManualClock::default())).unwrap();
    let planned = Some(jiff::Timestamp::UNIX_EPOCH);
    let begun = catalog.begin_run(&run("web", planned, vec![task("web01", 0)]));
    eprintln!(
        "{}",
        if begun.unwrap().is_some() {
            "won"
        } else {
            "late"
        }
    );
}

#[test]
fn processes_that_open_a_new_catalog_at_once_make_one() {
    on_both(|bed| {
        let name = "damage_and_other_versions_are_told::opener";
        let openers: Vec<_> = (0..4)
            .map(|_| child(name, PLACE, &bed.words()).spawn().unwrap())
            .collect();
        let said = openers.into_iter().map(|it| it.wait_with_output().unwrap());
        let said: Vec<_> = said
            .map(|it| String::from_utf8_lossy(&it.stderr).trim().to_owned())
            .collect();
        let count = |word: &str| said.iter().filter(|it| *it == word).count();
        assert_eq!((count("won"), count("late")), (1, 3), "{said:?}");
    });
}

#[test]
fn a_damaged_file_says_what_to_do() {
    for (from, to) in [(0, 100), (4096, u64::MAX)] {
        let bed = Bed::sqlite();
        let catalog = bed.open();
        let machines = (0..200).map(|number| task(&format!("m{number}"), 0));
        catalog
            .begin_run(&run("web", None, machines.collect()))
            .unwrap();
        drop(catalog);
        let file = File::options().write(true).open(bed.file()).unwrap();
        let to = to.min(file.metadata().unwrap().len());
        file.write_all_at(&vec![0xa5; (to - from) as usize], from)
            .unwrap();
        let opened = Catalog::open(&bed.place, bed.clock.clone());
        let seen = opened.and_then(|catalog| catalog.tasks(&Default::default()).map(drop));
        let error = seen.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("put the file away"), "{error}");
        // As it says.
        for entry in fs::read_dir(bed.folder.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        bed.open();
    }
}

#[test]
fn places_that_are_none_are_refused() {
    for text in ["", "catalog.sqlite", "mysql://host/x", "sqlite:here"] {
        let error = CatalogPlace::parse(text, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
    }
    for text in [
        "postgresql://ann:secret@host/db",
        "postgres://ann@host/db?password=secret",
    ] {
        let error = CatalogPlace::parse(text, None).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let nowhere = CatalogPlace::parse("postgresql://ann@/db?host=/nowhere", None).unwrap();
    let error = Catalog::open(&nowhere, Arc::new(ManualClock::default())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
}

/// Inside a name space of its own, where a small disk is mounted.
#[test]
fn filler() {
    let Ok(folder) = env::var(FULL) else {
        return;
    };
    let folder = Path::new(&folder);
    let spare = folder.join("spare");
    fs::write(&spare, vec![1; 400_000]).unwrap();
    let path = folder.join("catalog.sqlite");
    let place = CatalogPlace::File(path.clone());
    let catalog = Catalog::open(&place, Arc::new(ManualClock::default())).unwrap();
    let text = "x".repeat(20_000);
    let mut written = 0;
    let error = loop {
        match catalog.set_note(&format!("note {written}"), &text) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1_000, "the disk is small");
    };
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    for number in 0..written {
        let note: Option<String> = catalog.note(&format!("note {number}")).unwrap();
        assert_eq!(note.as_ref(), Some(&text), "{number}");
    }
    fs::remove_file(spare).unwrap();
    catalog.set_note("after", &text).unwrap();
    drop(catalog);
    assert_eq!(Raw::sqlite(&path).text("PRAGMA integrity_check"), "ok");
    eprintln!("it works again after {written}");
}

#[test]
fn a_full_disk_is_told_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let script = "mount -t tmpfs -o size=2m tmpfs \"$0\" || exit 77; exec \"$@\"";
    let test = std::env::current_exe().unwrap();
    let mut inside = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        inside.args(["--user", "--map-root-user"]);
    }
    inside.args(["--mount", "sh", "-c", script, at]);
    inside.arg(test).args([
        "--exact",
        "damage_and_other_versions_are_told::filler",
        "--nocapture",
    ]);
    let output = inside.env(FULL, at).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || said.contains("unshare failed") {
        eprintln!("SKIPPED: a small file system cannot be mounted here: {said}");
        return;
    }
    assert!(output.status.success(), "{said}");
    assert!(said.contains("it works again"), "{said}");
}
