//! A service takes another configuration when one of its files is written, and when it is asked to.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::site::Site;
use crate::trial::lifeboat;

/// Nothing here takes so long unless it is broken.
const LIMIT: Duration = Duration::from_secs(60);

struct Served {
    child: Child,
    lines: Receiver<String>,
}

impl Served {
    fn begin(site: &Site) -> Self {
        let mut command = site.command(lifeboat());
        command.arg("serve").stdin(Stdio::null());
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let (say, lines) = channel();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let say_too = say.clone();
        let said = |stream, say: std::sync::mpsc::Sender<String>| {
            for line in BufReader::<Box<dyn std::io::Read + Send>>::new(stream).lines() {
                let _ = say.send(line.unwrap());
            }
        };
        thread::spawn(move || said(Box::new(out), say));
        thread::spawn(move || said(Box::new(err), say_too));
        Self { child, lines }
    }

    fn waits_for(&self, text: &str) {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(LIMIT) {
            if line.contains(text) {
                return;
            }
            seen.push(line);
        }
        panic!("\"{text}\" never came: {seen:#?}");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const JOB: &str = "[jobs.late]\nplatform = \"here\"\nrepository = \"main\"\npolicy = \"gold\"\n";

#[test]
fn a_file_that_is_included_is_written_in_place_and_somebody_asks() {
    let site = Site::new();
    site.configure("[server]\nlisten = \"127.0.0.1:0\"\n");
    let main = site.path("lifeboat.toml");
    let text = fs::read_to_string(&main).unwrap();
    fs::write(&main, format!("include = [\"jobs/*.toml\"]\n{text}")).unwrap();
    fs::create_dir(site.path("jobs")).unwrap();
    site.write("jobs/late.toml", JOB, 0o600);
    site.init();
    let mut served = Served::begin(&site);
    served.waits_for("serves 2 jobs");

    site.write("jobs/late.toml", &format!("{JOB}enabled = false\n"), 0o600);
    served.waits_for("the configuration was read anew");
    site.write("jobs/third.toml", &JOB.replace("late", "third"), 0o600);
    served.waits_for("the configuration was read anew");

    served.signal("HUP");
    served.waits_for("the configuration is as it was");

    // What it listens on it takes at its start, how often somebody may sign in at once.
    let other = "127.0.0.2:0\"\nlogin_attempts = 5\n";
    let text = fs::read_to_string(&main).unwrap();
    let other = text.replace("127.0.0.1:0\"\n", other);
    fs::write(&main, other).unwrap();
    served.waits_for("what changed in server.listen counts from the next start of the service");

    site.write("jobs/late.toml", &JOB.replace("gold", "silver"), 0o600);
    served.signal("HUP");
    served.waits_for("the configuration before goes on");
    served.waits_for("silver");
    served.signal("TERM");
    served.waits_for("stopped");
    assert!(served.child.wait().unwrap().success());
}
