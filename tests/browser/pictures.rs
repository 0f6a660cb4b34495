//! Pictures of the page: those in the documents, and one at each width, for whoever changes it to look at.
//!
//! ```sh
//! cargo test --release --test browser -- --ignored --nocapture pictures
//! ```

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::layout::WIDTHS;
use crate::page::{Page, serve};
use crate::scene::Scene;
use crate::webdriver::key;

/// More would make the documents slow to open.
const BYTES_MAX: usize = 100_000;

#[test]
#[ignore = "writes to src/docs/images"]
fn pictures_for_the_documents() {
    let scene = Scene::start();
    let Some(page) = Page::open(scene.http) else { return };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/images");
    let shoot = |name: &str| {
        let length = shoot(&page, &directory, name);
        assert!(length <= BYTES_MAX, "{name} has {length} bytes");
    };
    page.browser.devtools("Emulation.setScrollbarsHidden", &json!({ "hidden": true }));
    page.resize(1280, 480);
    page.prefer("light");
    // Charts need something to show.
    let [mut ann, mut bob] = ["ann", "bob"].map(|name| scene.connect(name));
    for round in 0..30 {
        for _ in 0..(round * 7) % 11 {
            ann.acquire("boss:9");
            bob.queue_for("boss:9");
            ann.release("boss:9");
            bob.expect_acquired("boss:9");
            bob.release("boss:9");
        }
        ann.acquire("boss:9");
        bob.queue_for("boss:9");
        page.wait_for_answers(2);
        ann.release("boss:9");
        bob.expect_acquired("boss:9");
        bob.release("boss:9");
    }
    shoot("page.png");
    page.prefer("dark");
    page.open_lock("auction:house");
    page.wait("text('#queue').includes('crafting-9')");
    shoot("page-lock.png");
    page.resize(390, 780);
    page.ask("#holders .kick");
    page.wait("/last sent/.test(text('#question'))");
    shoot("page-phone.png");
}

#[test]
#[ignore = "writes to target/tmp"]
fn pictures_of_every_width() {
    let scene = Scene::start();
    let Some(page) = Page::open(scene.http) else { return };
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    println!("{}", directory.display());
    page.wait("rows().length > 20 && text('#hottest').includes('auction:house')");
    for scheme in ["light", "dark"] {
        page.prefer(scheme);
        for width in WIDTHS {
            page.resize(width, 900);
            page.wait(&format!("innerWidth === {width}"));
            shoot(&page, &directory, &format!("{width}-{scheme}.png"));
            page.open_lock("auction:house");
            page.wait("text('#queue').includes('crafting-9')");
            shoot(&page, &directory, &format!("{width}-{scheme}-lock.png"));
            page.ask("#holders .kick");
            shoot(&page, &directory, &format!("{width}-{scheme}-question.png"));
            page.answer("#question-no");
            page.browser.press(&key::ESCAPE.to_string());
            page.wait("!shown(document.querySelector('#lock'))");
        }
    }
    let (_server, empty) = serve(&[]);
    page.browser.go(&format!("http://{empty}/"));
    page.wait("state() === 'live'");
    for width in WIDTHS {
        page.resize(width, 900);
        page.wait(&format!("innerWidth === {width}"));
        shoot(&page, &directory, &format!("{width}-empty.png"));
    }
}

/// Writes a picture of what the page shows, and returns its length in bytes.
fn shoot(page: &Page, directory: &Path, name: &str) -> usize {
    fs::create_dir_all(directory).unwrap();
    let picture = page.browser.screenshot();
    fs::write(directory.join(name), &picture).unwrap();
    picture.len()
}
