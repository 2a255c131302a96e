//! Many sessions at once.

use crate::{support::Client, world::World};
use plenary_types::Outcome;
use plenary_validator::testing::bank::deposit_request;

#[test]
fn ten_thousand_open_sessions_are_each_kept_and_committed() {
    const SESSIONS: u32 = 10_000;
    let mut world = World::new(1);
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..SESSIONS {
        let mut client = Client::new(1, &number.to_string());
        let account = format!("account-{number}");
        world.step(0, &mut client, deposit_request(&account, 5));
        clients.push(client);
    }
    assert_eq!(world.node(0).sessions.len(), SESSIONS as usize);
    for client in clients.iter_mut().step_by(100) {
        world.step(0, client, deposit_request("own", 1));
    }
    let page = world.node(0).sessions.page(None, 100);
    let next = world.node(0).sessions.page(Some(page[99].id), 100);
    assert!(page[99].id < next[0].id);
    for client in clients.iter().skip(1).step_by(100) {
        world.commit(0, client);
    }
    let decided = world.ratify();
    assert_eq!(decided.len(), 100);
    assert!(
        decided
            .iter()
            .all(|(_, outcome)| *outcome == Outcome::Committed)
    );
    world.restart(0);
    for client in clients.iter().step_by(100) {
        assert_eq!(world.chain(0, client), client.chain());
    }
}
