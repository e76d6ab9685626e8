//! The two databases that every promise is kept in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use lifeboat_catalog::{
    Action, Catalog, CatalogPlace, Cause, Lane, Lease, LeaseOffer, NewRun, NewTask,
};
use lifeboat_model::Clock;
use lifeboat_testkit::ManualClock;
use lifeboat_testkit::postgres::Server;
use postgres::NoTls;
use std::time::Duration;
use tempfile::TempDir;

/// An empty database.
pub(crate) struct Bed {
    pub(crate) place: CatalogPlace,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) folder: TempDir,
}

/// A way past the catalog.
pub(crate) enum Raw {
    Sqlite(rusqlite::Connection),
    Postgres(Box<postgres::Client>),
}

/// A row of the audit log as it is stored.
pub(crate) type SealedRow = (i64, String, Vec<u8>);

/// Runs a test on each database.
pub(crate) fn on_both(test: impl Fn(&Bed)) {
    test(&Bed::sqlite());
    if let Some(bed) = Bed::postgres() {
        test(&bed);
    }
}

impl Bed {
    pub(crate) fn sqlite() -> Self {
        // Killed processes lose nothing of a file in memory either.
        let memory = Path::new("/dev/shm");
        match memory.is_dir() {
            true => Self::sqlite_in(tempfile::tempdir_in(memory).unwrap()),
            false => Self::on_disk(),
        }
    }

    /// SQLite on a disk that takes its time.
    pub(crate) fn on_disk() -> Self {
        Self::sqlite_in(tempfile::tempdir().unwrap())
    }

    fn sqlite_in(folder: TempDir) -> Self {
        let place = CatalogPlace::File(folder.path().join("catalog.sqlite"));
        Self::of(place, folder)
    }

    pub(crate) fn postgres() -> Option<Self> {
        let url = Server::shared()?.database();
        let place = CatalogPlace::parse(&url, None).unwrap();
        Some(Self::of(place, tempfile::tempdir().unwrap()))
    }

    fn of(place: CatalogPlace, folder: TempDir) -> Self {
        let clock = Arc::new(ManualClock::default());
        Self {
            place,
            clock,
            folder,
        }
    }

    /// Another connection, as of another node.
    pub(crate) fn open(&self) -> Catalog {
        let clock = self.clock.clone();
        Catalog::open_judged(&self.place, clock.clone(), clock).unwrap()
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn now(&self) -> Timestamp {
        let now = self.clock.now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap()
    }

    /// As words that [`CatalogPlace::parse`] reads.
    pub(crate) fn words(&self) -> String {
        match &self.place {
            CatalogPlace::File(path) => format!("sqlite:{}", path.display()),
            CatalogPlace::Server { url, .. } => url.clone(),
        }
    }

    pub(crate) fn raw(&self) -> Raw {
        match &self.place {
            CatalogPlace::File(path) => Raw::sqlite(path),
            CatalogPlace::Server { url, .. } => {
                Raw::Postgres(Box::new(postgres::Client::connect(url, NoTls).unwrap()))
            }
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        match &self.place {
            CatalogPlace::File(path) => path.clone(),
            CatalogPlace::Server { url, .. } => panic!("{url} is no file"),
        }
    }
}

impl Raw {
    pub(crate) fn sqlite(path: &Path) -> Self {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        Self::Sqlite(connection)
    }

    pub(crate) fn execute(&mut self, statements: &str) {
        match self {
            Self::Sqlite(connection) => connection.execute_batch(statements).unwrap(),
            Self::Postgres(client) => client.batch_execute(statements).unwrap(),
        }
    }

    /// The first column of the first row.
    pub(crate) fn text(&mut self, statement: &str) -> String {
        match self {
            Self::Sqlite(connection) => {
                let text = connection.query_row(statement, [], |row| row.get(0));
                text.unwrap()
            }
            Self::Postgres(client) => client.query_one(statement, &[]).unwrap().get(0),
        }
    }

    pub(crate) fn sealed_rows(&mut self) -> Vec<SealedRow> {
        let statement = "SELECT number, body, mac FROM audit ORDER BY number";
        match self {
            Self::Sqlite(connection) => {
                let mut prepared = connection.prepare(statement).unwrap();
                let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                let rows = prepared.query_map([], row).unwrap();
                rows.map(Result::unwrap).collect()
            }
            Self::Postgres(client) => {
                let rows = client.query(statement, &[]).unwrap();
                let row = |row: &postgres::Row| (row.get(0), row.get(1), row.get(2));
                rows.iter().map(row).collect()
            }
        }
    }

    pub(crate) fn set_sealed_rows(&mut self, rows: &[SealedRow]) {
        let mut statements = "BEGIN; DELETE FROM audit;".to_owned();
        let is_sqlite = matches!(self, Self::Sqlite(_));
        for (number, body, mac) in rows {
            let digits: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            let mac = match is_sqlite {
                true => format!("X'{digits}'"),
                false => format!("'\\x{digits}'"),
            };
            let body = body.replace('\'', "''");
            statements += &format!(
                "INSERT INTO audit (number, body, mac) VALUES ({number}, '{body}', {mac});"
            );
        }
        self.execute(&(statements + "COMMIT;"));
    }
}

/// A task of one attempt.
pub(crate) fn task(subject: &str, stage: u32) -> NewTask {
    NewTask {
        action: Action::Backup,
        subject: subject.to_owned(),
        words: vec!["machine".into(), "backup".into(), subject.to_owned()],
        stage,
        lanes: Vec::new(),
        attempts_max: 1,
        retry_seconds: 60,
    }
}

pub(crate) fn lane(name: &str, most: u32) -> Lane {
    let name = name.to_owned();
    Lane { name, most }
}

pub(crate) fn run(job: &str, planned: Option<Timestamp>, tasks: Vec<NewTask>) -> NewRun {
    NewRun {
        job: job.to_owned(),
        planned,
        cause: Cause::Schedule,
        requested_by: "schedule".into(),
        tasks,
    }
}

/// What a node gets that takes everything, for 30 seconds.
pub(crate) fn leased(catalog: &Catalog, node: &str, count: u32) -> Vec<Lease> {
    let offer = LeaseOffer {
        node,
        hold: Duration::from_secs(30),
        count,
        run: None,
    };
    catalog.lease(&offer).unwrap()
}

pub(crate) fn subjects(leases: &[Lease]) -> Vec<&str> {
    leases.iter().map(|it| it.task.subject.as_str()).collect()
}

/// This test binary again, for one test that finds `value` under `variable`.
pub(crate) fn child(test: &str, variable: &str, value: &str) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command.env(variable, value);
    command.stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::piped());
    command
}
