//! What a machine lacks that a test needs.

/// Says that a test is skipped. Where all have to run, as in CI, this is a failure.
#[track_caller]
pub(crate) fn skipped(why: &str) {
    assert!(std::env::var_os("OFFICER_TESTS_SKIP_NOTHING").is_none(), "skipped: {why}");
    eprintln!("skipped: {why}");
}
