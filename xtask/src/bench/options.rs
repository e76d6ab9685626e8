//! What `cargo xtask bench` was asked to do.

use std::path::PathBuf;
use std::slice;

use anyhow::{Context, Result, bail};

use super::rows::{ROWS, Row};

/// What is printed for wrong arguments.
pub(crate) const USAGE: &str = "\
usage: cargo xtask bench [OPTIONS]

  --rounds N         how often everything is measured (3)
  --rows A,B         only these rows (all; see --list)
  --peers X,Y        only these peers beside lifeboat, or none (all; see --list)
  --data DIR         where the data set is or will be made (target/bench/data)
  --work DIR         where repositories, logs and results go (target/bench/work);
                     on the file system of the data set
  --lifeboat PROGRAM measure this program instead of building one
  --document FILE    what to write (docs/benchmarks.md)
  --again            measure the wanted rows of the wanted tools anew
  --prepare          only install the peers and make the data set
  --report           only write the document from the results that are there
  --list             only list rows and peers

What was measured stays in results.jsonl in the work folder: a bench that was interrupted goes on
where it was. The program named by LIFEBOAT_BENCH_QUIET is run with the word `before` ahead of each
measurement, and with `after` behind it: it may wait until nothing else works on the machine.";

const ROUNDS: u32 = 3;

/// Which part of the work is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Everything,
    Prepare,
    Report,
    List,
    Help,
}

/// The parsed arguments.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) part: Part,
    pub(crate) is_again: bool,
    pub(crate) rounds: u32,
    pub(crate) rows: Vec<&'static Row>,
    /// `None` stands for all.
    pub(crate) peers: Option<Vec<String>>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) work: Option<PathBuf>,
    pub(crate) lifeboat: Option<PathBuf>,
    pub(crate) document: Option<PathBuf>,
}

impl Options {
    /// Reads the words after `bench`.
    pub(crate) fn parse(words: &[String]) -> Result<Self> {
        let mut options = Self {
            part: Part::Everything,
            is_again: false,
            rounds: ROUNDS,
            rows: ROWS.iter().collect(),
            peers: None,
            data: None,
            work: None,
            lifeboat: None,
            document: None,
        };
        let mut rest = words.iter();
        while let Some(flag) = rest.next() {
            if let Err(error) = options.take(flag, &mut rest) {
                bail!("{flag}: {error:#}\n\n{USAGE}");
            }
        }
        Ok(options)
    }

    fn take(&mut self, flag: &str, rest: &mut slice::Iter<'_, String>) -> Result<()> {
        match flag {
            "--again" => self.is_again = true,
            "--prepare" => self.part = Part::Prepare,
            "--report" => self.part = Part::Report,
            "--list" => self.part = Part::List,
            "--help" | "-h" => self.part = Part::Help,
            _ => {
                let value = rest.next().context("unknown, or its value is missing")?;
                self.set(flag, value)?;
            }
        }
        Ok(())
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<()> {
        match flag {
            "--rounds" => self.rounds = parse_rounds(value)?,
            "--rows" => self.rows = parse_rows(value)?,
            "--peers" => self.peers = Some(parse_peers(value)),
            "--data" => self.data = Some(value.into()),
            "--work" => self.work = Some(value.into()),
            "--lifeboat" => self.lifeboat = Some(value.into()),
            "--document" => self.document = Some(value.into()),
            _ => bail!("unknown argument"),
        }
        Ok(())
    }
}

fn parse_rounds(value: &str) -> Result<u32> {
    match value.parse() {
        Ok(rounds @ 1..) => Ok(rounds),
        _ => bail!("{value} is no count of rounds"),
    }
}

/// `15` stands for all of its parts, `15a` for one.
fn parse_rows(value: &str) -> Result<Vec<&'static Row>> {
    let mut names = Vec::new();
    for name in value.split(',') {
        let is_meant = |row: &Row| row.name == name || row.number() == name;
        if !ROWS.iter().any(is_meant) {
            bail!("there is no row {name}");
        }
        names.extend(ROWS.iter().filter(|row| is_meant(row)).map(|row| row.name));
    }
    Ok(ROWS
        .iter()
        .filter(|row| names.contains(&row.name))
        .collect())
}

fn parse_peers(value: &str) -> Vec<String> {
    let names = value.split(',').filter(|name| *name != "none");
    names.map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options> {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        Options::parse(&words)
    }

    #[test]
    fn rows_come_in_the_order_of_the_table() {
        let names = |rows: &str| {
            let options = parsed(&["--rows", rows]).unwrap();
            options.rows.iter().map(|row| row.name).collect::<Vec<_>>()
        };
        assert_eq!(names("14,1"), ["1", "14"]);
        assert_eq!(names("15"), ["15a", "15b"]);
        assert_eq!(names("15b,15b"), ["15b"]);
    }

    #[test]
    fn nothing_given_means_everything_three_times() {
        let options = parsed(&[]).unwrap();
        assert_eq!((options.rounds, options.rows.len()), (3, ROWS.len()));
        assert_eq!(options.part, Part::Everything);
        assert!(options.peers.is_none());
    }

    #[test]
    fn no_peers_is_a_choice() {
        assert_eq!(
            parsed(&["--peers", "none"]).unwrap().peers.unwrap(),
            [""; 0]
        );
        let two = parsed(&["--peers", "borg,restic"]).unwrap().peers.unwrap();
        assert_eq!(two, ["borg", "restic"]);
    }

    #[test]
    fn wrong_arguments_are_named() {
        for words in [
            &["--rows", "99"][..],
            &["--rounds", "0"],
            &["--rounds"],
            &["--speed", "1"],
        ] {
            let error = format!("{:#}", parsed(words).unwrap_err());
            assert!(error.contains(words[0]), "{error}");
        }
    }
}
