//! Following a network of real validators.

use crate::{
    following::Recorder,
    network::{Network, header},
};
use plenary_session::follow::{Validators, start};
use plenary_store::Entry;
use plenary_types::genesis::ClientSignatures;
use serde_json::json;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_network_is_followed_although_the_validator_that_is_followed_stops() {
    let mut network = Network::start(ClientSignatures::Optional).await;
    let urls = network.validators.iter().map(|validator| {
        let key = validator.node().key.public_key();
        (key, format!("http://{}", validator.http_addr()))
    });
    let validators = Validators {
        nodes: urls.collect(),
    };
    let genesis = network.validators[0].node().store.genesis_block().clone();
    let recorder = Arc::new(Recorder::default());
    let follower = start(
        network.genesis.clone(),
        &genesis.header,
        &validators,
        recorder.clone(),
    );
    let follower = follower.unwrap();
    let mut taken = recorder.taken.subscribe();
    for round in 0..6 {
        if round == 3 {
            let source = follower.status().source;
            let followed = |validator: &plenary_validator::Validator| {
                validator.node().key.public_key() == source
            };
            let index = network.validators.iter().position(followed).unwrap();
            network.validators.remove(index).stop().await.unwrap();
        }
        let answer = network.post(0, "/accounts/ann/deposits", &json!(1)).await;
        let height: usize = header(&answer, "plenary-height").parse().unwrap();
        taken.wait_for(|taken| taken.len() >= height).await.unwrap();
    }
    let store = network.validators[0].node().store.clone();
    for (height, (hash, _)) in (1..).zip(recorder.taken.borrow().iter()) {
        let Entry { block, .. } = store.entry(height).unwrap().unwrap();
        assert_eq!(*hash, block.hash());
    }
    follower.stop().await;
    network.stop_all().await;
}
