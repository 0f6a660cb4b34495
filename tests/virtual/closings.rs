//! The limit on requests that may close their lock.

use std::time::Duration;

use officer::server::Limits;

use crate::words::{acquired, lock, unlock};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

fn refused(name: &str) -> String {
    format!(
        r#"{{"result":"error","reason":"too_many_locks","message":"limit on locks with min_hold or lost_delay reached","name":"{name}"}}"#
    )
}

#[test]
fn requests_that_may_close_their_lock_are_counted_until_it_is_open_again() {
    for closing in [r#""min_hold":2"#, r#""lost_delay":2"#] {
        let mut world = World::with_limits(Limits { closing_locks_max: 1, ..Limits::default() });
        let [ann, bob] = world.connect();
        assert_eq!(world.say(ann, &lock("a", closing)), [(ann, acquired("a"))], "one is allowed");
        assert_eq!(world.say(bob, &lock("b", closing)), [(bob, refused("b"))]);
        // Those that never close it are not counted.
        for fields in ["", r#""min_hold":0"#, r#""lost_delay":0"#, r#""lease":9,"priority":1"#] {
            assert_eq!(world.say(bob, &lock("c", fields)).len(), 1);
            assert_eq!(world.say(bob, &lock("d", "")), [(bob, acquired("d"))], "{fields}");
            world.say(bob, &unlock("c"));
            world.say(bob, &unlock("d"));
        }
        world.say(ann, &unlock("a"));
        world.pass(SECOND * 2);
        assert_eq!(world.say(bob, &lock("b", closing)), [(bob, acquired("b"))], "nothing is left of the other");
        world.say(bob, &unlock("b"));
        world.pass(SECOND * 2);
    }
}
