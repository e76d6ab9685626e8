//! Changes need more than a cookie, and every change, done or refused, is in the audit log.

use lifeboat_api::Role;

use crate::stage::{PASSWORD, Reply, Stage};

fn cookie(reply: &Reply) -> String {
    let line = reply.header("set-cookie").unwrap();
    line.split(';').next().unwrap().to_owned()
}

pub(crate) fn sign_in(stage: &Stage) -> (String, String) {
    let body = format!(r#"{{"name":"anna","password":"{PASSWORD}"}}"#);
    let reply = stage.ask("POST /api/v1/sessions", &[], &body);
    assert_eq!(reply.status, 201, "{reply:?}");
    let form_key = reply.json()["form_key"].as_str().unwrap().to_owned();
    (cookie(&reply), form_key)
}

#[test]
fn a_change_by_cookie_needs_the_forms_key() {
    let stage = Stage::new();
    stage.add_anna();
    let (cookie, key) = sign_in(&stage);
    let head = "POST /api/v1/runs";
    let body = r#"{"action":"check","repository":"main"}"#;
    let by = |headers: &[(&str, &str)]| stage.ask(head, headers, body).status;
    assert_eq!(by(&[("Cookie", &cookie)]), 403);
    let wrong = "0".repeat(64);
    assert_eq!(
        by(&[("Cookie", &cookie), ("X-Lifeboat-Form-Key", &wrong)]),
        403
    );
    assert_eq!(
        by(&[("Cookie", &cookie), ("X-Lifeboat-Form-Key", &key)]),
        201
    );
    assert_eq!(
        stage
            .ask("GET /api/v1/me", &[("Cookie", &cookie)], "")
            .status,
        200
    );
    let headers = [("Cookie", cookie.as_str()), ("X-Lifeboat-Form-Key", &key)];
    assert_eq!(
        stage.ask("DELETE /api/v1/sessions", &headers, "").status,
        204
    );
    assert_eq!(by(&headers), 401);
}

#[test]
fn signing_out_by_the_page_ends_the_session_and_is_written_down() {
    let stage = Stage::new();
    stage.add_anna();
    let (cookie, key) = sign_in(&stage);
    let sign_out = |key: &str| {
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        let headers = [("Cookie", cookie.as_str()), kind];
        stage.ask("POST /logout", &headers, &format!("form_key={key}"))
    };
    assert_eq!(sign_out("wrong").status, 403);
    let reply = sign_out(&key);
    assert_eq!(
        (reply.status, reply.header("location")),
        (303, Some("/login"))
    );
    let me = stage.ask("GET /api/v1/me", &[("Cookie", &cookie)], "");
    assert_eq!(me.status, 401);
    // Who is not in signs out of nothing: nobody writes that down.
    assert_eq!(sign_out(&key).status, 303);
    let entries = stage.catalog.audit_entries(None, 9).unwrap();
    let shown: Vec<_> = entries
        .iter()
        .map(|it| (it.who.as_str(), it.action.as_str(), it.is_done))
        .collect();
    let right = [
        ("anna", "sign out", true),
        ("anna", "sign out", false),
        ("anna", "sign in", true),
    ];
    assert_eq!(shown, right);
}

#[test]
fn cookies_are_for_this_host_and_no_script() {
    let stage = Stage::new();
    stage.add_anna();
    let body = format!("name=anna&password={}", PASSWORD.replace(' ', "+"));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let reply = stage.ask("POST /login", &form, &body);
    assert_eq!((reply.status, reply.header("location")), (303, Some("/")));
    let line = reply.header("set-cookie").unwrap();
    assert!(line.starts_with("__Host-lifeboat="));
    for rule in [
        "Path=/",
        "Secure",
        "HttpOnly",
        "SameSite=Strict",
        "Max-Age=43200",
    ] {
        assert!(line.contains(rule), "{line}");
    }
    let secret = cookie(&reply).split_once('=').unwrap().1.to_owned();
    let rows = std::fs::read(stage.folder.path().join("catalog.sqlite")).unwrap();
    let holds = |bytes: &[u8]| bytes.windows(64).any(|part| part == secret.as_bytes());
    assert!(!holds(&rows));
    let reply = stage.ask("POST /login", &form, "name=anna&password=wrong");
    assert_eq!(
        (reply.status, reply.header("location")),
        (303, Some("/login?failed=1"))
    );
    let entries = stage.catalog.audit_entries(None, 2).unwrap();
    let shown: Vec<_> = entries
        .iter()
        .map(|it| (it.who.as_str(), it.is_done))
        .collect();
    assert_eq!(shown, [("anna", false), ("anna", true)]);
}

#[test]
fn changes_are_in_the_log_with_who_and_from_where() {
    let stage = Stage::new();
    let operator = stage.token(Role::Operator, &[]);
    let admin = stage.token(Role::Admin, &[]);
    let check = r#"{"action":"check","repository":"main"}"#;
    let snapshot = &stage.catalog.points(Some("web01"), 1).unwrap()[0]
        .key
        .snapshot;
    let restore = format!(r#"{{"repository":"main","snapshot":"{snapshot}","platform":"local"}}"#);
    let restore = restore.as_str();
    let user = format!(r#"{{"name":"bert","password":"{PASSWORD}","role":"viewer"}}"#);
    assert_eq!(
        stage.as_token(&operator, "POST /api/v1/runs", check).status,
        201
    );
    assert_eq!(
        stage
            .as_token(&operator, "POST /api/v1/restores", restore)
            .status,
        403
    );
    assert_eq!(
        stage
            .as_token(&admin, "POST /api/v1/restores", restore)
            .status,
        201
    );
    assert_eq!(
        stage.as_token(&admin, "POST /api/v1/users", &user).status,
        201
    );
    assert_eq!(stage.ask("POST /api/v1/runs", &[], check).status, 401);
    let mut entries = stage.catalog.audit_entries(None, 10).unwrap();
    entries.reverse();
    let shown: Vec<_> = entries
        .iter()
        .map(|it| (it.action.as_str(), it.is_done))
        .collect();
    let wanted = [
        ("run begin", true),
        ("restore", false),
        ("restore", true),
        ("user add", true),
        ("run begin", false),
    ];
    assert_eq!(shown, wanted);
    assert!(entries[0].who.starts_with("token "));
    assert_eq!(entries[4].who, "nobody");
    assert!(
        entries
            .iter()
            .all(|it| it.from.as_deref() == Some("127.0.0.1"))
    );
    assert!(entries[0].details.contains("\"action\":\"check\""));
    assert!(!entries.iter().any(|it| it.details.contains(PASSWORD)));
    let reply = stage.as_token(&admin, "GET /api/v1/audit/verify", "");
    assert_eq!(reply.json()["flaws"], serde_json::json!([]));
}

#[test]
fn the_last_administrator_stays_and_users_change() {
    let stage = Stage::new();
    stage.add_anna();
    let admin = stage.token(Role::Admin, &[]);
    assert_eq!(
        stage
            .as_token(&admin, "DELETE /api/v1/users/anna", "")
            .status,
        409
    );
    let disabled = r#"{"is_enabled":false}"#;
    assert_eq!(
        stage
            .as_token(&admin, "PATCH /api/v1/users/anna", disabled)
            .status,
        409
    );
    let user = format!(r#"{{"name":"bert","password":"{PASSWORD}","role":"admin"}}"#);
    assert_eq!(
        stage.as_token(&admin, "POST /api/v1/users", &user).status,
        201
    );
    assert_eq!(
        stage.as_token(&admin, "POST /api/v1/users", &user).status,
        409
    );
    let (cookie, _) = sign_in(&stage);
    assert_eq!(
        stage
            .as_token(&admin, "PATCH /api/v1/users/anna", disabled)
            .status,
        200
    );
    assert_eq!(
        stage
            .ask("GET /api/v1/me", &[("Cookie", &cookie)], "")
            .status,
        401
    );
    assert_eq!(
        stage
            .as_token(&admin, "DELETE /api/v1/users/anna", "")
            .status,
        204
    );
    let short = r#"{"name":"carl","password":"short","role":"viewer"}"#;
    assert_eq!(
        stage.as_token(&admin, "POST /api/v1/users", short).status,
        400
    );
}

#[test]
fn the_first_user_is_made_once_with_the_printed_key() {
    let stage = Stage::new();
    let key = stage.state.new_setup_key().unwrap().unwrap();
    let setup = |key: &str, name: &str| {
        let body = format!(r#"{{"key":"{key}","name":"{name}","password":"{PASSWORD}"}}"#);
        stage.ask("POST /api/v1/setup", &[], &body).status
    };
    assert_eq!(setup("wrong", "anna"), 403);
    assert_eq!(setup(&key, "anna"), 201);
    assert_eq!(setup(&key, "eve"), 403);
    assert_eq!(stage.catalog.users().unwrap().len(), 1);
    sign_in(&stage);
    assert_eq!(stage.state.new_setup_key().unwrap(), None);
}
