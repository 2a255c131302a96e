//! What a node adds to the answer of a route that commits a session, once its block is final.

use plenary_types::{Response, TransactionHash};
use serde_json::{Map, Value, json};

/// A committing route's response with `l1`: the height of the block that has the transaction, and
/// the transaction's hash. A handler cannot know either; its own response, which is the recorded
/// one, is without.
///
/// The member is added as the last of the JSON object that is the body, and the bytes before it
/// stay as they are, so that a client can take it off again and check the recorded response. A
/// body that is no JSON object, or that has an `l1` of its own, stays as it is: the same is in the
/// headers `Plenary-Height` and `Plenary-Tx`.
#[must_use]
pub fn with_l1(response: Response, height: u64, transaction: TransactionHash) -> Response {
    let Ok(members) = serde_json::from_slice::<Map<String, Value>>(&response.body) else {
        return response;
    };
    let end = response.body.iter().rposition(|byte| *byte == b'}');
    let Some(end) = end.filter(|_| !members.contains_key("l1")) else {
        return response;
    };
    let l1 = json!({ "block_height": height, "tx_hash": transaction });
    let comma = if members.is_empty() { "" } else { "," };
    let mut body = response.body[..end].to_vec();
    body.extend_from_slice(format!("{comma}\"l1\":{l1}}}").as_bytes());
    Response {
        body: body.into(),
        ..response
    }
}
