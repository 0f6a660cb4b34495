//! Any text is a users file, or an error on one line.

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
        }
    }
});
