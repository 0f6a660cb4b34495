//! Contrast: 4.5 of text, 3 of large text and of graphics, in dark and in light.

use crate::page::Page;
use crate::scene::Scene;

const CONTRAST: &str = include_str!("contrast.js");

#[test]
fn everything_can_be_read_in_dark_and_in_light() {
    let mut scene = Scene::start();
    let Some(page) = Page::open(scene.http) else { return };
    page.wait("rows().length > 20 && text('#hottest').includes('auction:house')");
    let both = |what: &str| {
        for scheme in ["light", "dark"] {
            page.prefer(scheme);
            page.expect_nothing_wrong(&format!("{what}, {scheme}"), CONTRAST);
        }
    };
    both("locks");
    page.open_lock("auction:house");
    page.wait("text('#queue').includes('crafting-9')");
    both("a lock");
    page.ask("#holders .kick");
    both("a question");
    page.answer("#question-no");
    // What is dimmed can still be read.
    scene.stop();
    page.wait("state() === 'gone'");
    both("no server");
}
