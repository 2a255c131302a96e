//! Which validator gets a transaction.

use crate::fake::{Fake, Script, World};
use plenary_session::follow::{
    Validators,
    submit::{Refused, Submitter},
};
use plenary_types::{Header, Problem, Transaction};
use tokio::sync::mpsc;

struct Run {
    world: World,
    fakes: Vec<Fake>,
    submitter: Submitter,
    refused: mpsc::UnboundedReceiver<Refused>,
}

impl Run {
    /// Validators by index; nobody listens for those without a script.
    async fn start(scripts: [Option<Script>; 4]) -> Self {
        let world = World::new(0);
        let (mut fakes, mut nodes) = (Vec::new(), Vec::new());
        for (script, member) in scripts.into_iter().zip(&world.network.genesis.validators) {
            let url = match script {
                Some(script) => {
                    fakes.push(Fake::start(&world, script).await);
                    fakes[fakes.len() - 1].url.clone()
                }
                None => "http://127.0.0.1:1".into(),
            };
            nodes.push((member.key, url));
        }
        let (sender, refused) = mpsc::unbounded_channel();
        let tip = proposed_by(&world, 0);
        let report = move |refusal| sender.send(refusal).unwrap();
        let submitter = Submitter::new(&Validators { nodes }, &tip, report).unwrap();
        Self {
            world,
            fakes,
            submitter,
            refused,
        }
    }

    fn transaction(&self) -> Transaction {
        self.world.network.numbered_transaction(1)
    }

    async fn given(&self, fake: usize) -> Transaction {
        let mut given = self.fakes[fake].given.clone();
        let given = given.wait_for(|given| !given.is_empty()).await.unwrap();
        given[0].clone()
    }
}

fn proposed_by(world: &World, validator: usize) -> Header {
    let mut header = world.network.genesis_block().header;
    header.proposer = world.network.genesis.validators[validator].key;
    header
}

fn honest() -> Option<Script> {
    Some(Script::honest())
}

#[tokio::test]
async fn a_transaction_goes_to_the_next_leader_and_when_tried_again_to_the_one_after() {
    let run = Run::start([honest(), honest(), honest(), honest()]).await;
    let transaction = run.transaction();
    run.submitter.submit(&transaction, 0);
    assert_eq!(run.given(1).await, transaction);
    run.submitter.submit(&transaction, 1);
    assert_eq!(run.given(2).await, transaction);
    run.submitter.followed(&proposed_by(&run.world, 3));
    run.submitter.submit(&transaction, 0);
    assert_eq!(run.given(0).await, transaction);
}

#[tokio::test]
async fn a_validator_that_does_not_take_a_transaction_is_passed_over() {
    let full = Problem::new(503, "mempool-full", "later").retryable();
    let full = Script {
        refuse: Some(full),
        ..Script::honest()
    };
    let run = Run::start([honest(), None, Some(full), honest()]).await;
    let transaction = run.transaction();
    run.submitter.submit(&transaction, 0);
    assert_eq!(run.given(2).await, transaction);
}

#[tokio::test]
async fn a_refusal_for_good_is_reported_with_who_refuses() {
    let invalid = Script {
        refuse: Some(Problem::new(422, "client-signature", "no")),
        ..Script::honest()
    };
    let mut run = Run::start([honest(), Some(invalid), honest(), honest()]).await;
    let transaction = run.transaction();
    run.submitter.submit(&transaction, 0);
    let refused = run.refused.recv().await.unwrap();
    assert_eq!(refused.transaction, transaction.hash());
    assert_eq!(
        refused.validator,
        run.world.network.genesis.validators[1].key
    );
    assert_eq!(refused.problem.code, "client-signature");
}
