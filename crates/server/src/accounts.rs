//! Passwords, tokens and keys: how they are made and looked at.

use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{Role, Token, User};
use lifeboat_model::{Clock, Entropy};
use tokio::sync::Semaphore;

use crate::refusal::{Answer, Refusal};
use crate::visitor::{digest, digits};
use lifeboat_api::FailureKind;

/// Argon2id with 19 MiB, two passes and one lane: the smallest that OWASP recommends.
const SETTINGS: (u32, u32, u32) = (19 * 1024, 2, 1);
/// Passwords that are computed at the same time.
const COMPUTED: usize = 2;
/// Passwords that wait for it.
const WAITING: usize = 16;
/// A password has at least so many letters.
pub(crate) const PASSWORD_MIN: usize = 12;
/// And at most so many bytes.
pub(crate) const PASSWORD_MAX: usize = 256;

/// Computes passwords, a few at a time.
pub(crate) struct Passwords {
    turns: Semaphore,
    waiting: AtomicUsize,
    /// Compared with when there is no such user, so that nobody sees the difference.
    nobody: String,
}

impl Passwords {
    pub(crate) fn new(entropy: &dyn Entropy) -> Result<Self, String> {
        Ok(Self {
            turns: Semaphore::new(COMPUTED),
            waiting: AtomicUsize::new(0),
            nobody: password_digest(&new_secret(entropy), entropy)?,
        })
    }

    /// Whether a password is the one of a digest; takes as long when there is no digest.
    ///
    /// Refuses when too many wait.
    pub(crate) async fn fits(&self, digest: Option<String>, password: String) -> Answer<bool> {
        let is_known = digest.is_some();
        let digest = digest.unwrap_or_else(|| self.nobody.clone());
        self.compute(move || is_password(&digest, &password) && is_known)
            .await
    }

    /// Does what computes a password when its turn comes.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Answer<T> {
        let _place = Place::take(&self.waiting).ok_or_else(|| {
            let text = "too many sign in at the same time: try again in a minute";
            Refusal::new(FailureKind::TooMany, text)
        })?;
        let turn = self.turns.acquire().await;
        let _turn = turn.map_err(|_| crate::state::Stopped)?;
        let work = tokio::task::spawn_blocking(work);
        Ok(work.await.map_err(|_| crate::state::Stopped)?)
    }
}

/// A place in the line, given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        let before = waiting.fetch_add(1, Ordering::SeqCst);
        (before < WAITING + COMPUTED).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn argon2() -> Result<Argon2<'static>, String> {
    let (memory, passes, lanes) = SETTINGS;
    let settings = Params::new(memory, passes, lanes, None).map_err(|error| error.to_string())?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, settings))
}

fn password_digest(password: &str, entropy: &dyn Entropy) -> Result<String, String> {
    let mut salt = [0; 16];
    entropy.fill(&mut salt);
    let salt = SaltString::encode_b64(&salt).map_err(|error| error.to_string())?;
    let digest = argon2()?.hash_password(password.as_bytes(), &salt);
    digest
        .map(|digest| digest.to_string())
        .map_err(|error| error.to_string())
}

fn is_password(digest: &str, password: &str) -> bool {
    let (Ok(digest), Ok(argon2)) = (PasswordHash::new(digest), argon2()) else {
        return false;
    };
    argon2.verify_password(password.as_bytes(), &digest).is_ok()
}

/// A user with a password. Computes for a moment; writes nothing.
///
/// Errors: what is wrong with the name or the password.
pub fn new_user(
    name: &str,
    password: &str,
    role: Role,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<User, String> {
    check_name(name)?;
    Ok(User {
        name: name.to_owned(),
        password_digest: new_digest(password, entropy)?,
        role,
        is_enabled: true,
        created: now,
    })
}

/// The digest of a new password.
///
/// Errors: what is wrong with the password.
pub fn new_digest(password: &str, entropy: &dyn Entropy) -> Result<String, String> {
    if password.chars().count() < PASSWORD_MIN || password.len() > PASSWORD_MAX {
        return Err(format!(
            "a password has at least {PASSWORD_MIN} letters and at most {PASSWORD_MAX} bytes"
        ));
    }
    password_digest(password, entropy)
}

/// A token and its secret, which nobody can read later. Writes nothing.
///
/// Errors: what is wrong with the title, the scopes or the days.
pub fn new_token(
    request: &lifeboat_api::NewToken,
    created_by: &str,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<(Token, String), String> {
    if request.title.is_empty() || request.title.chars().count() > 100 {
        return Err("a token's title has 1 to 100 letters".to_owned());
    }
    let is_route = |scope: &String| {
        let is_plain = scope.bytes().all(|byte| byte.is_ascii_graphic());
        scope.starts_with('/') && scope.len() <= 200 && is_plain
    };
    if request.scopes.len() > 50 || !request.scopes.iter().all(is_route) {
        return Err("a token's scopes are at most 50 routes, like /api/v1/runs".to_owned());
    }
    if request.days.is_some_and(|days| !(1..=3650).contains(&days)) {
        return Err("a token lasts 1 to 3650 days".to_owned());
    }
    let secret = format!("lb_{}", new_secret(entropy));
    let now = clock.now();
    let lasts = |days| SignedDuration::from_hours(24 * i64::from(days));
    let token = Token {
        id: new_secret(entropy)[..12].to_owned(),
        title: request.title.clone(),
        digest: digest(&secret),
        role: crate::shapes::role_inside(request.role),
        scopes: request.scopes.clone(),
        created_by: created_by.to_owned(),
        created: now,
        expires: request.days.map(|days| now + lasts(days)),
        used: None,
    };
    Ok((token, secret))
}

/// 256 random bits, in digits.
pub(crate) fn new_secret(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    digits(&bytes)
}

fn check_name(name: &str) -> Result<(), String> {
    let is_fine = |letter: char| letter.is_ascii_alphanumeric() || "._@-".contains(letter);
    let starts_well = name.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    match starts_well && name.len() <= 64 && name.chars().all(is_fine) {
        true => Ok(()),
        false => Err(
            "a user's name has 1 to 64 letters and digits, also . _ @ - after the first".to_owned(),
        ),
    }
}

/// Compares without telling by time where the difference is.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    one.len() == other.len() && pairs.fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}
