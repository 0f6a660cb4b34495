//! Listings page by page of more than one page looks at.

use officer::server::Limits;
use serde_json::{Value, json};

use crate::words::lock;
use crate::world::World;

#[test]
fn a_page_that_has_looked_at_ten_thousand_locks_says_where_to_go_on() {
    let limits = Limits { connection_locks_max: 20_000, turn_read_bytes: 16 << 20, ..Limits::default() };
    let mut world = World::with_limits(limits);
    let [ann] = world.connect();
    let mut lines: String = (0..10_000).map(|number| lock(&number.to_string(), "") + "\n").collect();
    lines += &(lock("last", "") + "\n");
    assert_eq!(world.send(ann, lines.as_bytes()).len(), 10_001);
    let mut page = |after: &str| -> Value {
        let line = format!(r#"{{"command":"locks","prefix":"l"{after}}}"#);
        serde_json::from_str(&world.say(ann, &line)[0].1).expect("JSON")
    };
    let first = page("");
    assert_eq!(first["value"], json!({}));
    let next = first["next"].as_str().expect("there is more");
    let second = page(&format!(r#","after":"{next}""#));
    assert_eq!(second, json!({"result": "locks", "value": {"last": ["10.0.0.1:1"]}}));
}
