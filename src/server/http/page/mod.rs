//! The page for operators: three files in the binary, which ask under `/api` for everything that they show.
//!
//! The rules for whoever changes it are at the top of `text.js`.

use super::answer::{Answer, Kind};

const HTML: &str = include_str!("index.html");
const CSS: &str = include_str!("page.css");
/// One script, so that the page is three requests.
const SCRIPT: &str = concat!(
    include_str!("text.js"),
    include_str!("ask.js"),
    include_str!("figures.js"),
    include_str!("rows.js"),
    include_str!("lock.js"),
    include_str!("page.js"),
);

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    Html,
    Css,
    Script,
}

impl File {
    pub(super) fn answer(self) -> Answer {
        let (kind, text) = match self {
            File::Html => (Kind::Html, HTML),
            File::Css => (Kind::Css, CSS),
            File::Script => (Kind::Script, SCRIPT),
        };
        Answer::new(200, kind, text.into())
    }
}
