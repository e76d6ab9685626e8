//! The program checks a configuration and shows what schedules mean, without a repository.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::trial::lifeboat;

const CONFIG: &str = r#"include = ["conf.d/*.toml"]
[repositories.main]
place = "/srv/backup"
password_env = "SECRET"
[platforms.local]
uri = "qemu:///system"
[policies.gold]
schedule = "dayly 02:00"
[jobs.web]
platform = "lokal"
repository = "main"
quiesce = "sometimes"
"#;

fn run(words: &[&str]) -> Output {
    let mut command = Command::new(lifeboat());
    command.args(words).env("TZ", "UTC");
    command.env_remove("RESTIC_REPOSITORY").output().unwrap()
}

/// In a folder, with the configuration there, answers on standard input, and variables.
fn run_in(folder: &Path, words: &[&str], answers: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(lifeboat());
    command.args(words).current_dir(folder).env("TZ", "UTC");
    for name in [
        "RESTIC_REPOSITORY",
        "RESTIC_PASSWORD",
        "RESTIC_PASSWORD_FILE",
    ] {
        command.env_remove(name);
    }
    command.env("LIFEBOAT_CONFIG", folder.join("lifeboat.toml"));
    command.envs(variables.iter().copied());
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = pipes.stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // A program that asks nothing may be gone already.
    let _ = pipe.write_all(answers.as_bytes());
    drop(pipe);
    child.wait_with_output().unwrap()
}

fn well(folder: &Path, words: &[&str]) -> String {
    let output = run_in(folder, words, "", &[]);
    let complaint = complaint(&output);
    assert!(output.status.success(), "{words:?}\n{complaint}");
    told(&output)
}

fn complaint(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn refused(folder: &Path, words: &[&str], expected: &str) {
    let output = run_in(folder, words, "", &[]);
    let complaint = complaint(&output);
    assert!(!output.status.success(), "{words:?}");
    assert!(complaint.contains(expected), "{expected}\n{complaint}");
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn value(line: &str, key: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line[key].as_str().unwrap().to_owned()
}

#[test]
fn a_configuration_is_told_all_its_mistakes_and_then_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lifeboat.toml");
    let name = path.to_str().unwrap();
    let validate = ["config", "validate", "--config", name];
    fs::write(&path, CONFIG).unwrap();
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    let more = "[jobs.db]\nplatform = 'local'\nrepository = 'main'\nnice = 'high'\n\
                bandwidth = '0'\nlvm.snapshot_sise = '1G'\n[[jobs.db.on_snapshot]]\n\
                run = ['x']\non_failure = 'maybe'\n";
    fs::write(folder.path().join("conf.d/db.toml"), more).unwrap();
    let output = run(&validate);
    assert_eq!(output.status.code(), Some(1));
    let all = told(&output);
    for mistake in [
        ":8:12: error: policies.gold.schedule: \"dayly 02:00\" is not a schedule",
        ":10:12: error: jobs.web.platform: there is no platform \"lokal\"; did you mean",
        ":12:11: error: jobs.web.quiesce: write never, if_possible or required",
        "conf.d/db.toml:4:8: error: jobs.db.nice: it is a text, and must be a whole number",
        "conf.d/db.toml:5:13: error: jobs.db.bandwidth: write a rate like 100M",
        "conf.d/db.toml:6:5: error: jobs.db.lvm.snapshot_sise: there is no such setting; did you",
        "error: jobs.db.on_snapshot: on_failure is fail, warn or ignore",
        "7 errors",
    ] {
        assert!(all.contains(mistake), "{mistake}\n{all}");
    }
    let sound = CONFIG.replace("dayly", "daily").replace("lokal", "local");
    fs::write(&path, sound.replace("sometimes", "required")).unwrap();
    fs::write(folder.path().join("conf.d/db.toml"), "").unwrap();
    assert!(told(&run(&validate)).contains("it is sound; jobs: 1"));
    let shown = told(&run(&["config", "show", "--config", name]));
    assert!(
        shown.contains("lifeboat.toml:8:12") && shown.contains("usual"),
        "{shown}"
    );
    a_file_that_is_missing_hides_nothing(&path, &sound);
    let absent = run(&["config", "validate", "--config", "/nowhere/lifeboat.toml"]);
    let complaint = String::from_utf8(absent.stderr).unwrap();
    assert!(
        complaint.contains("cannot read the configuration /nowhere"),
        "{complaint}"
    );
}

fn a_file_that_is_missing_hides_nothing(path: &Path, sound: &str) {
    let include = "include = [\"conf.d/*.toml\", \"gone.toml\"]";
    let text = sound.replace("include = [\"conf.d/*.toml\"]", include);
    fs::write(
        path,
        text.replace("platform = \"local\"", "platfrom = \"local\""),
    )
    .unwrap();
    let latin = path.with_file_name("conf.d").join("latin.toml");
    fs::write(&latin, b"# ok\nsite = \"M\xfcnchen\"\n").unwrap();
    let all = told(&run(&[
        "config",
        "validate",
        "--config",
        path.to_str().unwrap(),
    ]));
    for mistake in [
        "lifeboat.toml:1:29: error: include: cannot read the configuration",
        "jobs.web.platfrom: there is no such setting; did you mean 'platform'?",
        "conf.d/latin.toml:2:10: error: it is no text in UTF-8 from here on; save it as UTF-8",
    ] {
        assert!(all.contains(mistake), "{mistake}\n{all}");
    }
}

#[test]
fn what_nothing_here_reaches_is_refused_unless_it_is_only_carried_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lifeboat.toml");
    let validate = ["config", "validate", "--config", path.to_str().unwrap()];
    let written = |place: &str, uri: &str| {
        let text = format!(
            "[repositories.main]\nplace = \"{place}\"\npassword_env = \"SECRET\"\n\
             [platforms.local]\nuri = \"{uri}\"\n"
        );
        fs::write(&path, &text).unwrap();
        text
    };
    for (place, uri, expected) in [
        (
            "",
            "test:///default",
            ":2:9: error: repositories.main.place: ",
        ),
        (
            "sftp:u@h:/bar",
            "self:",
            "sftp: is not supported yet; use a directory",
        ),
        (
            "/srv",
            "qemuu:///system",
            ":5:7: error: platforms.local.uri: ",
        ),
        ("/srv", "lvm:", "write volumes as GROUP/VOLUME"),
        ("/srv", "plain:rel.img", "write paths that begin with /"),
    ] {
        written(place, uri);
        let all = told(&run(&validate));
        assert!(
            all.contains(expected) && all.contains("1 error"),
            "{expected}\n{all}"
        );
    }
    let text = written("s3:https://h/b", "https://engine/ovirt-engine");
    let marked = text.replace("uri =", "carried_over = \"theirs\"\nuri =");
    let marked = marked.replace("place =", "carried_over = \"theirs\"\nplace =");
    fs::write(&path, marked).unwrap();
    let all = told(&run(&validate));
    assert_eq!(
        all.matches("carried over, not carried out yet").count(),
        2,
        "{all}"
    );
    assert!(all.contains("it is sound"), "{all}");
}

#[test]
fn schedules_are_listed_and_played() {
    let from = ["--from", "2026-03-28T00:00", "--zone", "Europe/Berlin"];
    let preview = [
        "--json", "schedule", "preview", "daily", "02:30", "--count", "2",
    ];
    let shown = told(&run(&[&preview[..], &from].concat()));
    let planned: Vec<_> = shown.lines().map(|line| value(line, "planned")).collect();
    // The clocks leave the hour of the second run out.
    assert_eq!(planned, ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z"]);
    let simulate = [
        "schedule",
        "simulate",
        "daily",
        "02:30",
        "--days",
        "30",
        "--keep-daily",
        "7",
    ];
    let shown = told(&run(&[&simulate[..], &from].concat()));
    assert!(
        shown.contains("30 runs; 7 recovery points left, 7 at most at once"),
        "{shown}"
    );
    let refused = run(&["schedule", "simulate", "daily", "02:30"]);
    assert_eq!(refused.status.code(), Some(22));
}

#[test]
fn a_job_of_the_configuration_is_listed_and_played_as_it_stands_there() {
    let folder = tempfile::tempdir().unwrap();
    let text = CONFIG
        .replace(
            "dayly 02:00\"",
            "daily 02:00\"\nkeep_daily = 5\nzone = \"Europe/Berlin\"",
        )
        .replace("\"lokal\"", "\"local\"\npolicy = \"gold\"")
        .replace("quiesce = \"sometimes\"\n", "");
    fs::write(folder.path().join("lifeboat.toml"), text).unwrap();
    let from = ["--from", "2026-03-28T00:00:00Z"];
    let preview = ["--json", "schedule", "preview", "@web", "--count", "2"];
    let shown = well(folder.path(), &[&preview[..], &from].concat());
    let planned: Vec<_> = shown.lines().map(|line| value(line, "planned")).collect();
    assert_eq!(planned, ["2026-03-28T01:00:00Z", "2026-03-29T01:00:00Z"]);
    let simulate = ["schedule", "simulate", "@web", "--days", "30"];
    let shown = well(folder.path(), &[&simulate[..], &from].concat());
    assert!(shown.contains("5 recovery points left"), "{shown}");
    let what_if = [&simulate[..], &from, &["--keep-last", "2"]].concat();
    let shown = well(folder.path(), &what_if);
    assert!(shown.contains("2 recovery points left"), "{shown}");
    let unknown = ["schedule", "preview", "@wob"];
    refused(folder.path(), &unknown, "did you mean @web?");
}

#[test]
fn the_published_schema_and_the_example_are_those_of_the_program() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating");
    let published = fs::read_to_string(docs.join("lifeboat.schema.json")).unwrap();
    assert!(
        told(&run(&["config", "schema"])) == published,
        "write it anew: lifeboat config schema > docs/operating/lifeboat.schema.json"
    );
    let example = docs.join("lifeboat.example.toml");
    let validate = ["--config", example.to_str().unwrap(), "config", "validate"];
    let output = run(&validate);
    assert!(
        told(&output).contains("it is sound; jobs: 1"),
        "{}",
        told(&output)
    );
}

#[test]
fn a_configuration_is_generated_and_its_names_lead_to_everything() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("disk.img"), vec![7; 300_000]).unwrap();
    let platform = format!("plain:{}", folder.join("disk.img").display());
    let generate = [
        "config",
        "generate",
        "-P",
        &platform,
        "--repository",
        "backup",
    ];
    let shown = well(folder, &generate);
    assert!(shown.contains("machine backup --job @local"), "{shown}");
    let password = folder.join("main.password");
    let mode = fs::metadata(&password).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    refused(
        folder,
        &generate,
        "lifeboat.toml is there already (its jobs: local)",
    );
    assert!(well(folder, &["config", "validate"]).contains("it is sound; jobs: 1"));
    assert!(well(folder, &["machine", "ls", "-P", "@local"]).contains("disk.img"));
    well(folder, &["machine", "backup", "--job", "@local"]);
    assert!(well(folder, &["snapshots", "-r", "@main"]).contains("1 snapshot"));
    refused(folder, &["snapshots", "-r", "@mian"], "did you mean @main?");
    refused(
        folder,
        &["machine", "backup", "--job", "@x"],
        "it has: local",
    );
    // What is wrong elsewhere does not matter; what is wrong with the entry does.
    let path = folder.join("lifeboat.toml");
    let sound = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        format!("{sound}[policies.bad]\nkeep_daily = \"x\"\n"),
    )
    .unwrap();
    assert!(well(folder, &["snapshots", "-r", "@main"]).contains("1 snapshot"));
    fs::write(&path, sound.replace("place =", "plaice =")).unwrap();
    refused(
        folder,
        &["snapshots", "-r", "@main"],
        "@main cannot be used",
    );
    fs::write(&path, &sound).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
    refused(
        folder,
        &["snapshots", "-r", "@main"],
        "is open to everybody (mode 644)",
    );
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    secrets_have_four_ways(folder, &sound);
}

#[test]
fn a_repository_that_is_there_keeps_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("disk.img"), vec![7; 1000]).unwrap();
    fs::write(folder.join("theirs"), "geheim\n").unwrap();
    fs::set_permissions(folder.join("theirs"), fs::Permissions::from_mode(0o600)).unwrap();
    let right = [("RESTIC_PASSWORD", "geheim")];
    let made = run_in(folder, &["init", "-r", "backup"], "", &right);
    assert!(made.status.success(), "{}", complaint(&made));
    let platform = format!("plain:{}", folder.join("disk.img").display());
    let generate = |more: &[&str], variables: &[(&str, &str)]| {
        let words = [
            "config",
            "generate",
            "-P",
            &platform,
            "--repository",
            "backup",
        ];
        run_in(folder, &[&words[..], more].concat(), "", variables)
    };
    let beside = ["-o", "other/l.toml"];
    let untold = generate(&beside, &[]);
    let complained = complaint(&untold);
    assert!(
        complained.contains("-p FILE names the file of its password"),
        "{complained}"
    );
    let wrong = generate(&beside, &[("RESTIC_PASSWORD", "other")]);
    assert_eq!(wrong.status.code(), Some(12), "{}", complaint(&wrong));
    assert_eq!(fs::read_dir(folder.join("other")).unwrap().count(), 0);
    let named = generate(&["-p", "theirs", "-o", "other/l.toml"], &[]);
    assert!(named.status.success(), "{}", complaint(&named));
    let text = fs::read_to_string(folder.join("other/l.toml")).unwrap();
    assert!(
        text.contains(folder.join("theirs").to_str().unwrap()),
        "{text}"
    );
    assert_eq!(fs::read_dir(folder.join("other")).unwrap().count(), 1);
    let known = generate(&["-o", "third/l.toml"], &right);
    assert!(known.status.success(), "{}", complaint(&known));
    let written = fs::read_to_string(folder.join("third/main.password")).unwrap();
    assert_eq!(written, "geheim\n");
    let gone = platform.replace("disk.img", "gone.img");
    let words = [
        "config", "generate", "-P", &gone, "-r", "new", "-o", "new.toml",
    ];
    refused(folder, &words, "gone.img: No such file");
    assert!(!folder.join("new.toml").exists() && !folder.join("new").exists());
}

fn secrets_have_four_ways(folder: &Path, sound: &str) {
    let secret = fs::read_to_string(folder.join("main.password")).unwrap();
    let line = sound
        .lines()
        .find(|it| it.starts_with("password_file"))
        .unwrap();
    let snapshots = ["snapshots", "-r", "@main"];
    let place = folder.to_str().unwrap();
    for (way, variables, missing) in [
        (
            "password_env = \"THEIRS\"",
            [("THEIRS", secret.trim())],
            "the variable THEIRS is not set",
        ),
        (
            "password_credential = \"main.password\"",
            [("CREDENTIALS_DIRECTORY", place)],
            "CREDENTIALS_DIRECTORY is not set",
        ),
        (
            "password_command = [\"cat\", \"main.password\"]",
            [("X", "")],
            "",
        ),
    ] {
        fs::write(folder.join("lifeboat.toml"), sound.replace(line, way)).unwrap();
        let output = run_in(folder, &snapshots, "", &variables);
        assert!(
            told(&output).contains("1 snapshot"),
            "{way}\n{}",
            complaint(&output)
        );
        if !missing.is_empty() {
            refused(folder, &snapshots, missing);
        }
    }
    let failing = sound.replace(line, "password_command = [\"false\"]");
    fs::write(folder.join("lifeboat.toml"), failing).unwrap();
    refused(folder, &snapshots, "from the command false: it failed");
}

#[test]
fn the_wizard_asks_little_and_writes_only_what_was_agreed_to() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("disk.img"), vec![7; 1000]).unwrap();
    let platform = format!("plain:{}", folder.join("disk.img").display());
    let wizard = ["config", "generate", "--wizard", "-P", &platform];
    let place = folder.join("backup");
    let answers = format!("\n{}\nnever\nweekdays 03:00\n", place.display());
    let ended = run_in(folder, &wizard, &answers, &[]);
    assert!(complaint(&ended).contains("was not answered; nothing was written"));
    let no = run_in(folder, &wizard, &format!("{answers}no\n"), &[]);
    assert!(
        told(&no).contains("nothing was written"),
        "{}",
        complaint(&no)
    );
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    let yes = run_in(folder, &wizard, &format!("{answers}yes\n"), &[]);
    assert!(
        told(&yes).contains("opened the repository"),
        "{}",
        complaint(&yes)
    );
    assert!(
        complaint(&yes).contains("is not a schedule"),
        "{}",
        complaint(&yes)
    );
    let shown = well(folder, &["config", "show"]);
    assert!(shown.contains("weekdays 03:00"), "{shown}");
}

#[test]
fn settings_of_restic_are_taken_over_with_their_repository() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let place = folder.join("repo");
    let settings = format!(
        "export RESTIC_REPOSITORY={}\nexport RESTIC_PASSWORD='ge heim'\nRESTIC_HOST=x\n",
        place.display()
    );
    fs::write(folder.join("restic.env"), &settings).unwrap();
    let theirs = [("RESTIC_PASSWORD", "ge heim")];
    let made = run_in(
        folder,
        &["init", "-r", place.to_str().unwrap()],
        "",
        &theirs,
    );
    assert!(made.status.success(), "{}", complaint(&made));
    let import = ["config", "import", "restic.env", "-o", "lifeboat.toml"];
    let output = run_in(folder, &import, "", &[]);
    assert!(output.status.success(), "{}", complaint(&output));
    let note = "restic.env:3:1: warning: RESTIC_HOST: carried over";
    assert!(complaint(&output).contains(note), "{}", complaint(&output));
    let text = fs::read_to_string(folder.join("lifeboat.toml")).unwrap();
    assert!(!text.contains("ge heim"), "{text}");
    let validated = well(folder, &["config", "validate"]);
    assert!(validated.contains("not carried out yet"), "{validated}");
    assert!(
        well(folder, &["list", "keys", "-r", "@main"])
            .lines()
            .count()
            == 1
    );
    refused(folder, &import, "is there already: --force replaces it");
    fs::write(folder.join("restic.env"), format!("{settings}A=$(id)\n")).unwrap();
    let broken = ["config", "import", "restic.env", "-o", "other.toml"];
    let output = run_in(folder, &broken, "", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("restic.env:4:1: error: A: only a shell knows"));
    assert!(!folder.join("other.toml").exists());
}
