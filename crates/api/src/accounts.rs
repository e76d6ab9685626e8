//! Who may ask, and who asked.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything but the audit log and secrets.
    Viewer,
    /// And begins and stops runs, and acknowledges alerts.
    Operator,
    /// And brings machines and files back.
    Restore,
    /// And everything else.
    Admin,
    /// Sees everything with the audit log, changes nothing.
    Auditor,
}

/// A local user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// The name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Whether the user may come in.
    pub is_enabled: bool,
    /// When the user was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

/// A user to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The name.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    pub name: String,
    /// The password.
    #[schema(min_length = 12, max_length = 256)]
    pub password: String,
    /// What the user may do.
    pub role: Role,
}

/// What is to change of a user; sessions of the user end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// A new password.
    #[serde(default)]
    #[schema(min_length = 12, max_length = 256)]
    pub password: Option<String>,
    /// Another role.
    #[serde(default)]
    pub role: Option<Role>,
    /// Whether the user may come in.
    #[serde(default)]
    pub is_enabled: Option<bool>,
}

/// Another password for oneself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The one until now.
    #[schema(max_length = 256)]
    pub old: String,
    /// The one from now on.
    #[schema(min_length = 12, max_length = 256)]
    pub new: String,
}

/// Name and password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The user's name.
    #[schema(max_length = 64)]
    pub name: String,
    /// The password.
    #[schema(max_length = 256)]
    pub password: String,
}

/// A session that began; its cookie comes with the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedIn {
    /// The user's name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// What changes must bring along in `X-Lifeboat-Form-Key`.
    pub form_key: String,
}

/// The first user of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The key that `lifeboat serve` printed.
    #[schema(max_length = 128)]
    pub key: String,
    /// The name; the role is `admin`.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    pub name: String,
    /// The password.
    #[schema(min_length = 12, max_length = 256)]
    pub password: String,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The user's name, or `token ` and its id.
    pub name: String,
    /// What may be done.
    pub role: Role,
    /// Only routes with these beginnings; all if there are none.
    pub scopes: Vec<String>,
}

/// A token of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// What it is called in lists; no secret.
    pub id: String,
    /// What it is for.
    pub title: String,
    /// What it may do.
    pub role: Role,
    /// Only routes with these beginnings; all of its role if there are none.
    pub scopes: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
    /// When it was last used, to the hour.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub used: Option<Timestamp>,
}

/// A token to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100)]
    pub title: String,
    /// What it may do.
    pub role: Role,
    /// Only routes with these beginnings; all of its role if there are none.
    #[serde(default)]
    #[schema(max_items = 50)]
    pub scopes: Vec<String>,
    /// It ends after so many days; never if there is none.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3650)]
    pub days: Option<u32>,
}

/// A token that was made. The secret is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    /// What it is called in lists.
    pub id: String,
    /// What goes into `Authorization: Bearer`.
    pub secret: String,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its number, from 1 on without gaps.
    pub number: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// From where, if it came over the network.
    pub from: Option<String>,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
    /// More, in a sentence.
    pub details: String,
    /// Whether it was done; refused ones are written down too.
    pub is_done: bool,
}

/// What a look at the whole audit log gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditFindings {
    /// Entries that were looked at.
    pub entries: u64,
    /// What is wrong; nothing if all is well.
    pub flaws: Vec<String>,
}

/// A value of the configuration that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigValue {
    /// Its path: `policies.gold.schedule`.
    pub path: String,
    /// The value in words; where secrets are found, never secrets.
    pub value: String,
    /// Where it was written.
    pub origin: String,
}
