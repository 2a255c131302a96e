//! The stream of final blocks.

use crate::network::{Network, header};
use plenary_types::{Block, BlockHash, Certificate, genesis::ClientSignatures};
use plenary_validator::frames::{ALIVE, Frames};
use reqwest::Response;
use serde_json::json;

struct Blocks {
    response: Response,
    frames: Frames,
}

impl Blocks {
    async fn from(network: &Network, validator: usize, height: u64) -> Self {
        let url = network.url(validator, &format!("/plenary/v1/blocks?from={height}"));
        let request = network.http.get(url);
        let octets = request.header("accept", "application/octet-stream");
        let response = octets.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(
            header(&response, "content-type"),
            "application/octet-stream"
        );
        Self {
            response,
            frames: Frames::default(),
        }
    }

    /// The next block; none where the stream has ended.
    async fn next(&mut self) -> Option<(Block, Option<Certificate>)> {
        loop {
            if let Some(frame) = self.frames.next_block().unwrap() {
                return Some(frame.decode().unwrap());
            }
            self.frames.push(&self.response.chunk().await.unwrap()?);
        }
    }
}

async fn deposit(network: &Network) {
    let answer = network.post(0, "/accounts/ann/deposits", &json!(1)).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_gets_every_final_block_from_a_height_on_as_it_becomes_final() {
    let network = Network::start(ClientSignatures::Optional).await;
    for _ in 0..3 {
        deposit(&network).await;
    }
    let mut blocks = Blocks::from(&network, 0, 2).await;
    let mut parent: Option<BlockHash> = None;
    for height in 2..=6 {
        if height > 3 {
            deposit(&network).await;
        }
        let (block, certificate) = blocks.next().await.unwrap();
        assert_eq!(block.header.height, height);
        assert!(parent.is_none_or(|parent| parent == block.header.parent));
        if let Some(certificate) = certificate {
            certificate.verify(&block.header, &network.genesis).unwrap();
        }
        parent = Some(block.hash());
    }
    // Heights that are not there yet are waited for; there is no block before the first.
    let mut ahead = Blocks::from(&network, 1, 7).await;
    deposit(&network).await;
    assert_eq!(ahead.next().await.unwrap().0.header.height, 7);
    let mut whole = Blocks::from(&network, 2, 0).await;
    assert_eq!(whole.next().await.unwrap().0.header.height, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_on_which_nothing_happens_shows_that_it_lives() {
    let network = Network::start(ClientSignatures::Optional).await;
    let mut blocks = Blocks::from(&network, 0, 1).await;
    let first = blocks.response.chunk().await.unwrap().unwrap();
    assert_eq!(first, ALIVE[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_validator_stops() {
    let mut network = Network::start(ClientSignatures::Optional).await;
    deposit(&network).await;
    let mut blocks = Blocks::from(&network, 0, 1).await;
    blocks.next().await.unwrap();
    let validator = network.validators.remove(0);
    let (stopped, next) = tokio::join!(validator.stop(), blocks.next());
    stopped.unwrap();
    assert_eq!(next, None);
    network.stop_all().await;
}
