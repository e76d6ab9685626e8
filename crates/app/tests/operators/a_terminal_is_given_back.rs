//! `lifeboat top` draws, answers to keys, and leaves the terminal as it was.

use std::path::Path;

use lifeboat_catalog::{LogLevel, Progress};

use super::site::{Site, begin, machine, point};
use super::terminal::Terminal;
use crate::trial::lifeboat;

fn top(site: &Site) -> Terminal {
    let command = site.command(Path::new("script"));
    let line = format!("{} top", lifeboat().display());
    Terminal::start(command, &site.path(""), &line)
}

/// The screen of before and the cursor are there again.
fn is_given_back(terminal: Terminal) {
    let seen = terminal.ends();
    for end in ["\x1b[?25h", "\x1b[?1049l"] {
        assert!(seen.contains(end), "{seen:?}");
    }
}

fn site() -> Site {
    let site = Site::new();
    let catalog = site.catalog();
    catalog.set_machines("here", &[machine("web01")]).unwrap();
    catalog.add_point(&point("web01", site.ago(1))).unwrap();
    site
}

#[test]
fn it_draws_shows_a_log_and_cancels_after_a_question() {
    let site = site();
    let catalog = site.catalog();
    let lease = begin(&catalog, "web01");
    let progress = Progress {
        phase: "reading".into(),
        done: 1,
        total: 2,
        rate: 1 << 20,
        seconds_left: Some(5),
    };
    catalog.report(&lease, &progress).unwrap();
    catalog
        .write_log(&lease, LogLevel::Note, "the first line")
        .unwrap();
    let mut terminal = top(&site);
    terminal.waits_for("Yes: 1 machine can be recovered");
    terminal.waits_for("[##########..........]  50 %");
    terminal.waits_for("c cancel  q quit");
    terminal.press("\r");
    terminal.waits_for("Esc back");
    terminal.waits_for("\nthe first line");
    terminal.press("\x1b");
    terminal.waits_for("c cancel");
    terminal.press("c");
    terminal.waits_for("y stops it");
    terminal.press("n");
    terminal.waits_for("c cancel");
    assert_eq!(catalog.task(lease.task.id).unwrap().cancelled_by, None);
    terminal.press("c");
    terminal.waits_for("y stops it");
    terminal.press("y");
    terminal.waits_for("is asked to stop");
    assert!(catalog.task(lease.task.id).unwrap().cancelled_by.is_some());
    terminal.press("q");
    is_given_back(terminal);
}

#[test]
fn what_is_said_last_stands_last_whoever_says_it() {
    let site = Site::new();
    let catalog = site.catalog();
    let names = ["a-machine-with-a-very-long-name-and-more-of-it", "web02"];
    catalog.set_machines("here", &names.map(machine)).unwrap();
    let tasks = names.map(|name| begin(&catalog, name));
    for (number, lease) in [
        (1, &tasks[1]),
        (2, &tasks[0]),
        (3, &tasks[1]),
        (4, &tasks[0]),
    ] {
        site.clock.advance(std::time::Duration::from_secs(1));
        let line = format!("says {number}");
        catalog.write_log(lease, LogLevel::Note, &line).unwrap();
    }
    let mut terminal = top(&site);
    terminal.waits_for("q quit");
    let places = [1, 2, 3, 4].map(|number| terminal.seen.find(&format!("says {number}")));
    assert!(
        places.is_sorted() && places[0].is_some(),
        "{}",
        terminal.seen
    );
    assert!(
        terminal.seen.contains("a-machine-with-a-v.."),
        "{}",
        terminal.seen
    );
    terminal.press("q");
    is_given_back(terminal);
}

#[test]
fn it_ends_in_order_when_it_is_interrupted() {
    let site = site();
    let mut terminal = top(&site);
    terminal.waits_for("q quit");
    for line in terminal.seen.split("\r\n") {
        assert!(width(line) <= 80, "{line:?}");
    }
    terminal.press("\x03");
    is_given_back(terminal);
}

/// Characters that take room.
fn width(line: &str) -> usize {
    let plain = line
        .split('\x1b')
        .enumerate()
        .map(|(number, piece)| match number {
            0 => piece,
            _ => piece
                .split_once(|c: char| c.is_ascii_alphabetic())
                .map_or("", |it| it.1),
        });
    plain.map(|piece| piece.chars().count()).sum()
}

#[test]
fn where_nothing_can_be_drawn_it_names_the_command_to_use() {
    let site = site();
    let mut dumb = site.command(Path::new("script"));
    dumb.args([
        "-q",
        "-e",
        "-c",
        &format!("{} top", lifeboat().display()),
        "/dev/null",
    ]);
    let drawn = dumb.env("TERM", "dumb").output().unwrap();
    let told = String::from_utf8(drawn.stdout).unwrap();
    assert_eq!(drawn.status.code(), Some(2), "{told}");
    assert!(
        told.contains("lifeboat status") && !told.contains('\x1b'),
        "{told}"
    );
    let output = site.run(&["top"]);
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("lifeboat status"), "{complaint}");
}
