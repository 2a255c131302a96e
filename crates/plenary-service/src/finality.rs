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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HASH: TransactionHash = TransactionHash([0xAB; 32]);

    fn with(body: &str) -> String {
        let response = Response {
            status: 202,
            content_type: "application/json".into(),
            body: body.to_owned().into(),
        };
        let added = with_l1(response, 7, HASH);
        assert_eq!(
            (added.status, &*added.content_type),
            (202, "application/json")
        );
        String::from_utf8(added.body.to_vec()).unwrap()
    }

    #[test]
    fn an_object_gets_l1_as_its_last_member_and_keeps_its_bytes() {
        let l1 = format!("\"l1\":{{\"block_height\":7,\"tx_hash\":\"{HASH}\"}}}}");
        assert_eq!(with("{}"), format!("{{{l1}"));
        assert_eq!(with("{ }\n"), format!("{{ {l1}"));
        let odd = r#" {"z" : 1.0, "a":{"b":"}"}"#;
        assert_eq!(with(&format!("{odd}}} ")), format!("{odd},{l1}"));
        let merged: Value = serde_json::from_str(&with(r#"{"message":"done"}"#)).unwrap();
        assert_eq!(merged["message"], "done");
        assert_eq!(merged["l1"]["block_height"], 7);
    }

    #[test]
    fn what_is_no_object_or_has_its_own_l1_stays_as_it_is() {
        for body in ["", "[]", "1", "{", "text}", r#"{"l1":null}"#] {
            assert_eq!(with(body), body);
        }
    }
}
