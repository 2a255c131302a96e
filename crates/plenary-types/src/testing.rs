//! Fixtures for tests: a network with known keys, and the values it makes. Feature `testing`.
//!
//! Everything is deterministic: the same calls give the same bytes.

#![allow(clippy::unwrap_used)] // A fixture that cannot be made is a failed test.

use crate::{
    Author, Block, Certificate, ClientSignature, Digest, Evidence, Genesis, Header, Method,
    Operation, Outcome, PrivateKey, Receipt, Request, Response, Round, ServiceId, Timestamp,
    Transaction,
    block::{outcomes_root, transactions_root},
    certificate::{Phase, ValidatorSignature, statement},
    evidence::Vote,
    genesis::{ClientSignatures, Member},
};
use bytes::Bytes;

/// The time at which everything in a test network happens.
pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// Where clients of a test network send their requests.
pub const ORIGIN: &str = "http://127.0.0.1:5000";

/// A client's key.
pub fn client(number: u8) -> PrivateKey {
    PrivateKey::from_seed([number; 32])
}

/// A POST request with a JSON body.
pub fn request(target: &str, body: &str) -> Request {
    Request {
        method: Method::Post,
        target: target.into(),
        content_type: "application/json".into(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// A JSON response.
pub fn response(status: u16, body: &str) -> Response {
    Response {
        status,
        content_type: "application/json".into(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// `client`'s signature over `request` at [`NOW`].
pub fn signed(client: &PrivateKey, request: &Request, nonce: &str) -> Author {
    let signature = ClientSignature::sign(client, request, ORIGIN, nonce, NOW.0 / 1000);
    Author::Signed(signature.unwrap())
}

/// An operation of a client at [`NOW`], which read nothing.
pub fn operation(
    client: &PrivateKey,
    nonce: &str,
    request: Request,
    response: Response,
) -> Operation {
    Operation {
        author: signed(client, &request, nonce),
        request,
        time: NOW,
        reads: Vec::new(),
        response,
    }
}

/// A network whose private keys are known.
pub struct Network {
    /// Its genesis: validators are called `validator-0` and so on, by index.
    pub genesis: Genesis,
    /// The validators' keys, by index.
    pub validators: Vec<PrivateKey>,
}

impl Network {
    /// A network of `count` validators that run the service `test` 1.0.0.
    pub fn new(count: usize) -> Self {
        Self::of_service(count, "test", "1.0.0")
    }

    /// A network of `count` validators and a service of choice.
    pub fn of_service(count: usize, name: &str, version: &str) -> Self {
        let seeds = (0..count as u64).map(|number| Digest::of("test", &[&number.to_be_bytes()]).0);
        let mut validators: Vec<_> = seeds.map(PrivateKey::from_seed).collect();
        validators.sort_by_key(PrivateKey::public_key);
        let members = validators.iter().enumerate().map(|(index, key)| Member {
            name: format!("validator-{index}"),
            key: key.public_key(),
        });
        let genesis = Genesis::new(
            "test-network",
            NOW,
            ClientSignatures::Required,
            ServiceId {
                name: name.into(),
                version: version.into(),
            },
            members.collect(),
            Vec::new(),
            serde_json::Value::Null,
        );
        Self {
            genesis: genesis.unwrap(),
            validators,
        }
    }

    /// A transaction that validator `originator` signed, without a client's commitment.
    pub fn transaction(&self, originator: usize, operations: Vec<Operation>) -> Transaction {
        let key = &self.validators[originator];
        let service = self.genesis.service.clone();
        Transaction::sign(
            key,
            &self.genesis.hash(),
            service,
            operations,
            None,
            Vec::new(),
        )
        .unwrap()
    }

    /// A transaction of one operation, another one for every `number`.
    pub fn numbered_transaction(&self, number: u64) -> Transaction {
        let request = request(&format!("/item/{number}"), "{}");
        let nonce = format!("{number:032x}");
        let operation = operation(&client(7), &nonce, request, response(201, "{}"));
        self.transaction(0, vec![operation])
    }

    /// The genesis block, with an all-zero state root.
    pub fn genesis_block(&self) -> Block {
        Block::genesis(&self.genesis, Digest([0; 32]))
    }

    /// A block after `parent` in the next view, of transactions and their outcomes.
    pub fn block(
        &self,
        parent: &Header,
        transactions: Vec<Transaction>,
        outcomes: Vec<Outcome>,
    ) -> Block {
        let view = parent.round.view + 1;
        let header = Header {
            genesis: self.genesis.hash(),
            height: parent.height + 1,
            round: Round {
                epoch: 0,
                view,
                parent_view: parent.round.view,
            },
            parent: parent.hash(),
            proposer: self.genesis.validators[view as usize % self.validators.len()].key,
            time: parent.time.plus_ms(1),
            count: transactions.len() as u32,
            transactions: transactions_root(&transactions),
            outcomes: outcomes_root(&transactions, &outcomes),
            state: Digest::of("test state", &[&view.to_be_bytes()]),
        };
        Block {
            header,
            transactions,
            outcomes,
        }
    }

    /// A block of committed transactions.
    pub fn committed(&self, parent: &Header, transactions: Vec<Transaction>) -> Block {
        let outcomes = vec![Outcome::Committed; transactions.len()];
        self.block(parent, transactions, outcomes)
    }

    /// A validator's vote.
    pub fn vote(&self, validator: usize, phase: Phase, round: Round, header: &Header) -> Vote {
        let block = (phase != Phase::Nullify).then(|| header.hash());
        let message = statement(&self.genesis.hash(), phase, &round, block.as_ref());
        Vote {
            phase,
            round,
            block,
            signature: self.validators[validator].sign(&message),
        }
    }

    /// The signatures of some validators that make `header` final, if they are enough.
    pub fn certificate_by(&self, header: &Header, signers: &[usize]) -> Certificate {
        let signatures = signers.iter().map(|&validator| ValidatorSignature {
            validator: validator as u32,
            signature: self
                .vote(validator, Phase::Finalize, header.round, header)
                .signature,
        });
        Certificate {
            signatures: signatures.collect(),
        }
    }

    /// A certificate by the quorum of the first validators.
    pub fn certificate(&self, header: &Header) -> Certificate {
        let quorum: Vec<usize> = (0..self.genesis.quorum()).collect();
        self.certificate_by(header, &quorum)
    }

    /// A receipt of the transaction at `index` of `block`, certified by the block's descendant
    /// `descendants` generations on.
    pub fn receipt(&self, block: &Block, index: u32, descendants: usize) -> Receipt {
        let mut headers = vec![block.header.clone()];
        for _ in 0..descendants {
            let parent = headers.last().unwrap();
            headers.push(self.committed(parent, Vec::new()).header);
        }
        let certificate = self.certificate(headers.last().unwrap());
        Receipt::new(block, index, headers.split_off(1), certificate).unwrap()
    }

    /// Proof that `validator` voted for two blocks in one view.
    pub fn equivocation(&self, validator: usize) -> Evidence {
        let genesis = self.genesis_block().header;
        let one = self.committed(&genesis, Vec::new()).header;
        let other = self
            .committed(&genesis, vec![self.numbered_transaction(1)])
            .header;
        Evidence {
            validator: validator as u32,
            first: self.vote(validator, Phase::Notarize, one.round, &one),
            second: self.vote(validator, Phase::Notarize, other.round, &other),
        }
    }
}
