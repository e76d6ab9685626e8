//! What real programs answered, kept to be asked again without them.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_disk::{DiskReader, DiskWriter, ImageFormat};
use lifeboat_lvm::{Answer, Command, LockGuard, System};
use lifeboat_model::ErrorKind;
use lifeboat_platform::{Error, Result};
use lifeboat_testkit::{MappedDisk, Mapping, PatternDisk};
use serde_json::{Value, json};

use crate::inside::SIZE;

/// Writes down what is asked and answered, act by act.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    act: Mutex<String>,
    lines: Mutex<Vec<Value>>,
}

impl Recorder {
    pub(crate) fn begin(&self, act: &str) {
        *self.act.lock().unwrap() = act.to_owned();
    }

    /// One exchange a line.
    pub(crate) fn written(&self) -> Vec<u8> {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .flat_map(|line| format!("{line}\n").into_bytes())
            .collect()
    }

    pub(crate) fn over(self: Arc<Self>, inner: Arc<dyn System>) -> Arc<dyn System> {
        Arc::new(Recorded {
            recorder: self,
            inner,
        })
    }
}

#[derive(Debug)]
struct Recorded {
    recorder: Arc<Recorder>,
    inner: Arc<dyn System>,
}

impl System for Recorded {
    fn run(&self, command: &Command) -> Result<Answer> {
        let answer = self.inner.run(command)?;
        let line = json!({
            "act": *self.recorder.act.lock().unwrap(),
            "command": command.to_string(),
            "code": answer.code,
            "output": String::from_utf8_lossy(&answer.output),
            "errors": answer.errors,
        });
        self.recorder.lines.lock().unwrap().push(line);
        Ok(answer)
    }

    fn device_number(&self, path: &Path) -> Option<(u32, u32)> {
        self.inner.device_number(path)
    }

    fn mounted_devices(&self) -> Result<BTreeSet<(u32, u32)>> {
        self.inner.mounted_devices()
    }

    fn open(&self, path: &Path, format: ImageFormat) -> Result<Arc<dyn DiskReader>> {
        self.inner.open(path, format)
    }

    fn open_for_writing(&self, path: &Path, size: u64) -> Result<Arc<dyn DiskWriter>> {
        self.inner.open_for_writing(path, size)
    }

    fn read_uncached(&self, path: &Path, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.inner.read_uncached(path, offset, length)
    }

    fn lock(&self, name: &str, patience: Duration) -> Result<Option<LockGuard>> {
        self.inner.lock(name, patience)
    }
}

type Twist = Box<dyn Fn(&str, Answer) -> Answer + Send + Sync>;

/// Answers as a recording did. Beyond it, a question for one volume is answered from the last
/// report of all, and a removal succeeds.
pub(crate) struct Replay {
    left: Mutex<Vec<Value>>,
    asked: Mutex<Vec<String>>,
    report: Mutex<Value>,
    twist: Twist,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replay({:?})", self.asked.lock().unwrap())
    }
}

impl Replay {
    /// The exchanges of an act; `twist` may change answers.
    pub(crate) fn of(act: &str, twist: Twist) -> Arc<Self> {
        let text = include_str!("data/lvm-2.03.16.jsonl");
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let left: Vec<Value> = lines.filter(|line| line["act"] == act).collect();
        assert!(!left.is_empty(), "nothing is recorded of {act}");
        Arc::new(Self {
            left: Mutex::new(left),
            asked: Mutex::default(),
            report: Mutex::default(),
            twist,
        })
    }

    fn beyond(&self, command: &str) -> Answer {
        let name = command.rsplit(' ').next().unwrap();
        let rows = self.report.lock().unwrap()["report"][0]["lv"].clone();
        let is_it = |row: &&Value| match (row["vg_name"].as_str(), row["lv_name"].as_str()) {
            (Some(group), Some(volume)) => format!("{group}/{volume}") == name,
            _ => false,
        };
        let rows: Vec<&Value> = rows
            .as_array()
            .into_iter()
            .flatten()
            .filter(is_it)
            .collect();
        let output = match command.starts_with("lvm lvs") {
            true => json!({"report": [{"lv": rows}]}).to_string(),
            false => String::new(),
        };
        let is_known = !rows.is_empty() || command.starts_with("lvm lvremove");
        assert!(is_known, "{command} was not recorded");
        Answer {
            code: Some(0),
            output: output.into_bytes(),
            errors: String::new(),
        }
    }

    /// Every command so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl System for Replay {
    fn run(&self, command: &Command) -> Result<Answer> {
        let command = command.to_string();
        self.asked.lock().unwrap().push(command.clone());
        let mut left = self.left.lock().unwrap();
        let found = left
            .iter()
            .position(|line| line["command"] == command.as_str());
        let Some(found) = found else {
            return Ok(self.beyond(&command));
        };
        let line = left.remove(found);
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        let answer = Answer {
            code: line["code"].as_i64().map(|code| code as i32),
            output: text("output").into_bytes(),
            errors: text("errors"),
        };
        if command.starts_with("lvm lvs") {
            let report = serde_json::from_slice(&answer.output).unwrap_or_default();
            *self.report.lock().unwrap() = report;
        }
        Ok((self.twist)(&command, answer))
    }

    fn device_number(&self, _: &Path) -> Option<(u32, u32)> {
        None
    }

    fn mounted_devices(&self) -> Result<BTreeSet<(u32, u32)>> {
        Ok(BTreeSet::new())
    }

    /// A disk of the size that was recorded, whose first byte cannot be read.
    fn open(&self, _: &Path, _: ImageFormat) -> Result<Arc<dyn DiskReader>> {
        let disk = MappedDisk::new(PatternDisk::empty(SIZE), Mapping::AllData);
        Ok(Arc::new(disk.failing_at(0)))
    }

    fn open_for_writing(&self, path: &Path, _: u64) -> Result<Arc<dyn DiskWriter>> {
        let path = path.display().to_string();
        Err(Error::new(
            ErrorKind::Unsupported,
            "writing a recording",
            path,
        ))
    }

    fn read_uncached(&self, path: &Path, _: u64, _: usize) -> Result<Vec<u8>> {
        let path = path.display().to_string();
        Err(Error::new(
            ErrorKind::Unsupported,
            "reading a recording",
            path,
        ))
    }

    fn lock(&self, _: &str, _: Duration) -> Result<Option<LockGuard>> {
        Ok(Some(Box::new(())))
    }
}
