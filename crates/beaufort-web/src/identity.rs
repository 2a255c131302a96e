//! Which member of which network this is, and how it proves that to the other end of a channel.

use crate::{keys, plain::object, secret_key};
use beaufort::{
    Members,
    bls::Bls,
    handshake::{self, Party},
};
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// A member of a network, with its private key.
#[wasm_bindgen]
pub struct Identity(pub(crate) Rc<Party<Bls>>);

#[wasm_bindgen]
impl Identity {
    /// The member of these (public keys in hexadecimal, in whatever order) that has this private key.
    ///
    /// # Errors
    ///
    /// When a key is none, the list makes no network, or the private key is no member's.
    #[wasm_bindgen(constructor)]
    pub fn new(members: Vec<String>, secret: &[u8]) -> Result<Identity, JsError> {
        let secret = secret_key(secret)?;
        let members = Members::new(keys(&members)?)?;
        let party = Party::new(Bls, members, secret).ok_or_else(|| {
            JsError::new(
                "the private key is no member's: its public key must be in the list of members",
            )
        })?;
        Ok(Self(Rc::new(party)))
    }

    /// The member's place in the sorted list.
    #[wasm_bindgen(getter)]
    pub fn id(&self) -> u16 {
        self.0.me.0
    }

    /// All members' public keys in their order, in hexadecimal.
    #[wasm_bindgen(getter)]
    pub fn keys(&self) -> Vec<String> {
        self.0
            .members
            .keys()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// What stands for the network, in hexadecimal.
    #[wasm_bindgen(getter)]
    pub fn network(&self) -> String {
        hex::encode(self.0.members.network())
    }

    /// Begins a handshake on a new channel, between the certificates with these fingerprints.
    ///
    /// # Errors
    ///
    /// When the nonce is not 32 random bytes.
    pub fn handshake(&self, local: &str, remote: &str, nonce: &[u8]) -> Result<Handshake, JsError> {
        let nonce = nonce
            .try_into()
            .map_err(|_| JsError::new("a nonce has 32 bytes"))?;
        let channel = handshake::fingerprints(local, remote);
        let (state, hello) = handshake::Handshake::begin(&self.0, nonce, &channel);
        Ok(Handshake {
            party: Rc::clone(&self.0),
            state: State::Greeting(state),
            hello,
        })
    }
}

/// A handshake under way.
#[wasm_bindgen]
pub struct Handshake {
    party: Rc<Party<Bls>>,
    state: State,
    hello: Vec<u8>,
}

enum State {
    Greeting(handshake::Handshake),
    Proving(handshake::Proving),
    Over,
}

#[wasm_bindgen]
impl Handshake {
    /// The first message, to be sent at once.
    pub fn hello(&self) -> Vec<u8> {
        self.hello.clone()
    }

    /// Takes the other end's next message. Returns `{send}`, bytes to answer with, or `{member}`: who
    /// the other end is.
    ///
    /// # Errors
    ///
    /// When the other end cannot prove to be a member. The channel must be closed.
    pub fn receive(&mut self, message: &[u8]) -> Result<JsValue, JsError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Greeting(state) => {
                let (state, proof) = state.prove(&self.party, message)?;
                self.state = State::Proving(state);
                Ok(object([(
                    "send",
                    js_sys::Uint8Array::from(&proof[..]).into(),
                )]))
            }
            State::Proving(state) => {
                let member = state.check(&self.party, message)?;
                Ok(object([("member", member.0.into())]))
            }
            State::Over => Err(JsError::new("this handshake is over")),
        }
    }
}
