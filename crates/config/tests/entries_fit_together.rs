//! Names lead somewhere, promises can be kept, and no secret stands in the file or is shown.

use std::time::Duration;

use lifeboat_config::{
    CatalogPlace, CheckData, Loaded, NoticeSeverity, PerRun, PingFailure, PingMethod, SecretSource,
    SourceFile, TargetKind, ValueSource, read,
};
use lifeboat_policy::Brake;

use crate::findings_say_where_and_what::Capture;

const BASE: &str = r#"
[repositories.main]
place = "/srv/backup"
password_env = "A"
[repositories.second]
place = "/srv/second"
password_env = "B"
[platforms.local]
uri = "qemu:///system"
[jobs.web]
platform = "local"
repository = "main"
"#;

fn with(text: &str) -> Loaded<Capture> {
    read(&[SourceFile {
        name: "f".to_owned(),
        text: format!("{BASE}{text}"),
    }])
}

fn told(loaded: &Loaded<Capture>) -> Vec<String> {
    let findings = loaded.findings.iter();
    findings
        .map(|it| it.to_string().split_once(": ").unwrap().1.to_owned())
        .collect()
}

#[test]
fn a_promise_of_copies_needs_repositories_and_a_policy_needs_a_job() {
    let policy = "policy = 'gold'\n[policies.gold]\ncopies = 2\n[policies.odd]\nkeep_last = 1\n";
    assert_eq!(
        told(&with(policy)),
        [
            "warning: jobs.web.policy: its policy promises 2 copies, and it names one repository; \
             write copies_to = [\"REPOSITORY\"]",
            "warning: policies.odd: no job uses it; write policy = \"odd\" in a job, or remove it"
        ]
    );
    let policy = "policy = 'gold'\ncopies_to = 'second'\n[policies.gold]\ncopies = 2\n";
    assert_eq!(told(&with(policy)), [""; 0]);
    assert_eq!(
        told(&with("copies_to = ['secnd', 'main']\n")),
        [
            "error: jobs.web.copies_to: it names the job's own repository; \
                 name others: the job's points are there already",
            "error: jobs.web.copies_to: there is no repository \"secnd\"; did you mean \"second\"?"
        ]
    );
}

#[test]
fn promises_that_the_schedule_or_the_limits_break_are_told() {
    let policy = |text: &str| format!("policy = 'p'\n[policies.p]\nzone = 'Europe/Berlin'\n{text}");
    let weekly = "schedule = 'weekly sun 02:00'\nrpo = '26h'\nverify = 'weekly sun 06:00'\n\
                  proof = '7d'\nkeep_daily = 7\nkeep_yearly = 'unlimited'\nmax_age = '2d'\n";
    assert_eq!(
        told(&with(&policy(weekly))),
        [
            "warning: policies.p.rpo: runs begin up to 7d1h apart, so it will be missed; \
             write more than that, or a schedule with more runs",
            "warning: policies.p.proof: points are read back up to 7d1h apart, so it will be \
             missed; write more than that, or read back more often",
            "warning: policies.p.keep_daily: the oldest of them go earlier: max_age is 2d; \
             write a longer max_age, or keep fewer"
        ]
    );
    let kept = "schedule = 'daily 02:00'\nrpo = '26h'\njitter = '30m'\nmax_age = '6d'\n\
                keep_daily = 7\nverify = 'weekly sun 06:00'\nproof = '8d'\n";
    assert_eq!(told(&with(&policy(kept))), [""; 0]);
    for (text, expected) in [
        (
            "schedule = 'every 1h'\nblackouts = ['sat, sun 00:00-00:00']\nrpo = '48h'\n",
            "warning: policies.p.rpo: runs begin up to 2d1h apart, so it will be missed; \
             write more than that, or a schedule with more runs",
        ),
        (
            "schedule = 'daily 02:00'\nblackouts = ['00:00-00:00']\n",
            "error: policies.p.blackouts: they leave no time: nothing ever begins",
        ),
        (
            "schedule = 'daily 02:00'\njitter = '48h'\n",
            "warning: policies.p.jitter: the next run may be due before: they are 1d apart; \
             write less than that",
        ),
        (
            "schedule = 'daily 02:00'\njitter = '99999d'\n",
            "error: policies.p.jitter: write at most 31d",
        ),
    ] {
        assert_eq!(told(&with(&policy(text))), [expected], "{text}");
    }
}

#[test]
fn sites_are_checked_once_there_are_any() {
    assert_eq!(
        told(&with("[platforms.b]\nuri = 'b'\nsite = 'x'\n")),
        [""; 0]
    );
    let text = "[platforms.b]\nuri = 'b'\nsite = 'berln'\n[sites.berlin]\n";
    assert_eq!(
        told(&with(text)),
        ["error: platforms.b.site: there is no site \"berln\"; did you mean \"berlin\"?"]
    );
}

#[test]
fn what_is_read_kept_and_retried_is_written_in_words() {
    let text = "policy = 'p'\n[policies.p]\nforget_at_most = '20'\nretry_after = '1m'\n\
                max_age = '365d'\n[repositories.r]\nplace = 'r'\npassword_env = 'R'\n\
                check = 'daily 05:00'\ncheck_data = '5%'\nsize_max = '2T'\n";
    let loaded = with(text);
    assert_eq!(told(&loaded), [""; 0]);
    let policy = &loaded.config.policies["p"];
    assert_eq!(policy.forget_at_most, Brake::Points(20));
    assert_eq!((policy.retry.times, policy.points_min), (3, 1));
    assert_eq!(policy.retry.after, Duration::from_secs(60));
    assert_eq!(policy.age_max, Some(Duration::from_secs(365 * 86_400)));
    let repository = &loaded.config.repositories["r"];
    assert_eq!(repository.check_data, Some(CheckData::Percent(5)));
    assert_eq!(repository.size_max, Some(2 << 40));
    for (word, read) in [
        ("all", Some(CheckData::All)),
        ("1/30", Some(CheckData::OneOf(30))),
    ] {
        assert_eq!(word.parse().ok(), read);
    }
    for word in ["0%", "101%", "2/30", "1/0", "half", ""] {
        assert!(word.parse::<CheckData>().is_err(), "{word}");
    }
    let wrong = "[repositories.x]\nplace = 'x'\npassword_env = 'X'\ncheck_data = '1/2'\n";
    assert!(told(&with(wrong))[0].contains("no check begins by itself"));
}

#[test]
fn a_secret_is_refused_wherever_it_stands_and_never_shown() {
    for text in [
        "[catalog]\nurl = 'postgresql://me:geheim@host/db'\n",
        "[catalog]\nurl = 'postgresql://host/db?user=me&password=geheim'\n",
        "[catalog]\nurl = 'mysql://me:geheim@host'\n",
        "[catalog]\npassword = 'geheim'\n",
        "[repositories.x]\nplace = 'x'\npassword = 'geheim'\n",
        "[notifications.targets.m]\nkind = 'smtp'\nserver = 'h:25'\nfrom = 'a'\nto = 'b'\n\
         user = 'u'\npassword = 'geheim'\n",
    ] {
        let loaded = with(text);
        assert!(!loaded.is_sound(), "{text}");
        let all = format!("{:?} {:?}", loaded.findings, loaded.shown);
        assert!(!all.contains("geheim"), "{text}");
    }
    let good = with("[catalog]\nurl = 'postgresql://me@host/db'\npassword_file = '/p'\n");
    assert_eq!(told(&good), [""; 0]);
    let place = CatalogPlace::Postgres("postgresql://me@host/db".to_owned());
    assert_eq!(good.config.catalog.place, Some(place));
}

#[test]
fn plain_http_stays_on_this_computer_and_a_certificate_has_its_key() {
    assert_eq!(told(&with("[server]\nplain_http = true\n")), [""; 0]);
    let open = "[server]\nplain_http = true\nlisten = '0.0.0.0:80'\ntls_key_file = 'k'\n";
    let told = told(&with(open));
    assert!(
        told[0].contains("server.plain_http: passwords would cross"),
        "{told:?}"
    );
    assert!(
        told[1].contains("the key needs its certificate"),
        "{told:?}"
    );
}

const NOTICES: &str = r#"
[notifications.targets.hook]
kind = "webhook"
url_env = "HOOK"
headers.Authorization = { value_file = "/token" }
[notifications.targets.page]
kind = "command"
run = ["page"]
[[notifications.routes]]
severity = ["critical"]
to = ["hook"]
escalation = "night"
per_run = "failure"
digest = "daily 07:00"
[[notifications.escalations.night.levels]]
to = ["page"]
respond_within = "5m"
[[notifications.escalations.night.levels]]
to = ["hook"]
"#;

#[test]
fn notices_have_ways_routes_and_levels() {
    let loaded = with(NOTICES);
    assert_eq!(told(&loaded), [""; 0]);
    let all = &loaded.config.notifications;
    let TargetKind::Webhook(hook) = &all.targets["hook"].kind else {
        panic!("it is a webhook");
    };
    let source = SecretSource::Environment("HOOK".to_owned());
    assert_eq!(hook.url, ValueSource::Secret(source));
    let source = SecretSource::File("/token".into());
    assert_eq!(hook.headers["Authorization"], ValueSource::Secret(source));
    let [route] = &all.routes[..] else {
        panic!("there is one route");
    };
    assert_eq!(route.severities, [NoticeSeverity::Critical]);
    assert_eq!(route.per_run, PerRun::Failure);
    assert_eq!(route.digest.as_ref().unwrap().to_string(), "daily 07:00");
    let levels = &all.escalations["night"].levels;
    let waits: Vec<_> = levels
        .iter()
        .map(|it| it.respond_within.as_secs())
        .collect();
    assert_eq!(waits, [300, 900]);
    // What is usual.
    assert_eq!((route.name.as_str(), route.tells_resolved), ("1", true));
    assert_eq!(route.repeat_every.map(|it| it.as_secs()), Some(4 * 3600));
    assert_eq!(all.targets["page"].time_limit.as_secs(), 30);
}

#[test]
fn targets_say_whom_they_trust_how_they_sign_and_how_long_they_wait() {
    let text = NOTICES.replace(
        "[notifications.targets.page]",
        "signing_key_credential = 'hook'\nca_file = '/ca.pem'\ntime_limit = '5s'\n\
         [notifications.targets.life]\nkind = 'ping'\nurl = 'https://hc.example/x'\n\
         method = 'head'\nfailure = 'exit_code'\nstart = false\n\
         [notifications.targets.page]",
    ) + "[[notifications.routes]]\nname = 'life'\nto = ['life']\nper_run = 'always'\n\
         repositories = ['m*']\nresolved = false\nrepeat_every = '0'\n\
         [notifications]\ndashboard = 'https://backup.example.org:8443/'\n";
    let loaded = with(&text);
    assert_eq!(told(&loaded), [""; 0]);
    let all = &loaded.config.notifications;
    let address = all.dashboard.as_deref();
    assert_eq!(address, Some("https://backup.example.org:8443"));
    let TargetKind::Webhook(hook) = &all.targets["hook"].kind else {
        panic!("it is a webhook");
    };
    let key = SecretSource::Credential("hook".to_owned());
    assert_eq!(hook.signing_key, Some(key));
    assert_eq!(hook.ca_file.as_deref(), Some("/ca.pem".as_ref()));
    assert_eq!(all.targets["hook"].time_limit.as_secs(), 5);
    let TargetKind::Ping(ping) = &all.targets["life"].kind else {
        panic!("it is a ping");
    };
    assert_eq!(
        (ping.method, ping.failure),
        (PingMethod::Head, PingFailure::ExitCode)
    );
    assert!(!ping.tells_start);
    let route = &all.routes[1];
    assert_eq!(route.name, "life");
    assert_eq!(route.repositories, ["m*"]);
    assert!(!route.tells_resolved && route.repeat_every.is_none());
}

#[test]
fn everything_that_is_wrong_about_notices_is_told_at_once_with_what_to_write() {
    let text = NOTICES
        .replace(
            "url_env = \"HOOK\"",
            "url = 'hook'\nsigning_key = 'open'\ntime_limit = '1h'",
        )
        .replace("respond_within = \"5m\"", "respond_within = '0s'")
        + "[[notifications.routes]]\nname = '1'\nto = ['page']\njobs = ['wbe', 'x*']\n\
           [notifications.targets.m]\nkind = 'smtp'\nserver = 'mail.example.org:25'\ntls = 'none'\n\
           from = 'backup'\nto = ['a@b', \"c@d\\r\\nBcc: e@f\"]\nuser = 'u'\n\
           password_env = 'P'\n[notifications]\ndashboard = 'backup.example.org'\n";
    let told = told(&with(&text));
    let expected = [
        "error: notifications.dashboard: it is no address of a dashboard: write https://",
        "error: notifications.targets.hook.url: it is no address of the web; write https://",
        "error: notifications.targets.hook.signing_key: secrets never stand here, others could \
         read them; write one of signing_key_file, signing_key_env, signing_key_command and",
        "error: notifications.targets.hook.time_limit: nobody can work with that; write 1s to",
        "error: notifications.targets.m.from: \"backup\" is no address of mail; write ops@",
        "error: notifications.targets.m.to: \"c@d\\r\\nBcc: e@f\" is no address of mail; write",
        "error: notifications.targets.m.tls: the password would cross the network for everybody \
         to read; write tls = \"starttls\"",
        "error: notifications.routes[2].name: there is a route \"1\" before it; write a name",
        "warning: notifications.routes[2].jobs: there is no job \"wbe\"; did you mean \"web\"?",
        "error: notifications.escalations.night.levels[1].respond_within: nobody can answer in",
    ];
    for expected in expected {
        let found = told.iter().any(|it| it.starts_with(expected));
        assert!(found, "{expected}\nis not in {told:#?}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn a_target_that_no_route_leads_to_is_told() {
    let text = format!("{NOTICES}[notifications.targets.life]\nkind = 'ping'\nurl = 'http://h'\n");
    let expected = "warning: notifications.targets.life: no route leads to it: nothing is told \
                    this way; write to = [\"life\"] in [[notifications.routes]]";
    assert_eq!(told(&with(&text)), [expected]);
}

#[test]
fn a_route_that_leads_nowhere_is_told_with_its_place() {
    let text = NOTICES
        .replace("to = [\"hook\"]\nesc", "to = [\"hok\"]\nesc")
        .replace("\"critical\"", "\"criticl\"")
        .replace("\"night\"", "\"nigth\"")
        .replace("kind = \"command\"", "kind = \"comand\"")
        + "[[notifications.routes]]\nper_run = 'always'\n[notifications.targets.m]\n\
           kind = 'smtp'\nserver = 'mail'\nfrom = 'a@b'\nurl = 'x'\n";
    let told = told(&with(&text));
    let expected = [
        "error: notifications.targets.page.kind: there is no \"comand\" here; did you mean \
         \"command\"?",
        "error: notifications.routes[1].severity: there is no \"criticl\" here; did you mean",
        "error: notifications.routes[1].to: there is no target \"hok\"; did you mean \"hook\"?",
        "error: notifications.routes[1].escalation: there is no escalation \"nigth\"; did you",
        "error: notifications.routes[2].to: it leads nowhere; write to = [\"TARGET\"]",
        "error: notifications.targets.m.to: nobody gets it",
        "error: notifications.targets.m.server: it has no port",
        "error: notifications.targets.m.url: there is no such setting",
    ];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn what_was_carried_over_is_told_and_does_not_run() {
    let text = "[platforms.old]\nuri = 'ovirt://engine'\ncarried_over = 'variables.json: no way'\n\
                [jobs.old]\nplatform = 'old'\nrepository = 'main'\n\
                [carried_over.restore]\nfrom = 'variables.json'\nsettings = { a = 1 }\n";
    let loaded = with(text);
    assert!(loaded.is_sound());
    assert!(!loaded.config.jobs["old"].is_enabled && loaded.config.jobs["web"].is_enabled);
    let told = told(&loaded);
    let expected = [
        "warning: platforms.old.carried_over: carried over, not carried out yet: variables.json",
        "warning: jobs.old.platform: its platform is carried over, so it does not run",
        "warning: carried_over.restore: carried over from variables.json, not carried out yet",
    ];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    let settings = &loaded.config.carried_over["restore"].settings;
    assert_eq!(settings.as_deref(), Some("{ a = 1 }"));
}

#[test]
fn a_table_of_the_whole_program_stands_in_one_file() {
    let file = |name: &str, text: &str| SourceFile {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let files = [
        file("a", ""),
        file("b", "[limits]\nparallel = 3\n"),
        file("c", "[limits]\nparallel = 4\n"),
    ];
    let loaded: Loaded<Capture> = read(&files);
    assert_eq!(loaded.config.limits.parallel, 3);
    let told: Vec<_> = loaded.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["c:1:1: error: limits: b:1:1 has it too; leave it in one of them"]
    );
}
