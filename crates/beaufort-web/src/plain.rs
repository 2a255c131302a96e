//! The protocol's values as plain JavaScript objects, which can be sent between a worker and its page.

use beaufort::{Certificate, Entry, Evidence, Exclusion, Output, Phase, Signed, Signers, Status};
use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::JsValue;

/// An object with these members.
pub(crate) fn object<const N: usize>(members: [(&str, JsValue); N]) -> JsValue {
    let object = Object::new();
    for (name, value) in members {
        // A new object takes any member.
        let _ = Reflect::set(&object, &name.into(), &value);
    }
    object.into()
}

/// Bytes of their own, which do not lie in the module's memory.
pub(crate) fn bytes(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

fn number(number: u64) -> JsValue {
    (number as f64).into()
}

fn signers(signers: &Signers) -> JsValue {
    let ids = signers.iter().map(|(member, _)| JsValue::from(member.0));
    ids.collect::<Array>().into()
}

/// `{type, ..}`: what the driver is to do.
pub(crate) fn output(output: &Output) -> JsValue {
    match output {
        Output::Send { to, bytes: content } => object([
            ("type", "send".into()),
            ("to", to.0.into()),
            ("bytes", bytes(content)),
        ]),
        Output::Persist { key, record } => object([
            ("type", "persist".into()),
            ("key", bytes(key)),
            ("record", bytes(record)),
        ]),
        Output::Commit {
            key,
            entry: decided,
        } => object([
            ("type", "commit".into()),
            ("key", bytes(key)),
            ("entry", entry(decided)),
        ]),
        Output::Settled {
            ticket,
            won,
            entry: decided,
        } => object([
            ("type", "settled".into()),
            ("ticket", number(ticket.0)),
            ("won", (*won).into()),
            ("entry", entry(decided)),
        ]),
        Output::Connect(member) => {
            object([("type", "connect".into()), ("member", member.0.into())])
        }
        Output::Disconnect(member) => {
            object([("type", "disconnect".into()), ("member", member.0.into())])
        }
        Output::Evidence(shown) => {
            object([("type", "evidence".into()), ("evidence", evidence(shown))])
        }
    }
}

/// `{view, value, certificate}`, the value `null` where the key was deleted.
pub(crate) fn entry(entry: &Entry) -> JsValue {
    let value = entry.value.as_deref();
    object([
        ("view", number(entry.view)),
        ("value", value.map_or(JsValue::NULL, bytes)),
        ("certificate", certificate(&entry.certificate)),
    ])
}

/// `{view, round, digest, signers, bytes}`; the last is what `verifyCertificate` takes.
pub(crate) fn certificate(certificate: &Certificate) -> JsValue {
    object([
        ("view", number(certificate.view)),
        ("round", certificate.round.into()),
        ("digest", hex::encode(certificate.value).into()),
        ("signers", signers(&certificate.signers)),
        ("bytes", encoded(certificate)),
    ])
}

/// `{culprit, key, view, votes, bytes}`: who voted twice, and the two votes.
fn evidence(evidence: &Evidence) -> JsValue {
    let vote = |Signed {
                    ballot,
                    signers: who,
                    ..
                }: &Signed| {
        let phase = match ballot.phase {
            Phase::PreCommit => "pre-commit",
            Phase::Commit => "commit",
        };
        object([
            ("round", ballot.round.into()),
            ("phase", phase.into()),
            ("digest", hex::encode(ballot.value).into()),
            ("signers", signers(who)),
        ])
    };
    let votes: Array = evidence.votes.iter().map(vote).collect();
    object([
        ("culprit", evidence.culprit.0.into()),
        ("key", bytes(&evidence.key)),
        ("view", number(evidence.view)),
        ("votes", votes.into()),
        ("bytes", encoded(evidence)),
    ])
}

/// `{neighbours, pending, excluded, isCautious, root}`.
pub(crate) fn status(status: &Status, root: &[u8]) -> JsValue {
    let neighbours = status
        .neighbours
        .iter()
        .map(|member| JsValue::from(member.0));
    let excluded = status
        .excluded
        .iter()
        .map(|(member, why)| object([("member", member.0.into()), ("reason", reason(why).into())]));
    object([
        ("neighbours", neighbours.collect::<Array>().into()),
        ("pending", (status.open as f64).into()),
        ("excluded", excluded.collect::<Array>().into()),
        ("isCautious", (!status.distrusted.is_empty()).into()),
        ("root", hex::encode(root).into()),
    ])
}

fn reason(why: &Exclusion) -> String {
    match why {
        Exclusion::DoubleVote(_) => "it voted for two values where it has one vote".to_owned(),
        Exclusion::Invalid(what) => format!("it sent what no honest member sends: {what}"),
        Exclusion::FalseSignature => "it vouched for signatures that are false".to_owned(),
        Exclusion::Malformed => "it sent bytes that are no message".to_owned(),
    }
}

/// In the protocol's own encoding, which its other implementations read.
fn encoded<T: serde::Serialize>(value: &T) -> JsValue {
    // Writing numbers and bytes to memory does not fail.
    postcard::to_stdvec(value).map_or(JsValue::NULL, |encoded| bytes(&encoded))
}
