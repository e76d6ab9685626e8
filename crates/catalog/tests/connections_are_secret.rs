//! A server proves who it is before anything is said to it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use lifeboat_catalog::{Catalog, CatalogPlace, Result};
use lifeboat_model::ErrorKind;
use lifeboat_testkit::postgres::Server;
use lifeboat_testkit::{ManualClock, free_port, tool};

fn openssl(folder: &Path, words: &str) {
    let openssl = tool("openssl").unwrap();
    let mut command = Command::new(openssl);
    command.current_dir(folder).args(words.split(' '));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {words}: {said}");
}

/// A root of a test's own, and a certificate of `localhost` by it.
fn make_certificates(folder: &Path) {
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for (name, subject) in [("root", "root"), ("other", "other")] {
        let words = format!(
            "req -x509 {curve} -keyout {name}.key -out {name}.pem -subj /CN={subject} -days 2"
        );
        openssl(folder, &words);
    }
    let words = format!("req {curve} -keyout server.key -out server.csr -subj /CN=localhost");
    openssl(folder, &words);
    fs::write(folder.join("names"), "subjectAltName=DNS:localhost").unwrap();
    openssl(
        folder,
        "x509 -req -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 \
         -extfile names -out server.pem",
    );
}

fn opened(url: &str) -> Result<Catalog> {
    let place = CatalogPlace::parse(url, None)?;
    Catalog::open(&place, Arc::new(ManualClock::default()))
}

#[test]
fn only_a_server_that_proves_its_name_is_used() {
    let Some(server) = Server::begin("") else {
        return;
    };
    server.psql("postgres", "CREATE DATABASE secret");
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let kept = |name: &str| {
        let bytes = fs::read(folder.path().join(name)).unwrap();
        server.keep(name, &bytes).display().to_string()
    };
    let (certificate, key) = (kept("server.pem"), kept("server.key"));
    let number = free_port();
    let listening = format!("listen_addresses = '127.0.0.1'\nport = {number}");
    server.configure(&listening);
    let at = |host: &str, words: &str| {
        format!("postgresql://lifeboat@{host}:{number}/secret?connect_timeout=5&{words}")
    };
    let root = folder.path().join("root.pem").display().to_string();
    let root = format!("sslrootcert={}", root.replace('/', "%2F"));
    // It has no certificate: nothing is said in the open.
    let plain = opened(&at("localhost", &format!("sslmode=require&{root}")));
    assert_eq!(plain.unwrap_err().kind(), ErrorKind::Unreachable);
    opened(&at("localhost", "sslmode=disable")).unwrap();

    server.configure(&format!(
        "ssl = on\nssl_cert_file = '{certificate}'\nssl_key_file = '{key}'"
    ));
    for mode in ["require", "verify-full"] {
        let catalog = opened(&at("localhost", &format!("sslmode={mode}&{root}"))).unwrap();
        catalog.set_note("seen", &mode).unwrap();
        let statement = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                         WHERE application_name = 'lifeboat' AND NOT ssl";
        let mut raw = postgres::Client::connect(&at("localhost", ""), postgres::NoTls).unwrap();
        let open: i64 = raw.query_one(statement, &[]).unwrap().get(0);
        assert_eq!(open, 0);
        assert_eq!(
            catalog.note::<String>("seen").unwrap().as_deref(),
            Some(mode)
        );
    }
    let other = root.replace("root.pem", "other.pem");
    let strangers = [
        at("localhost", &format!("sslmode=verify-full&{other}")),
        at("localhost", "sslmode=require"),
        at("127.0.0.1", &format!("sslmode=require&{root}")),
    ];
    for url in strangers {
        let error = opened(&url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{url}: {error}");
    }
    let missing = opened(&at("localhost", "sslrootcert=/nowhere.pem")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let wrong = opened(&at("localhost", "sslmode=often")).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Invalid);
}
