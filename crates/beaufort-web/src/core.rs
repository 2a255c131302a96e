//! The replica, as `js/driver.js` drives it.

use crate::{
    identity::Identity,
    plain::{self, bytes},
    secret_key,
};
use beaufort::{Access, MemberId, Members, Millis, OwnerSigned, Replica, Settings, bls::Bls};
use js_sys::{Array, Function, Uint8Array};
use wasm_bindgen::{JsCast as _, prelude::*};

#[cfg(feature = "byzantine")]
use crate::byzantine::Signing;

/// How the replica signs.
#[cfg(not(feature = "byzantine"))]
type Signing = Bls;

/// One member's replica.
#[wasm_bindgen]
pub struct Core {
    replica: Replica<Signing>,
    #[cfg(feature = "byzantine")]
    signing: Signing,
}

#[wasm_bindgen]
impl Core {
    /// A replica that goes on from what was stored: `[key, record]` for each `persist`.
    ///
    /// `seed` is 32 random bytes. `rules` says whether a value may take another's place: a function of
    /// the key, the old value and the new one, bytes or `undefined`; or `"owner-signed"`; or `undefined`
    /// where everything is allowed.
    ///
    /// # Errors
    ///
    /// When the seed is too short, the rules are something else, or what was stored cannot be read.
    #[wasm_bindgen(constructor)]
    pub fn new(
        identity: &Identity,
        seed: &[u8],
        rules: JsValue,
        stored: Array,
    ) -> Result<Core, JsError> {
        let seed = seed
            .try_into()
            .map_err(|_| JsError::new("a seed has 32 bytes"))?;
        let members = Members::new(identity.0.members.keys().to_vec())?;
        let secret = secret_key(&identity.0.secret.expose_bytes())?;
        let stored = stored.iter().map(record).collect::<Result<Vec<_>, _>>()?;
        let access = access(rules)?;
        let signing = Signing::default();
        #[cfg(feature = "byzantine")]
        let mine = signing.clone();
        let replica = Replica::new(
            signing,
            members,
            secret,
            Settings::default(),
            access,
            seed,
            stored,
        )?;
        Ok(Self {
            replica,
            #[cfg(feature = "byzantine")]
            signing: mine,
        })
    }

    /// An authenticated channel to a member is open.
    pub fn connected(&mut self, now: f64, member: u16) {
        self.replica.connected(millis(now), MemberId(member));
    }

    /// The channel to a member is closed, or none can be had.
    pub fn disconnected(&mut self, now: f64, member: u16) {
        self.replica.disconnected(millis(now), MemberId(member));
    }

    /// Bytes came from a member.
    pub fn receive(&mut self, now: f64, member: u16, bytes: &[u8]) {
        self.replica.receive(millis(now), MemberId(member), bytes);
    }

    /// Proposes a value, or to delete the key where there is none. Returns the ticket that `settled`
    /// will name.
    ///
    /// # Errors
    ///
    /// When the key or value is out of bounds or not allowed, or too many wait.
    pub fn propose(
        &mut self,
        now: f64,
        key: &[u8],
        value: Option<Vec<u8>>,
    ) -> Result<f64, JsError> {
        let ticket = match value {
            Some(value) => self.replica.set(millis(now), key, value)?,
            None => self.replica.delete(millis(now), key)?,
        };
        Ok(ticket.0 as f64)
    }

    /// What was decided for a key last: `{view, value, certificate}`, or `undefined`.
    pub fn get(&self, key: &[u8]) -> JsValue {
        self.replica
            .get(key)
            .map_or(JsValue::UNDEFINED, plain::entry)
    }

    /// All keys that ever had a value.
    pub fn keys(&self) -> Array {
        self.replica.keys().map(bytes).collect()
    }

    /// How things stand.
    pub fn status(&mut self) -> JsValue {
        let root = self.replica.root();
        plain::status(&self.replica.status(), &root)
    }

    /// Decides what can be decided; returns what is to be done, in order.
    pub fn poll(&mut self, now: f64) -> Array {
        self.replica
            .poll(millis(now))
            .iter()
            .map(plain::output)
            .collect()
    }

    /// By when to poll again, if nothing happens before.
    #[wasm_bindgen(js_name = nextWake)]
    pub fn next_wake(&self) -> Option<f64> {
        self.replica.next_wake().map(|at| at as f64)
    }
}

#[cfg(feature = "byzantine")]
#[wasm_bindgen]
impl Core {
    /// Signs falsely from now on, or rightly again.
    pub fn forge(&self, falsely: bool) {
        self.signing.forge(falsely);
    }
}

/// A time of the driver's clock. What is no time is taken for the earliest.
fn millis(now: f64) -> Millis {
    now as Millis
}

fn record(pair: JsValue) -> Result<(Vec<u8>, Vec<u8>), JsError> {
    let part = |part: JsValue| part.dyn_into().map(|part: Uint8Array| part.to_vec());
    let pair: Array = pair.into();
    match (part(pair.get(0)), part(pair.get(1))) {
        (Ok(key), Ok(record)) => Ok((key, record)),
        _ => Err(JsError::new("a stored record is a pair of two Uint8Arrays")),
    }
}

fn access(rules: JsValue) -> Result<Box<dyn Access>, JsError> {
    if rules.is_undefined() {
        let all = |_: &[u8], _: Option<&[u8]>, _: Option<&[u8]>| true;
        return Ok(Box::new(all));
    }
    if rules.as_string().as_deref() == Some("owner-signed") {
        return Ok(Box::new(OwnerSigned(Bls)));
    }
    match rules.dyn_into() {
        Ok(function) => Ok(Box::new(Rules(function))),
        Err(_) => Err(JsError::new("rules are a function or `owner-signed`")),
    }
}

/// The application's rules, as a function. One that throws allows nothing.
struct Rules(Function);

impl Access for Rules {
    fn allows(&self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) -> bool {
        let value = |value: Option<&[u8]>| value.map_or(JsValue::UNDEFINED, bytes);
        let answer = self
            .0
            .call3(&JsValue::UNDEFINED, &bytes(key), &value(old), &value(new));
        answer.is_ok_and(|answer| answer.as_bool() == Some(true))
    }
}
