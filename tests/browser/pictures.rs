//! The pictures in the documents. `cargo test --release --test browser -- --ignored pictures` makes them again.

use std::fs;
use std::path::Path;

use crate::page::Page;
use crate::scene::Scene;

/// More would make the documents slow to open.
const BYTES_MAX: usize = 100_000;

#[test]
#[ignore = "writes to src/docs/images"]
fn pictures_for_the_documents() {
    let scene = Scene::start();
    let Some(page) = Page::open(scene.http) else { return };
    page.wait("rows().length > 20 && text('#hottest').includes('auction:house')");
    // A line needs some moments.
    page.wait_for_answers(40);
    page.prefer("light");
    shoot(&page, "page.png");
    page.prefer("dark");
    page.open_lock("auction:house");
    page.wait("text('#queue').includes('crafting-9')");
    shoot(&page, "page-lock.png");
    page.resize(390, 780);
    page.ask("#holders .kick");
    shoot(&page, "page-phone.png");
}

fn shoot(page: &Page, name: &str) {
    let picture = page.browser.screenshot();
    assert!(picture.len() <= BYTES_MAX, "{name} has {} bytes", picture.len());
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/images");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(name), picture).unwrap();
}
