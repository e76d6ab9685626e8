//! Environment files of restic, as people write them.

use lifeboat_config::{ImportKind, SecretSource};

use crate::trial::{imported, loaded, notes, refused};

/// Every way to write the same.
const WAYS: [&str; 8] = [
    "RESTIC_REPOSITORY=/srv/a\nRESTIC_PASSWORD_FILE=/etc/p\nRESTIC_PACK_SIZE=32\n",
    "export RESTIC_REPOSITORY=\"/srv/a\"\r\nexport RESTIC_PASSWORD_FILE='/etc/p'\r\n\
     export RESTIC_PACK_SIZE=32 # MiB\r\n",
    "#!/bin/sh\nset -eu\nset -o pipefail\nset -a\nRESTIC_REPOSITORY=/srv/a RESTIC_PACK_SIZE=32\n\
     RESTIC_PASSWORD_FILE=/etc/p\nset +a\n",
    "RESTIC_REPOSITORY=/srv/a; export RESTIC_REPOSITORY\n; systemd\nRESTIC_PASSWORD_FILE=/etc/p;\
     RESTIC_PACK_SIZE=32;\nexport RESTIC_PASSWORD_FILE RESTIC_PACK_SIZE\n",
    "declare -x RESTIC_REPOSITORY=\"/srv/a\"\ndeclare -x RESTIC_PASSWORD_FILE=\"/etc/p\"\n\
     declare -x RESTIC_PACK_SIZE=\"32\"\n",
    "export RESTIC_REPOSITORY=/srv/\\\na\nRESTIC_PASSWORD_FILE=\"/etc/\\\np\" RESTIC_PACK_SIZE=32",
    "BASE=/srv\nRESTIC_REPOSITORY=${BASE}/a\nE=etc\nRESTIC_PASSWORD_FILE=\"/$E/p\"\nN=3\n\
     RESTIC_PACK_SIZE=${N}2\n",
    "\u{feff}RESTIC_REPOSITORY=/srv/'a'\nRESTIC_PASSWORD_FILE=\"/etc\"/p\n\
     RESTIC_PACK_SIZE=3\"2\"\n",
];

#[test]
fn every_way_to_write_the_same_means_the_same() {
    for text in WAYS {
        let imported = imported(text).unwrap_or_else(|wrong| panic!("{text}\n{wrong:#?}"));
        let main = &loaded(&imported).config.repositories["main"];
        assert_eq!(main.place, "/srv/a", "{text}");
        assert_eq!(main.pack_size, Some(32 << 20), "{text}");
        let file = SecretSource::File("/etc/p".into());
        assert_eq!(main.password, file, "{text}");
        assert!(main.carried_over.is_none() && imported.secrets.is_empty());
    }
}

#[test]
fn values_are_taken_to_the_letter() {
    for (written, expected) in [
        ("'a b\"$x`;#'", "a b\"$x`;#"),
        ("\"a\\\"b\\\\c\\$d\\e\"", "a\"b\\c$d\\e"),
        ("a\\ b\\$c", "a b$c"),
        ("pa$ # comment", "pa$"),
        ("\"over\ntwo lines\"", "over\ntwo lines"),
        ("a#b", "a#b"),
    ] {
        let text = format!("RESTIC_REPOSITORY=/r\nRESTIC_PASSWORD={written}\n");
        let imported = imported(&text).unwrap();
        assert_eq!(
            imported.secrets[0].secret.expose(),
            expected.as_bytes(),
            "{written}"
        );
    }
}

#[test]
fn everything_of_a_long_file_is_mapped_or_kept_and_no_secret_stands_in_it() {
    let text = "RESTIC_REPOSITORY='s3:https://s3.example.org/bucket'\n\
         RESTIC_PASSWORD_COMMAND=\"pass show 'restic main' --field \\$x|y\"\n\
         AWS_ACCESS_KEY_ID=AKIA5\nAWS_SECRET_ACCESS_KEY=geheim1\nAWS_SESSION_TOKEN=geheim2\n\
         AWS_DEFAULT_REGION=eu-central-1\nB2_ACCOUNT_KEY=geheim3\nRCLONE_CONFIG_PASS=geheim4\n\
         ST_KEY=geheim5\nHTTPS_PROXY=http://me:geheim6@proxy:3128\n\
         RESTIC_FROM_REPOSITORY=rest:https://u:geheim7@host/\nRESTIC_COMPRESSION=off\n\
         RESTIC_CACHE_DIR=/var/cache/r\nRESTIC_READ_CONCURRENCY=4\nRESTIC_HOST=web\n\
         RESTIC_KEY_HINT=abc\nRESTIC_PROGRESS_FPS=0.1\nGOMAXPROCS=2\n";
    let imported = imported(text).unwrap();
    assert!(!imported.text.contains("geheim"), "{}", imported.text);
    let notes = notes(&imported);
    assert!(!notes.contains("geheim"), "{notes}");
    let secrets: Vec<_> = imported
        .secrets
        .iter()
        .map(|it| it.secret.expose())
        .collect();
    let expected: Vec<_> = (1..=7).map(|number| format!("geheim{number}")).collect();
    assert_eq!(
        secrets,
        expected.iter().map(String::as_bytes).collect::<Vec<_>>()
    );
    for secret in &imported.secrets {
        let path = format!("/etc/lifeboat/secrets/{}\"", secret.file);
        assert!(imported.text.contains(&path), "{path}\n{}", imported.text);
    }
    let main = &loaded(&imported).config.repositories["main"];
    assert_eq!(main.threads, Some(2));
    assert_eq!(main.compression.as_deref(), Some("off"));
    let words = ["pass", "show", "restic main", "--field", "$x|y"];
    let words = words.map(str::to_owned).to_vec();
    assert_eq!(main.password, SecretSource::Command(words));
    for name in [
        "AWS_DEFAULT_REGION",
        "AWS_ACCESS_KEY_ID",
        "RESTIC_CACHE_DIR",
        "RESTIC_READ_CONCURRENCY",
        "RESTIC_HOST",
        "RESTIC_KEY_HINT",
        "RESTIC_PROGRESS_FPS",
        "HTTPS_PROXY",
    ] {
        assert!(imported.text.contains(name), "{name}\n{}", imported.text);
        assert!(
            notes.contains(&format!("warning: {name}: ")),
            "{name}\n{notes}"
        );
    }
}

#[test]
fn places_that_are_elsewhere_wait_for_people() {
    for (place, told) in [
        ("sftp:me@host:/srv/r", "begin with sftp: have no adapter"),
        ("rclone:remote:r", "begin with rclone: have no adapter"),
        (
            "rclone::sftp,host=h,pass=geheim,user=u:r",
            "begin with rclone:",
        ),
        ("rest:http://host:8000/", "begin with rest: have no adapter"),
    ] {
        let text = format!("RESTIC_REPOSITORY='{place}'\nRESTIC_PASSWORD_FILE=/p\n");
        let imported = imported(&text).unwrap();
        assert!(!imported.text.contains("geheim"), "{}", imported.text);
        let loaded = loaded(&imported);
        let why = loaded.config.repositories["main"].carried_over.as_deref();
        assert!(why.unwrap().contains(told), "{why:?}");
    }
    let imported = imported("RESTIC_REPOSITORY_FILE=/etc/place\nRESTIC_PASSWORD_FILE=p\n").unwrap();
    let loaded = loaded(&imported);
    assert!(loaded.config.repositories["main"].carried_over.is_some());
    let notes = notes(&imported);
    assert!(
        notes.contains("old:1:1: warning: RESTIC_REPOSITORY_FILE: carried over"),
        "{notes}"
    );
    assert!(
        notes.contains("old:2:1: warning: RESTIC_PASSWORD_FILE: it is looked for"),
        "{notes}"
    );
}

#[test]
fn what_is_not_understood_is_refused_where_it_stands_and_the_rest_is_read_on() {
    let refusals = [
        ("RESTIC_PASSWORD_FILE=~/p", "only a shell knows where ~ is"),
        (
            "RESTIC_PASSWORD_FILE=$HOME/p",
            "names a variable that is not set above",
        ),
        (
            "RESTIC_PASSWORD_FILE=${X:-/p}",
            "only a shell knows what it says",
        ),
        ("RESTIC_PASSWORD=`cat p`", "only a shell knows what it says"),
        (
            "RESTIC_PASSWORD=\"$(cat p)\"",
            "only a shell knows what it says",
        ),
        ("if [ -f p ]; then", "it is no setting"),
        ("2X=1", "it has no name of a variable"),
        ("RESTIC_PASSWORD=\"a", "it has an open quotation mark"),
        ("RESTIC_PASSWORD=a\\", "it ends with a backslash"),
        ("RESTIC_REPOSITORY_FILE=/f", "it has several repositories"),
        (
            "A=1\nB=$A$A; C=$B$B$B",
            "RESTIC_COMPRESSION: restic has no such compression",
        ),
    ];
    for (line, told) in refusals {
        let text = format!("RESTIC_REPOSITORY=/x\nRESTIC_COMPRESSION=zip\n{line}");
        let both = [
            (&*text, told),
            (&*text, ":2:1: error: RESTIC_COMPRESSION: restic has no"),
        ];
        refused(ImportKind::ResticEnvironment, &both);
    }
    let mut doubling = "RESTIC_REPOSITORY=/x\nA0=0123456789\n".to_owned();
    for number in 0..40 {
        doubling += &format!("A{}=$A{number}$A{number}\n", number + 1);
    }
    refused(
        ImportKind::ResticEnvironment,
        &[(&doubling, "more than 16 MiB")],
    );
}
