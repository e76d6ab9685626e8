//! The document of the API is the kept one, has every path, and holds against schemathesis.

use std::fs;
use std::process::Command;

use lifeboat_api::Role;
use serde_json::Value;

use crate::stage::{Stage, root};

/// What a catalog is is more than a schema can say: one that is none is refused.
const SETTINGS: &str = r#"[[operations]]
include-path-regex = "/repositories/.*/catalog"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "503"]
"#;
const KEPT: &str = "docs/operating/openapi.json";

#[test]
fn the_kept_document_is_the_served_one() {
    let made = lifeboat_server::openapi();
    if std::env::var_os("LIFEBOAT_WRITE_DOCUMENTS").is_some() {
        fs::write(root(KEPT), &made).unwrap();
    }
    let kept = fs::read_to_string(root(KEPT)).unwrap();
    assert!(
        kept == made,
        "write it anew: LIFEBOAT_WRITE_DOCUMENTS=1 cargo test -p lifeboat-server"
    );
}

#[test]
fn every_path_of_the_api_is_described() {
    let document: Value = serde_json::from_str(&lifeboat_server::openapi()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for (method, path, _) in lifeboat_server::matrix() {
        let is_api = path.starts_with("/api/v1/") && !path.ends_with("openapi.json");
        let operation = &document["paths"][path][method.to_lowercase()];
        assert_eq!(operation.is_object(), is_api, "{method} {path}");
    }
}

#[test]
fn schemathesis_finds_nothing() {
    let Some(tool) = lifeboat_testkit::tool("schemathesis") else {
        return;
    };
    let stage = Stage::new();
    let token = stage.token(Role::Admin, &[]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("schemathesis.toml"), SETTINGS).unwrap();
    // Every combination of edges takes a minute.
    let (phases, examples) =
        lifeboat_testkit::Effort::current().pick(("fuzzing", "3"), ("coverage,fuzzing", "100"));
    let output = Command::new(tool)
        .arg("run")
        .arg(format!("http://{}/api/v1/openapi.json", stage.address))
        .args(["--checks", "all", "--phases", phases])
        .args([
            "--max-examples",
            examples,
            "--generation-deterministic",
            "--workers",
            "2",
        ])
        // It does not end by itself.
        .args([
            "--exclude-path",
            "/api/v1/events",
            "--warnings",
            "off",
            "--no-color",
        ])
        .args(["--request-timeout", "30"])
        .arg("--header")
        .arg(format!("Authorization: Bearer {token}"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{complained}");
}
