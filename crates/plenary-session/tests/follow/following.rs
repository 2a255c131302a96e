//! What reaches the chain, whatever the validators do.

use crate::fake::{Fake, Script, Then, World, change};
use plenary_session::follow::{Chain, Follower, Timing, Validators, start_with};
use plenary_store::Entry;
use plenary_types::BlockHash;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

const NEVER: Duration = Duration::from_secs(3600);

/// No failure is found by a clock.
const PATIENT: Timing = Timing {
    silence: NEVER,
    ask: NEVER,
    answer: NEVER,
    grace: NEVER,
    late: NEVER,
    backoff: Duration::from_millis(1),
    longest_backoff: NEVER,
};

/// Lag is found, and nothing else.
const WATCHFUL: Timing = Timing {
    ask: Duration::from_millis(10),
    grace: Duration::from_millis(200),
    ..PATIENT
};

/// What was taken: hashes in order, and how high the world's chain was then.
#[derive(Default)]
pub struct Recorder {
    pub taken: watch::Sender<Vec<(BlockHash, u64)>>,
    world: Option<watch::Receiver<Vec<Entry>>>,
    refuse: Option<u64>,
}

impl Chain for Recorder {
    fn height(&self) -> u64 {
        self.taken.borrow().len() as u64
    }

    fn take(&self, entry: Entry) -> Result<(), String> {
        let height = entry.block.header.height;
        assert_eq!(height, self.height() + 1, "blocks are taken in order");
        if self.refuse == Some(height) {
            return Err("no".into());
        }
        let world = self.world.as_ref();
        let world = world.map_or(0, |world| world.borrow().len() as u64);
        let taken = (entry.block.hash(), world);
        self.taken.send_modify(|all| all.push(taken));
        Ok(())
    }
}

struct Run {
    world: World,
    fakes: Vec<Fake>,
    recorder: Arc<Recorder>,
    follower: Follower,
}

impl Run {
    async fn start(world: World, scripts: Vec<Script>, timing: Timing) -> Self {
        let recorder = Recorder {
            world: Some(world.entries.subscribe()),
            ..Recorder::default()
        };
        Self::start_on(world, scripts, timing, recorder).await
    }

    /// The first validator is the nearest, unless its script says otherwise.
    async fn start_on(
        world: World,
        mut scripts: Vec<Script>,
        timing: Timing,
        recorder: Recorder,
    ) -> Self {
        let near = scripts.iter().position(|script| !script.far);
        let others = scripts.iter_mut().enumerate();
        let others = others.filter(|(index, _)| Some(*index) != near);
        others.for_each(|(_, script)| script.far = true);
        let mut fakes = Vec::new();
        for script in scripts {
            fakes.push(Fake::start(&world, script).await);
        }
        let keys = world.network.genesis.validators.iter();
        let urls = fakes.iter().map(|fake| fake.url.clone());
        let validators = Validators {
            nodes: keys.map(|member| member.key).zip(urls).collect(),
        };
        let genesis = Arc::new(world.network.genesis.clone());
        let tip = world.network.genesis_block().header;
        let recorder = Arc::new(recorder);
        let follower = start_with(genesis, &tip, &validators, recorder.clone(), timing);
        Self {
            follower: follower.unwrap(),
            recorder,
            fakes,
            world,
        }
    }

    async fn reaches(&self, height: u64) {
        let mut taken = self.recorder.taken.subscribe();
        let reached = taken.wait_for(|taken| taken.len() as u64 >= height);
        let reached = tokio::time::timeout(Duration::from_secs(60), reached).await;
        drop(reached.expect("the follower stands still").unwrap());
    }

    /// All of the world's chain is taken, and nothing else.
    async fn is_whole(&self) {
        self.reaches(self.world.height()).await;
        let taken = self.recorder.taken.borrow();
        let taken: Vec<_> = taken.iter().map(|(hash, _)| *hash).collect();
        let entries = self.world.entries.borrow();
        let chain: Vec<_> = entries.iter().map(|entry| entry.block.hash()).collect();
        assert_eq!(taken, chain);
    }

    fn opened(&self, fake: usize) -> Vec<u64> {
        self.fakes[fake].opened.lock().clone()
    }
}

#[tokio::test]
async fn an_honest_chain_is_followed_to_its_end_and_on() {
    let run = Run::start(World::new(100), vec![Script::honest()], PATIENT).await;
    run.is_whole().await;
    run.world.grow(true);
    run.is_whole().await;
    let status = run.follower.status();
    assert_eq!((status.height, status.connected), (101, true));
    assert_eq!(status.source, run.world.network.genesis.validators[0].key);
    run.follower.stop().await;
    assert_eq!(*run.fakes[0].opened.lock(), [1]);
}

#[tokio::test]
async fn the_validator_that_answers_first_is_followed() {
    let far = Script {
        far: true,
        ..Script::honest()
    };
    let run = Run::start(World::new(3), vec![far, Script::honest()], PATIENT).await;
    run.is_whole().await;
    assert!(run.opened(0).is_empty());
    assert_eq!(run.opened(1), [1]);
}

#[tokio::test]
async fn nothing_of_what_a_liar_adds_is_taken_and_an_honest_validator_is_followed_on() {
    let lies: [fn(&mut Entry); 6] = [
        // A certificate by too few.
        |entry| {
            if let Some(certificate) = &mut entry.certificate {
                certificate.signatures.pop();
            }
        },
        // A certificate of something else.
        |entry| {
            change(entry, |block| {
                block.header.time = block.header.time.plus_ms(1)
            })
        },
        // No child of the block before.
        |entry| change(entry, |block| block.header.parent = BlockHash([7; 32])),
        // A gap.
        |entry| change(entry, |block| block.header.height += 1),
        // A body that is not the header's.
        |entry| change(entry, |block| block.transactions.clear()),
        // Another network.
        |entry| change(entry, |block| block.header.genesis.0 = [7; 32]),
    ];
    for tamper in lies {
        let liar = Script {
            tamper,
            ..Script::honest()
        };
        let run = Run::start(World::new(5), vec![liar, Script::honest()], PATIENT).await;
        run.is_whole().await;
        assert_eq!(run.opened(1), [3], "what was true is kept");
    }
    for garbage in [&b"HTTP/1.1 200 OK\r\n"[..], &[0xFF; 64]] {
        let liar = Script {
            garbage: Some(garbage),
            ..Script::honest()
        };
        let run = Run::start(World::new(5), vec![liar, Script::honest()], PATIENT).await;
        run.is_whole().await;
    }
}

#[tokio::test]
async fn a_block_without_a_certificate_is_taken_only_with_a_descendants() {
    let world = World::new(1);
    world.grow(false);
    let run = Run::start(world, vec![Script::honest()], PATIENT).await;
    run.reaches(1).await;
    run.world.grow(false);
    run.world.grow(true);
    run.is_whole().await;
    let taken = run.recorder.taken.borrow();
    let heights: Vec<u64> = taken.iter().skip(1).map(|(_, world)| *world).collect();
    assert_eq!(
        heights,
        [4, 4, 4],
        "nothing before the certificate was there"
    );
}

#[tokio::test]
async fn another_validator_goes_on_where_one_closes_or_falls_silent() {
    let short = Timing {
        silence: Duration::from_millis(50),
        ..PATIENT
    };
    for (then, timing) in [(Then::Close, PATIENT), (Then::Hang, short)] {
        let scripts = vec![Script::until(3, then), Script::honest()];
        let run = Run::start(World::new(6), scripts, timing).await;
        run.is_whole().await;
        assert_eq!(run.opened(0)[0], 1);
        assert_eq!(run.opened(1)[0], 4, "it resumes at its height");
    }
}

#[tokio::test]
async fn a_validator_that_cannot_be_reached_is_passed_over() {
    let world = World::new(3);
    let fake = Fake::start(&world, Script::honest()).await;
    let keys = &world.network.genesis.validators;
    let validators = Validators {
        nodes: vec![
            // Nobody listens on port 1.
            (keys[0].key, "http://127.0.0.1:1".into()),
            (keys[1].key, fake.url.clone()),
        ],
    };
    let genesis = Arc::new(world.network.genesis.clone());
    let tip = world.network.genesis_block().header;
    let recorder = Arc::new(Recorder::default());
    let follower = start_with(genesis, &tip, &validators, recorder.clone(), PATIENT).unwrap();
    let mut taken = recorder.taken.subscribe();
    taken.wait_for(|taken| taken.len() == 3).await.unwrap();
    follower.stop().await;
}

#[tokio::test]
async fn a_validator_that_withholds_blocks_is_left_for_one_that_has_them() {
    let scripts = vec![Script::until(3, Then::Live), Script::honest()];
    let run = Run::start(World::new(6), scripts, WATCHFUL).await;
    run.is_whole().await;
    assert_eq!(run.opened(1)[0], 4);
}

#[tokio::test]
async fn a_validator_that_hands_out_blocks_slowly_is_left_too() {
    let slow = Script {
        pause: Duration::from_millis(50),
        ..Script::honest()
    };
    let timing = Timing {
        late: Duration::from_millis(200),
        ..WATCHFUL
    };
    let others = (0..3).map(|_| Script::honest());
    let scripts = [slow].into_iter().chain(others).collect();
    let run = Run::start(World::new(100), scripts, timing).await;
    run.is_whole().await;
    let by_others = (1..4).any(|fake| !run.opened(fake).is_empty());
    assert!(by_others, "the slow one was followed to the end");
}

#[tokio::test]
async fn who_claims_a_height_that_it_does_not_have_stops_nothing() {
    let liar = Script {
        claim: Some(u64::MAX),
        ..Script::until(0, Then::Live)
    };
    let run = Run::start(World::new(3), vec![Script::honest(), liar], WATCHFUL).await;
    run.is_whole().await;
    // The liar is tried, once nothing more comes, and then left.
    let mut tried = 0;
    while tried == 0 {
        tokio::task::yield_now().await;
        tried = run.opened(1).len();
    }
    for _ in 0..3 {
        run.world.grow(true);
        run.is_whole().await;
    }
}

#[tokio::test]
async fn a_block_that_cannot_be_executed_ends_the_follower_with_the_reason() {
    let recorder = Recorder {
        refuse: Some(3),
        ..Recorder::default()
    };
    let scripts = vec![Script::honest(), Script::honest()];
    let run = Run::start_on(World::new(5), scripts, PATIENT, recorder).await;
    assert_eq!(run.follower.failed().await, "no");
    assert_eq!(run.recorder.height(), 2);
    assert_eq!(run.follower.status().failure.as_deref(), Some("no"));
}
