//! Keys that cost little to open, for tests that open a repository very often.

use std::fs;
use std::path::Path;

use lifeboat_format::{BlobId, KeyFile, KeyOwner, ScryptCost};
use lifeboat_model::{Secret, SystemEntropy};

/// A key of the usual cost takes 64 MiB and a fifth of a second; this one 1 MiB.
const LIGHT: ScryptCost = ScryptCost {
    n: 1 << 10,
    r: 8,
    p: 1,
};

/// Puts a light key of the same owner in the place of the only key of a repository in a folder.
///
/// # Panics
/// If the folder holds no key that the password opens.
pub fn lighten_key(repository: &Path, password: &str) {
    let keys = repository.join("keys");
    let costly = fs::read_dir(&keys).unwrap().next().unwrap().unwrap().path();
    let password = Secret::new(password.as_bytes().to_vec());
    let key = KeyFile::decode(&fs::read(&costly).unwrap()).unwrap();
    let master = key.open(&password).unwrap();
    let owner = KeyOwner {
        created: key.created.timestamp(),
        username: key.username.clone(),
        hostname: key.hostname,
    };
    let made = KeyFile::create(&password, &master, &owner, LIGHT, &SystemEntropy);
    let json = made.unwrap().1;
    fs::write(keys.join(BlobId::of(&json).to_string()), &json).unwrap();
    fs::remove_file(costly).unwrap();
}
