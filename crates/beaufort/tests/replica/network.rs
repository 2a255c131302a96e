//! Replicas in one process: every message arrives, in order, before time goes on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use beaufort::{
    Access, MemberId, Members, Millis, Output, Replica, Settings, Ticket,
    bls::{Bls, PublicKey, SecretKey},
};

/// The member at a place in the sorted list of keys.
pub fn member(index: usize) -> MemberId {
    MemberId(index as u16)
}

type Guard = Box<dyn Fn(usize) -> Box<dyn Access>>;

/// A network of replicas, named by their place in the list of members.
pub struct Network {
    secrets: Vec<[u8; 32]>,
    keys: Vec<PublicKey>,
    replicas: Vec<Replica<Bls>>,
    links: BTreeSet<(usize, usize)>,
    away: BTreeSet<usize>,
    messages: VecDeque<(usize, usize, Vec<u8>)>,
    kept: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
    settled: Vec<Vec<(Ticket, bool)>>,
    guard: Guard,
    now: Millis,
}

impl Network {
    /// Everybody is connected to everybody.
    pub fn meshed(n: usize) -> Self {
        Self::guarded(n, |_| {
            Box::new(|_: &[u8], _: Option<&[u8]>, _: Option<&[u8]>| true)
        })
    }

    /// The same, with access control of its own for each replica.
    pub fn guarded(n: usize, guard: impl Fn(usize) -> Box<dyn Access> + 'static) -> Self {
        let links = (0..n).flat_map(|one| (0..one).map(move |other| (other, one)));
        Self::new(n, links.collect(), Box::new(guard))
    }

    /// Everybody is connected to two others.
    pub fn ring(n: usize) -> Self {
        let links = (0..n).map(|one| (one.min((one + 1) % n), one.max((one + 1) % n)));
        Self::new(
            n,
            links.collect(),
            Box::new(|_| Box::new(|_: &[u8], _: Option<&[u8]>, _: Option<&[u8]>| true)),
        )
    }

    fn new(n: usize, links: BTreeSet<(usize, usize)>, guard: Guard) -> Self {
        let seeds = (0..n).map(|index| [index as u8 + 1; 32]);
        let mut pairs: Vec<_> = seeds
            .map(|seed| (SecretKey::from_seed(&seed).public().clone(), seed))
            .collect();
        pairs.sort();
        let (keys, secrets) = pairs.into_iter().unzip();
        let mut network = Self {
            secrets,
            keys,
            replicas: Vec::new(),
            links,
            away: BTreeSet::new(),
            messages: VecDeque::new(),
            kept: vec![BTreeMap::new(); n],
            settled: vec![Vec::new(); n],
            guard,
            now: 0,
        };
        for index in 0..n {
            let replica = network.start(index);
            network.replicas.push(replica);
        }
        for (one, other) in network.links.clone() {
            network.connect(one, other);
        }
        network
    }

    fn start(&self, index: usize) -> Replica<Bls> {
        Replica::new(
            Bls,
            self.members(),
            SecretKey::from_seed(&self.secrets[index]),
            // Nobody looks for further neighbours.
            Settings {
                degree: 0,
                ..Settings::default()
            },
            (self.guard)(index),
            [index as u8; 32],
            self.kept[index].clone(),
        )
        .unwrap()
    }

    fn connect(&mut self, one: usize, other: usize) {
        self.replicas[one].connected(self.now, member(other));
        self.replicas[other].connected(self.now, member(one));
    }

    fn links_of(&self, index: usize) -> Vec<(usize, usize)> {
        let here = |&&(one, other): &&(usize, usize)| one == index || other == index;
        let there = |&&(one, other): &&(usize, usize)| {
            !self.away.contains(&one) && !self.away.contains(&other)
        };
        self.links
            .iter()
            .filter(here)
            .filter(there)
            .copied()
            .collect()
    }

    pub fn members(&self) -> Members<Bls> {
        Members::new(self.keys.clone()).unwrap()
    }

    pub fn replica(&mut self, index: usize) -> &mut Replica<Bls> {
        &mut self.replicas[index]
    }

    /// What became of the writes of a replica, in order.
    pub fn settled(&self, index: usize) -> Vec<(Ticket, bool)> {
        self.settled[index].clone()
    }

    /// Closes all channels of a replica.
    pub fn cut_off(&mut self, index: usize) {
        for (one, other) in self.links_of(index) {
            self.replicas[one].disconnected(self.now, member(other));
            self.replicas[other].disconnected(self.now, member(one));
        }
        self.away.insert(index);
        self.messages
            .retain(|(from, to, _)| *from != index && *to != index);
    }

    /// Opens them again.
    pub fn bring_back(&mut self, index: usize) {
        self.away.remove(&index);
        for (one, other) in self.links_of(index) {
            self.connect(one, other);
        }
    }

    /// Ends a replica's program, and starts it again from what it had kept.
    pub fn restart(&mut self, index: usize) {
        let away = self.away.contains(&index);
        self.cut_off(index);
        self.replicas[index] = self.start(index);
        if !away {
            self.bring_back(index);
        }
    }

    /// Ends a replica's program, and starts it again without anything that it had kept.
    pub fn restart_without_memory(&mut self, index: usize) {
        self.kept[index].clear();
        self.restart(index);
    }

    /// Delivers and polls until nothing happens any more, for ten seconds of virtual time.
    pub fn settle(&mut self) {
        let end = self.now + 10_000;
        loop {
            for index in 0..self.replicas.len() {
                let outputs = self.replicas[index].poll(self.now);
                assert!(is_kept_first(&outputs), "{index} could forget what it sent");
                for output in outputs {
                    self.carry_out(index, output);
                }
            }
            if let Some((from, to, bytes)) = self.messages.pop_front() {
                self.replicas[to].receive(self.now, member(from), &bytes);
                continue;
            }
            let next = self.replicas.iter().filter_map(Replica::next_wake).min();
            match next.filter(|&next| next < end) {
                Some(next) => self.now = next.max(self.now + 1),
                None => break,
            }
        }
        self.now = end;
    }

    fn carry_out(&mut self, index: usize, output: Output) {
        match output {
            Output::Send { to, bytes } => {
                let to = usize::from(to.0);
                if !self.away.contains(&index) && !self.away.contains(&to) {
                    self.messages.push_back((index, to, bytes));
                }
            }
            Output::Persist { key, record } => _ = self.kept[index].insert(key, record),
            Output::Settled { ticket, won, .. } => self.settled[index].push((ticket, won)),
            Output::Commit { .. }
            | Output::Connect(_)
            | Output::Disconnect(_)
            | Output::Evidence(_) => {}
        }
    }
}

/// An answer to a neighbour left before the vote that it showed was kept: after a crash in between, its sender voted twice.
fn is_kept_first(outputs: &[Output]) -> bool {
    let is_kept = |output: &Output| matches!(output, Output::Persist { .. });
    let mut after_sending = outputs
        .iter()
        .skip_while(|output| !matches!(output, Output::Send { .. }));
    !after_sending.any(is_kept)
}
