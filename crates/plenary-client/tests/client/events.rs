//! Events come once, in order and without gaps, whatever happens to a stream.

use crate::fake::{Fake, client, dead_url};
use axum::{body::Body, response::Response};
use plenary_client::{BlockSummary, ClientError};
use plenary_types::testing::Network;
use std::{convert::Infallible, time::Duration};

/// The final blocks of a chain, from height 1.
fn chain(length: usize) -> Vec<BlockSummary> {
    let network = Network::new(4);
    let mut header = network.genesis_block().header;
    let blocks = (0..length).map(|_| {
        header = network.committed(&header, vec![]).header;
        BlockSummary {
            hash: header.hash(),
            header: header.clone(),
            transactions: vec![],
            certificate: None,
        }
    });
    blocks.collect()
}

fn event(block: &BlockSummary) -> String {
    let data = serde_json::to_string(block).unwrap();
    format!(
        "id: {}\nevent: block\ndata: {data}\n\n",
        block.header.height
    )
}

/// A stream in pieces of a few bytes, which then ends.
fn stream(text: &str) -> Response {
    let pieces: Vec<_> = text.as_bytes().chunks(7).map(<[u8]>::to_vec).collect();
    let pieces = pieces.into_iter().map(Ok::<_, Infallible>);
    Response::new(Body::from_stream(futures::stream::iter(pieces)))
}

/// The height that a stream was asked to begin at.
fn from(target: &str) -> usize {
    let from = target.strip_prefix("/plenary/v1/events?from=").unwrap();
    from.parse().unwrap()
}

#[tokio::test]
async fn events_come_in_order_over_streams_that_break() {
    let blocks = chain(9);
    let chained = blocks.clone();
    // Two whole events a stream, then half of one.
    let validator = Fake::start(move |_, asked| {
        let mut rest = chained[from(&asked.target) - 1..].iter();
        let whole: String = rest.by_ref().take(2).map(event).collect();
        let half = rest.next().map(event).unwrap_or_default();
        stream(&format!(": hello\n\n{whole}{}", &half[..half.len() / 2]))
    })
    .await;
    let dead = dead_url().await;
    let client = client(&[&dead, &validator.url]).with_patience(Duration::from_secs(30));
    let mut events = client.events(Some(1));
    for block in &blocks {
        assert_eq!(events.next().await.unwrap(), *block);
    }
}

#[tokio::test]
async fn lines_may_end_as_they_like() {
    let blocks = chain(2);
    let text: String = blocks.iter().map(event).collect();
    let text = text.replace('\n', "\r\n").replace("data: ", "data:");
    let validator = Fake::start(move |_, _| stream(&text)).await;
    let mut events = client(&[&validator.url])
        .with_patience(Duration::from_secs(30))
        .events(None);
    for block in &blocks {
        assert_eq!(events.next().await.unwrap(), *block);
    }
}

#[tokio::test]
async fn a_gap_is_no_event() {
    let blocks = chain(3);
    let text = event(&blocks[0]) + &event(&blocks[2]);
    let validator = Fake::start(move |_, _| stream(&text)).await;
    let mut events = client(&[&validator.url]).events(Some(1));
    assert_eq!(events.next().await.unwrap(), blocks[0]);
    let error = events.next().await.unwrap_err();
    assert!(matches!(error, ClientError::Unproven { .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_event_is_an_error() {
    let validator = Fake::start(|_, _| stream("data: {}\n\n")).await;
    let error = client(&[&validator.url])
        .events(None)
        .next()
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Form { .. }), "{error}");

    let endless = Fake::start(|_, _| {
        let pieces = std::iter::repeat(Ok::<_, Infallible>(vec![b'x'; 65536]));
        Response::new(Body::from_stream(futures::stream::iter(pieces)))
    })
    .await;
    let error = client(&[&endless.url])
        .events(None)
        .next()
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("more than 16777216 bytes"),
        "{error}"
    );
}
