//! Files of users.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

/// The table of a user with this secret.
pub(crate) fn table(user: &str, secret: &str, fields: &str) -> String {
    let hex: String = digest(&SHA256, secret.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[users.{user}]\nsecret_sha256 = \"{hex}\"\n{fields}\n")
}

/// Writes a file that nobody else can read.
pub(crate) fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// What a user says first.
pub(crate) fn hello(user: &str, secret: &str) -> Value {
    json!({"command": "hello", "user": user, "secret": secret})
}
