//! Where tokens come from: blocks that whoever runs the server has reserved.

use officer::engine::TokenBlock;
use officer::server::{Limits, Server};

use crate::words::{acquired, lock, with};
use crate::world::World;

#[test]
fn tokens_go_on_in_a_block_that_is_asked_for_when_half_of_the_present_one_is_used() {
    let mut world = World::new();
    world.server = Server::new(Limits::default(), TokenBlock::new(1, 5));
    let [ann] = world.connect();
    let mut next_block = 100;
    let mut grant = |name: &str, token: u64| {
        let reply = with(&acquired(name), &format!(r#""token":{token}"#));
        assert_eq!(world.say(ann, &lock(name, r#""fence":true"#)), [(ann, reply)]);
        if world.server.wants_tokens() {
            world.server.add_tokens(TokenBlock::new(next_block, next_block + 2));
            next_block += 100;
        }
        world.server.tokens_left()
    };
    assert_eq!(grant("a", 1), 3, "half of four are not used yet");
    assert_eq!(grant("b", 2), 2 + 2, "here they are");
    assert_eq!([grant("c", 3), grant("d", 4)], [3, 2]);
    assert_eq!(grant("e", 100), 1 + 2);
    assert_eq!([grant("f", 101), grant("g", 200)], [2, 1 + 2]);
}
