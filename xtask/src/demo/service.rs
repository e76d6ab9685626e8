//! The service for a moment: a job of a configuration, who carries it out, and how everything is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::lifeboat::{Lifeboat, PASSWORD, REPOSITORY};
use crate::narrator::Narrator;
use crate::process;

const CONFIGURATION: &str = "lifeboat.toml";
const JOB: &str = "nightly";
/// Where the service listens unless somebody else does.
const USUAL_PORT: u16 = 8443;
/// Much more than a busy computer needs.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(100);

/// A service that runs until this is dropped.
pub(crate) struct Service<'l> {
    lifeboat: &'l Lifeboat,
    child: Child,
}

impl Lifeboat {
    /// Writes a configuration with one job, which reads a disk of this computer.
    pub(crate) fn configure(&self, narrator: &mut Narrator, disk: &Path) -> Result<()> {
        let folder = self.folder.display();
        let secret = self.folder.join("password");
        fs::write(&secret, format!("{PASSWORD}\n")).context("writing the password")?;
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))
            .context("closing the password to others")?;
        let free = |port| TcpListener::bind(port)?.local_addr();
        let listen = free(("127.0.0.1", USUAL_PORT)).or_else(|_| free(("127.0.0.1", 0)));
        let listen = listen.context("looking for a free port")?;
        let text = format!(
            "[repositories.main]\nplace = \"{folder}/{REPOSITORY}\"\n\
             password_file = \"{folder}/password\"\n[platforms.here]\nuri = \"plain:{}\"\n\
             [policies.daily]\nschedule = \"daily 02:00\"\nkeep_daily = 7\nrpo = \"26h\"\n\
             [jobs.{JOB}]\nplatform = \"here\"\nrepository = \"main\"\npolicy = \"daily\"\n\
             [server]\nlisten = \"{listen}\"\nstate = \"{folder}/state\"\n",
            disk.display()
        );
        fs::write(self.folder.join(CONFIGURATION), text).context("writing a configuration")?;
        narrator.command(&format!("export LIFEBOAT_CONFIG={CONFIGURATION}"));
        self.told(narrator, &["config", "validate"])
    }

    /// Starts the service and waits until it answers.
    pub(crate) fn serve(&self, narrator: &mut Narrator) -> Result<Service<'_>> {
        narrator.command("lifeboat serve &");
        let began = Instant::now();
        let log = self.folder.join("serve.log");
        let errors = fs::File::create(&log).context("creating the service's log")?;
        let mut command = self.configured(&["serve"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.stderr(errors).spawn();
        let mut service = Service {
            lifeboat: self,
            child: child.context("starting the service")?,
        };
        let words = service.child.stdout.take().context("it has no output")?;
        for line in BufReader::new(words).lines() {
            let line = line.context("listening to the service")?;
            if line.contains(" serves https://") {
                narrator.output(&line);
                narrator.done("serve answers", began.elapsed());
                return Ok(service);
            }
        }
        let said = fs::read_to_string(log).unwrap_or_default();
        bail!("the service has ended: {said}")
    }

    /// Shows a command of the configuration, and what it answered.
    fn told(&self, narrator: &mut Narrator, words: &[&str]) -> Result<()> {
        narrator.command(&format!("lifeboat {}", words.join(" ")));
        let answer = process::output(&mut self.configured(words))?;
        let folder = format!("{}/", self.folder.display());
        narrator.output(&answer.replace(&folder, ""));
        Ok(())
    }

    fn configured(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).args(words);
        command.env("LIFEBOAT_CONFIG", self.folder.join(CONFIGURATION));
        command
    }
}

impl Service<'_> {
    /// Asks for a run, which the service carries out, waits for its end, and shows how all is.
    pub(crate) fn run_job(&self, narrator: &mut Narrator) -> Result<Duration> {
        let began = Instant::now();
        self.lifeboat.told(narrator, &["run", JOB, "--detach"])?;
        while self.is_open()? {
            ensure!(began.elapsed() < PATIENCE, "the run does not end");
            std::thread::sleep(PAUSE);
        }
        let elapsed = began.elapsed();
        narrator.done("the service has carried it out", elapsed);
        self.lifeboat.told(narrator, &["status"])?;
        Ok(elapsed)
    }

    fn is_open(&self) -> Result<bool> {
        let answer = process::output(&mut self.lifeboat.configured(&["--json", "status"]));
        // It also fails where a promise is missed, as before the first run.
        let Ok(answer) = answer else { return Ok(true) };
        let status: Value = serde_json::from_str(&answer).context("reading the status")?;
        Ok(match status["jobs"][0]["last"]["state"].as_str() {
            None | Some("open") => true,
            Some("succeeded") => false,
            Some(state) => bail!("the run has {state}"),
        })
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        // It gives back what it holds, and ends.
        let _ = Command::new("kill").args(["-s", "TERM", &pid]).status();
        let _ = self.child.wait();
    }
}
