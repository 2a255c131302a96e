//! Whole networks in virtual time.

use crate::log::{Log, genesis_block, network};
use plenary_consensus::simulation::{Link, Network, Node, Settings, run};
use std::{sync::Arc, time::Duration};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn settings(seed: u64, n: u8) -> Settings {
    let (genesis, keys) = network(n);
    Settings {
        seed,
        genesis_block: genesis_block(&genesis),
        genesis,
        keys,
        link: Link::reliable(Duration::from_millis(20), Duration::from_millis(5)),
    }
}

pub(crate) fn node(log: &Arc<Log>) -> Node {
    Node {
        application: log.clone(),
        demand: log.demand.clone(),
    }
}

pub(crate) async fn start_all(net: &mut Network, logs: &[Arc<Log>]) {
    for (index, log) in logs.iter().enumerate() {
        net.start(index, node(log)).await;
    }
}

#[test]
fn texts_come_to_all_validators_in_one_order() {
    let settings = settings(1, 4);
    let logs: Vec<_> = (0..4).map(|_| Log::new(&settings.genesis)).collect();
    run(settings, |mut net| async move {
        start_all(&mut net, &logs).await;
        for round in 0..20 {
            let text = format!("text {round}");
            let message = logs[round % 4].submit(text.as_bytes());
            net.broadcast(round % 4, &message);
            let done = || logs.iter().all(|log| log.has(text.as_bytes()));
            assert!(net.wait(10 * SECOND, done).await, "{text} is not final");
        }
        let texts = logs[0].texts();
        assert_eq!(texts.len(), 20);
        assert!(logs.iter().all(|log| log.texts() == texts));
        assert_eq!(net.blocked().await, []);
    });
}
