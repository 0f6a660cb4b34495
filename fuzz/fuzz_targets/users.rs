//! Any text is a users file or an error on one line, which never repeats what could be a secret.

#![no_main]

use libfuzzer_sys::fuzz_target;
use officer::server::Access;

fuzz_target!(|text: &str| {
    match Access::parse(text) {
        Ok(access) => {
            assert!(access.has_users());
            assert!(access.users() > 0 || !access.has_secrets());
        }
        Err(error) => {
            let said = error.to_string();
            assert!(!said.contains('\n') && !said.is_empty(), "one line: {said:?}");
            let is_secret = |run: &&str| run.len() >= 32 && run.bytes().all(|byte| byte.is_ascii_hexdigit());
            for run in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(is_secret) {
                assert!(!said.contains(run), "a secret is repeated: {said:?}");
            }
        }
    }
});
