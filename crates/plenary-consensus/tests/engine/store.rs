//! What the engine keeps, what it takes from the application's ledger, and how the two get
//! together again when one of them is older.

use crate::{
    log::{Disk, Log},
    world::{SECOND, World, node, settings},
};
use plenary_consensus::simulation::run;
use plenary_types::{Block, Receipt, Signature};

async fn commits(world: &World, validators: usize, count: usize, name: &str) {
    for round in 0..count {
        world
            .commit(round % validators, &format!("{name} {round}"))
            .await;
    }
}

#[test]
fn who_was_away_for_long_is_served_from_the_ledgers_of_the_others() {
    let settings = settings(21, 4);
    let genesis = settings.genesis.clone();
    run(settings, |mut net| async move {
        net.keep(16);
        let mut world = World::all(net, &genesis).await;
        world.crash(3).await;
        commits(&world, 3, 120, "text").await;
        let asked: u64 = (0..3).map(|validator| world.log(validator).asked()).sum();
        world.start(3).await;
        assert!(world.converge(30 * SECOND).await);
        assert_eq!(world.log(3).texts().len(), 120);
        let served: u64 = (0..3).map(|validator| world.log(validator).asked()).sum();
        assert!(
            served >= asked + 80,
            "the engines had more than they should keep"
        );
        world.commit(3, "last").await;
        world.assert_agreement(|_| true);
    });
}

#[test]
fn an_engine_whose_files_are_lost_goes_on_from_the_ledger() {
    let settings = settings(22, 4);
    let genesis = settings.genesis.clone();
    run(settings, |net| async move {
        let mut world = World::all(net, &genesis).await;
        commits(&world, 4, 20, "text").await;
        world.crash(2).await;
        world.net.lose_files(2);
        commits(&world, 2, 10, "without").await;
        world.start(2).await;
        assert!(world.converge(30 * SECOND).await);
        // The last it had comes again, and what it missed.
        assert!(
            world.log(2).delivered() <= 11,
            "{}",
            world.log(2).delivered()
        );
        world.commit(2, "last").await;
        world.assert_agreement(|_| true);
    });
}

#[test]
fn an_application_that_lost_its_latest_blocks_gets_them_again() {
    let settings = settings(23, 4);
    let genesis = settings.genesis.clone();
    run(settings, |net| async move {
        let mut world = World::all(net, &genesis).await;
        commits(&world, 4, 30, "text").await;
        world.crash(1).await;
        world.disks[1].lock().truncate(10);
        world.start(1).await;
        assert!(world.converge(SECOND).await);
        assert_eq!(world.log(1).delivered(), 20);
        world.commit(1, "last").await;
        world.assert_agreement(|_| true);
    });
}

#[test]
fn an_application_that_lost_more_than_the_engine_keeps_ends_it_with_a_reason() {
    let settings = settings(24, 4);
    let genesis = settings.genesis.clone();
    run(settings, |mut net| async move {
        net.keep(16);
        let mut world = World::all(net, &genesis).await;
        commits(&world, 4, 80, "text").await;
        world.crash(1).await;
        world.disks[1].lock().truncate(10);
        world.start(1).await;
        world.net.sleep(SECOND).await;
        let failure = world.net.failure(1).unwrap();
        assert!(failure.contains("needs block 11"), "{failure}");
    });
}

#[test]
fn an_application_that_drops_an_acknowledgement_ends_its_engine_with_a_reason() {
    let settings = settings(25, 4);
    let genesis = settings.genesis.clone();
    run(settings, |net| async move {
        let mut world = World::new(net, &genesis);
        for validator in 0..3 {
            world.start(validator).await;
        }
        let mut log =
            std::sync::Arc::into_inner(Log::with_disk(&genesis, &Disk::default(), 1)).unwrap();
        log.careless = true;
        world.net.start(3, node(&std::sync::Arc::new(log))).await;
        world.commit(0, "text").await;
        world.net.sleep(SECOND).await;
        let failure = world.net.failure(3).unwrap();
        assert!(failure.contains("did not acknowledge block 1"), "{failure}");
        assert_eq!(world.net.failure(0), None);
    });
}

#[test]
fn certificates_of_the_engine_prove_blocks_and_nothing_else() {
    for n in [4, 7] {
        let settings = settings(26, n);
        let genesis = settings.genesis.clone();
        let chain = run(settings, |net| {
            let genesis = genesis.clone();
            async move {
                let world = World::all(net, &genesis).await;
                commits(&world, 4, 5, "text").await;
                world.log(2).chain()
            }
        });
        for (block, certificate) in chain {
            let certificate = certificate.unwrap();
            assert_eq!(certificate.signatures.len(), genesis.quorum());
            certificate.verify(&block.header, &genesis).unwrap();
            let receipt = Receipt::new(&block, 0, Vec::new(), certificate.clone()).unwrap();
            receipt.verify(&genesis).unwrap();
            let refused = |change: &dyn Fn(&mut Block)| {
                let mut altered = Block::clone(&block);
                change(&mut altered);
                certificate.verify(&altered.header, &genesis).unwrap_err();
            };
            refused(&|block| block.header.height += 1);
            refused(&|block| block.header.round.epoch += 1);
            refused(&|block| block.header.round.view += 1);
            refused(&|block| block.header.round.parent_view += 1);
            refused(&|block| block.header.parent.0[0] ^= 1);
            refused(&|block| block.header.proposer.0[0] ^= 1);
            refused(&|block| block.header.time.0 += 1);
            refused(&|block| block.header.count += 1);
            refused(&|block| block.header.transactions.0[0] ^= 1);
            refused(&|block| block.header.outcomes.0[0] ^= 1);
            refused(&|block| block.header.state.0[0] ^= 1);
            refused(&|block| block.header.genesis.0[0] ^= 1);
            for index in 0..certificate.signatures.len() {
                let mut altered = certificate.clone();
                let Signature(bytes) = &mut altered.signatures[index].signature;
                bytes[0] ^= 1;
                altered.verify(&block.header, &genesis).unwrap_err();
                let mut altered = certificate.clone();
                altered.signatures[index].validator ^= 1;
                altered.verify(&block.header, &genesis).unwrap_err();
                let mut altered = certificate.clone();
                altered.signatures.remove(index);
                altered.verify(&block.header, &genesis).unwrap_err();
            }
        }
    }
}
