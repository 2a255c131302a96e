//! A machine with a replica on it: its processor, its store, its lines to the network.

use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use super::{
    Additive, Micros, Number, Secret,
    network::Line,
    world::{Disk, Notice, Setup, Tamper},
};
use crate::{Access, MemberId, Members, Output, Replica, Ticket};

/// Virtual microseconds in one of the replica's milliseconds.
pub(super) const MILLI: Micros = 1000;

/// Something for a replica.
pub(super) enum Input {
    Connected(MemberId),
    Disconnected(MemberId),
    Message {
        from: MemberId,
        bytes: Vec<u8>,
    },
    Submit {
        submission: u64,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    },
}

/// What a site used, from its start. Times are in microseconds, sizes in bytes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Messages sent.
    pub messages: u64,
    /// How long the processor was busy.
    pub busy: Micros,
    /// How long inputs waited for the processor, in all.
    pub waited: Micros,
    /// How many inputs there were.
    pub inputs: u64,
    /// How long messages waited for the line out, in all.
    pub waited_up: Micros,
    /// How long messages waited for the line in, in all.
    pub waited_down: Micros,
}

/// An access control that refuses everything while it is off: a replica that withholds its votes.
#[derive(Clone, Debug)]
pub struct Switch(Rc<Cell<bool>>);

impl Switch {
    /// Lets the replica vote from now on, or not.
    pub fn set(&self, on: bool) {
        self.0.set(on);
    }
}

impl Access for Switch {
    fn allows(&self, _key: &[u8], _old: Option<&[u8]>, _new: Option<&[u8]>) -> bool {
        self.0.get()
    }
}

/// What became of giving a replica its inputs.
pub(super) struct Work {
    /// When the processor is free again.
    pub(super) free: Micros,
    /// When the outputs take effect.
    pub(super) effects: Micros,
    pub(super) refused: Vec<Notice>,
}

/// A machine with a replica on it, unless that crashed.
pub struct Site {
    /// Whose it is.
    pub member: MemberId,
    /// What its replica signs with.
    pub scheme: Additive,
    /// Whether its replica votes.
    pub votes: Switch,
    pub(super) replica: Option<Replica<Additive>>,
    pub(super) life: u64,
    pub(super) busy: bool,
    pub(super) wake: Option<Micros>,
    pub(super) submissions: BTreeMap<Ticket, u64>,
    pub(super) usage: Usage,
    pub(super) up: Line,
    pub(super) down: Line,
    pub(super) tamper: Option<Box<dyn Tamper>>,
    inbox: Vec<(Micros, Input)>,
    /// What is to be carried out, in order, and when the last of it is.
    effects: VecDeque<Vec<Output>>,
    effects_end: Micros,
    disk: Disk,
}

impl Site {
    pub(super) fn new(member: MemberId, setup: &Setup, seed: [u8; 32]) -> Self {
        let mut site = Self {
            member,
            scheme: Additive::default(),
            votes: Switch(Rc::new(Cell::new(true))),
            replica: None,
            life: 0,
            busy: false,
            wake: None,
            submissions: BTreeMap::new(),
            usage: Usage::default(),
            up: Line::default(),
            down: Line::default(),
            tamper: None,
            inbox: Vec::new(),
            effects: VecDeque::new(),
            effects_end: 0,
            disk: Disk::new(),
        };
        site.start(setup, seed);
        site
    }

    /// Starts the replica from what is on disk.
    pub(super) fn start(&mut self, setup: &Setup, seed: [u8; 32]) {
        let numbers = (0..setup.members as u64).map(Number).collect();
        let members = Members::new(numbers).expect("as many members as a network may have");
        let secret = Secret(Number(u64::from(self.member.0)));
        let access = Box::new(self.votes.clone());
        let disk = self
            .disk
            .iter()
            .map(|(key, record)| (key.clone(), record.clone()));
        let replica = Replica::new(
            self.scheme.clone(),
            members,
            secret,
            setup.replica.clone(),
            access,
            seed,
            disk,
        );
        self.replica = Some(replica.expect("what a replica persisted starts it"));
    }

    /// Ends the replica; what it had not persisted is gone.
    pub(super) fn stop(&mut self) {
        self.replica = None;
        self.life += 1;
        self.busy = false;
        self.wake = None;
        self.inbox.clear();
        self.submissions.clear();
        self.effects_end = 0;
    }

    pub(super) fn give(&mut self, now: Micros, input: Input) {
        if self.replica.is_some() {
            self.inbox.push((now, input));
        }
    }

    pub(super) fn has_input(&self) -> bool {
        !self.inbox.is_empty()
    }

    pub(super) fn persist(&mut self, key: Vec<u8>, record: Vec<u8>) {
        self.disk.insert(key, record);
    }

    /// The outputs that take effect now.
    pub(super) fn next_outputs(&mut self) -> Vec<Output> {
        self.effects.pop_front().unwrap_or_default()
    }

    /// All outputs that have not taken effect yet.
    pub(super) fn outputs(&mut self) -> Vec<Output> {
        self.effects.drain(..).flatten().collect()
    }

    /// When the replica wants to be woken, where it was not known yet.
    pub(super) fn wish(&mut self, now: Micros) -> Option<(Micros, u64)> {
        let wish = self.replica.as_ref()?.next_wake()?;
        let wish = wish.saturating_mul(MILLI).max(now + MILLI);
        if self.wake.is_some_and(|wake| wake <= wish) {
            return None;
        }
        self.wake = Some(wish);
        Some((wish, self.life))
    }

    /// Gives the replica all that waits and asks it what to do, where the processor is free.
    pub(super) fn work(&mut self, now: Micros, setup: &Setup) -> Option<Work> {
        let replica = self.replica.as_mut().filter(|_| !self.busy)?;
        let before = self.scheme.operations();
        let (mut refused, mut messages, mut bytes) = (Vec::new(), 0, 0);
        let time = now / MILLI;
        for (since, input) in self.inbox.drain(..) {
            self.usage.inputs += 1;
            self.usage.waited += now - since;
            match input {
                Input::Connected(peer) => replica.connected(time, peer),
                Input::Disconnected(peer) => replica.disconnected(time, peer),
                Input::Message {
                    from,
                    bytes: message,
                } => {
                    messages += 1;
                    bytes += message.len() as u64;
                    replica.receive(time, from, &message);
                }
                Input::Submit {
                    submission,
                    key,
                    value,
                } => {
                    let ticket = match value {
                        Some(value) => replica.set(time, &key, value),
                        None => replica.delete(time, &key),
                    };
                    match ticket {
                        Ok(ticket) => {
                            self.submissions.insert(ticket, submission);
                        }
                        Err(error) => refused.push(Notice::Refused {
                            submission,
                            reason: error.to_string(),
                        }),
                    }
                }
            }
        }
        let outputs = replica.poll(time);
        for output in &outputs {
            if let Output::Send { bytes: message, .. } = output {
                messages += 1;
                bytes += message.len() as u64;
            }
        }
        let operations = self.scheme.operations().since(before);
        let cost = setup
            .costs
            .map_or(0, |costs| costs.of(operations, messages, bytes) as Micros);
        Some(self.worked(now, cost, outputs, setup.store, refused))
    }

    fn worked(
        &mut self,
        now: Micros,
        cost: Micros,
        outputs: Vec<Output>,
        store: Micros,
        refused: Vec<Notice>,
    ) -> Work {
        let persists = outputs
            .iter()
            .any(|output| matches!(output, Output::Persist { .. }));
        let free = now + cost;
        self.busy = true;
        self.usage.busy += cost;
        self.effects_end = self
            .effects_end
            .max(free + if persists { store } else { 0 });
        self.effects.push_back(outputs);
        Work {
            free,
            effects: self.effects_end,
            refused,
        }
    }
}
