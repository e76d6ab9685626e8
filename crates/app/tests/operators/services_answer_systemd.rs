//! `lifeboat serve` tells systemd how it is, reads its configuration anew when it is asked to, and
//! goes on with its own program when another one has taken its place.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use lifeboat_catalog::{Catalog, RunId, RunState, TaskFilter, TaskState};
use lifeboat_testkit::free_port;

use super::packages_come_and_go::well;
use super::site::Site;
use crate::trial::lifeboat;

/// Nothing here takes so long unless it is broken.
const LIMIT: Duration = Duration::from_secs(120);

/// A service, its words, and what hears its states.
struct Service {
    child: Child,
    words: BufReader<ChildStdout>,
    states: UnixDatagram,
    port: u16,
}

impl Service {
    fn start(site: &Site) -> Self {
        let port = free_port();
        let states = UnixDatagram::bind(site.path("notify")).unwrap();
        states.set_read_timeout(Some(LIMIT)).unwrap();
        let program = site.path("program");
        fs::hard_link(lifeboat(), &program)
            .or_else(|_| fs::copy(lifeboat(), &program).map(drop))
            .unwrap();
        let mut command = site.command(&program);
        command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]);
        command.env("NOTIFY_SOCKET", site.path("notify"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let words = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            words,
            states,
            port,
        }
    }

    fn state(&self) -> String {
        let mut bytes = [0; 1024];
        let count = self.states.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    fn says(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            let count = self.words.read_line(&mut line).unwrap();
            assert_ne!(count, 0, "it ended before it said: {text}");
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        well(Command::new("kill").args(["-s", name, &pid]));
    }
}

#[test]
fn it_says_when_it_answers_reads_anew_and_ends() {
    let site = Site::new();
    site.init();
    let mut service = Service::start(&site);
    let state = service.state();
    assert!(state.starts_with("READY=1\nSTATUS=1 job of /"), "{state}");
    TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    service.says("there is no user yet");
    service.signal("HUP");
    service.says("the configuration is as it was");
    site.configure("[jobs.more]\nplatform = \"here\"\nrepository = \"main\"\n");
    service.signal("HUP");
    service.says("the configuration was read anew");
    // An upgrade has put another program there.
    fs::remove_file(site.path("program")).unwrap();
    let catalog = site.catalog();
    let output = site.run(&["run", "--detach", "more"]);
    assert!(output.status.success(), "{output:?}");
    let began = std::time::Instant::now();
    let run = newest(&catalog);
    while catalog.run(run).unwrap().state == RunState::Open {
        assert!(began.elapsed() < LIMIT);
        std::thread::sleep(Duration::from_millis(100));
    }
    let filter = TaskFilter {
        run: Some(run),
        ..TaskFilter::default()
    };
    for task in catalog.tasks(&filter).unwrap() {
        assert_eq!(task.state, TaskState::Succeeded, "{task:?}");
    }
    service.signal("TERM");
    assert!(service.state().starts_with("STOPPING=1\n"));
    assert!(service.child.wait().unwrap().success());
}

fn newest(catalog: &Catalog) -> RunId {
    let mut runs = catalog.newest_runs().unwrap().into_iter();
    runs.find(|run| run.job == "more").unwrap().id
}
