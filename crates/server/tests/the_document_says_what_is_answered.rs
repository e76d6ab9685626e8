//! The document of the API is the kept one, has every path, and holds against schemathesis.

use std::fs;

use serde_json::Value;

use crate::stage::root;

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
