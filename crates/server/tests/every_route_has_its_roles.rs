//! Who may ask what is as `roles.txt` says, for every route and role, by asking.

use std::collections::BTreeMap;

use lifeboat_api::Role;

use crate::stage::Stage;

const ROLES: [(&str, Role); 5] = [
    ("viewer", Role::Viewer),
    ("operator", Role::Operator),
    ("restore", Role::Restore),
    ("admin", Role::Admin),
    ("auditor", Role::Auditor),
];

/// The file says for each method and path who may.
fn written() -> BTreeMap<(String, String), Vec<String>> {
    let text = include_str!("roles.txt");
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let row = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        let key = (words.next().unwrap(), words.next().unwrap());
        (key, words.collect())
    };
    lines.map(row).collect()
}

#[test]
fn the_file_has_every_route_and_no_other() {
    let mut table = BTreeMap::new();
    for (method, path, roles) in lifeboat_server::matrix() {
        let roles: Vec<String> = roles.into_iter().map(str::to_owned).collect();
        assert_eq!(
            table.insert((method.to_owned(), path.to_owned()), roles),
            None
        );
    }
    assert_eq!(table, written());
}

#[test]
fn each_role_may_what_the_file_says_and_nothing_else() {
    let stage = Stage::new();
    let tokens = ROLES.map(|(name, role)| (name, stage.token(role, &[])));
    for ((method, path), allowed) in written() {
        let path = path.replace("{name}", "nobody").replace("{id}", "999999");
        let head = format!("{method} {path}");
        let is_open = allowed.iter().any(|name| name == "anyone");
        let reply = stage.ask(&head, &[], "");
        let is_admitted = ![401, 403].contains(&reply.status);
        assert_eq!(is_admitted, is_open, "{head} by nobody: {reply:?}");
        // It does not end by itself.
        let endless = path.ends_with("/events");
        let headers = if endless {
            "Last-Event-ID: none"
        } else {
            "Accept: */*"
        };
        let headers = headers.split_once(": ").unwrap();
        for (name, token) in &tokens {
            let bearer = format!("Bearer {token}");
            let reply = stage.ask(&head, &[headers, ("Authorization", &bearer)], "");
            let is_admitted = ![401, 403].contains(&reply.status);
            let is_allowed = allowed.iter().any(|it| it == name);
            assert_eq!(is_admitted, is_allowed, "{head} by {name}: {reply:?}");
        }
    }
}

#[test]
fn a_token_with_scopes_reaches_nothing_beside_them() {
    let stage = Stage::new();
    let token = stage.token(Role::Admin, &["/api/v1/runs"]);
    assert_eq!(stage.as_token(&token, "GET /api/v1/runs", "").status, 200);
    assert_eq!(stage.as_token(&token, "GET /api/v1/runs/1", "").status, 200);
    for path in ["/api/v1/tasks", "/api/v1/users", "/metrics"] {
        let reply = stage.as_token(&token, &format!("GET {path}"), "");
        assert_eq!(reply.status, 403, "{path}");
    }
    let body = r#"{"title":"more","role":"admin"}"#;
    let token = stage.token(Role::Admin, &["/api/v1/tokens"]);
    assert_eq!(
        stage.as_token(&token, "POST /api/v1/tokens", body).status,
        403
    );
}

#[test]
fn a_token_ends_and_a_removed_one_is_nobodys() {
    let stage = Stage::new();
    let secret = stage.token(Role::Viewer, &[]);
    assert_eq!(stage.as_token(&secret, "GET /api/v1/me", "").status, 200);
    let mut token = stage.catalog.tokens().unwrap().remove(0);
    assert!(token.used.is_some());
    assert!(!token.digest.contains(&secret[3..]));
    token.expires = Some(jiff::Timestamp::UNIX_EPOCH);
    stage.catalog.set_token(&token).unwrap();
    assert_eq!(stage.as_token(&secret, "GET /api/v1/me", "").status, 401);
    stage.catalog.remove_token(&token.id).unwrap();
    assert_eq!(stage.as_token(&secret, "GET /api/v1/me", "").status, 401);
    assert_eq!(
        stage.as_token("lb_nothing", "GET /api/v1/me", "").status,
        401
    );
}
