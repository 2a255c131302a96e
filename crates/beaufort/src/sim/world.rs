//! A network of replicas in virtual time.
//!
//! Events come from a queue in the order of their times. A replica's processor is busy while it works: what arrives
//! meanwhile waits, then everything that waits is given to the replica at once, and what that costs decides when the
//! outputs take effect. Outputs wait in turn until what is to be persisted is; a crash in between leaves the first of
//! them done and the others undone.
//!
//! A site is a machine with a replica on it. Each member has one, but for twins: a Byzantine member with two sites
//! that know nothing of each other and so contradict each other, each to a part of the others.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use super::{
    Costs, Micros, Network, Random,
    channel::{Channel, Channels, Message},
    site::{Input, Site, Usage},
};
use crate::{Digest, Entry, Evidence, MemberId, Output, Settings, Status};

/// A site's index. The first n are the members', in their order; twins' second sites follow.
pub type SiteId = usize;

/// How a world is.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How many members there are.
    pub members: usize,
    /// Members with two sites.
    pub twins: Vec<MemberId>,
    /// All links.
    pub network: Network,
    /// What work costs; nothing where it takes no time.
    pub costs: Option<Costs>,
    /// How long it takes until something is persisted.
    pub store: Micros,
    /// The replicas' settings.
    pub replica: Settings,
}

/// Something that a replica told its user.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A key has a new value.
    Committed {
        /// The key.
        key: Vec<u8>,
        /// What it has now.
        entry: Entry,
    },
    /// A submission's view is decided.
    Settled {
        /// Which submission's.
        submission: u64,
        /// Whether it was for its value.
        won: bool,
        /// What was decided.
        entry: Entry,
    },
    /// A submission was refused at once.
    Refused {
        /// Which submission.
        submission: u64,
        /// What the replica said.
        reason: String,
    },
    /// Somebody is caught.
    Evidence(Evidence),
}

/// Bends what a Byzantine site sends.
pub trait Tamper {
    /// What goes out instead of `bytes`, each after a delay.
    fn tamper(&mut self, now: Micros, to: MemberId, bytes: Vec<u8>) -> Vec<(Micros, Vec<u8>)>;
}

enum Event {
    /// A channel is set up, where it can be.
    Open(SiteId, SiteId),
    /// A channel that is dead is noticed to be.
    Lost(u64),
    /// A tampered message leaves.
    Leave {
        from: SiteId,
        to: MemberId,
        bytes: Vec<u8>,
    },
    /// A message is at its receiver's line.
    Arrive(Message),
    /// A message is through.
    Deliver(Message),
    /// A processor is free. The second number tells lives of a site apart, here and below.
    Free(SiteId, u64),
    /// What came of a processor's work takes effect.
    Effects(SiteId, u64),
    /// A replica wished to be woken.
    Wake(SiteId, u64),
}

struct Scheduled {
    at: Micros,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A network of replicas.
pub struct World {
    setup: Setup,
    random: Random,
    now: Micros,
    events: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    sites: Vec<Site>,
    /// Which part of a partitioned network each site is in.
    parts: Vec<usize>,
    channels: Channels,
    notices: Vec<(Micros, SiteId, Notice)>,
    trace: blake3::Hasher,
}

impl World {
    /// A world in which every replica has just started.
    ///
    /// # Panics
    ///
    /// Where there are no members, or more than a network may have.
    pub fn new(setup: Setup) -> Self {
        let mut random = Random::new(setup.seed);
        let members = (0..setup.members as u16)
            .map(MemberId)
            .chain(setup.twins.iter().copied());
        let sites: Vec<_> = members
            .map(|member| Site::new(member, &setup, random.seed()))
            .collect();
        let mut world = Self {
            random,
            now: 0,
            events: BinaryHeap::new(),
            scheduled: 0,
            parts: vec![0; sites.len()],
            sites,
            channels: Channels::default(),
            notices: Vec::new(),
            trace: blake3::Hasher::new(),
            setup,
        };
        (0..world.sites.len()).for_each(|site| world.work(site));
        world
    }

    /// The virtual time.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// How many members there are.
    pub fn members(&self) -> usize {
        self.setup.members
    }

    /// How many sites there are.
    pub fn sites(&self) -> usize {
        self.sites.len()
    }

    /// A site: its scheme, its access control, what it used.
    pub fn site(&self, site: SiteId) -> &Site {
        &self.sites[site]
    }

    /// What a site used so far.
    pub fn usage(&self, site: SiteId) -> Usage {
        self.sites[site].usage
    }

    /// How a site's replica is, where it runs.
    pub fn status(&self, site: SiteId) -> Option<Status> {
        self.sites[site]
            .replica
            .as_ref()
            .map(|replica| replica.status())
    }

    /// What stands for all that a site's replica knows, where it runs.
    pub fn root(&mut self, site: SiteId) -> Option<Digest> {
        self.sites[site]
            .replica
            .as_mut()
            .map(|replica| replica.root())
    }

    /// Whether one of a site's neighbours takes what comes from it without verifying it, or it has none to tell.
    pub fn is_trusted(&self, site: SiteId) -> bool {
        let Some(me) = self.status(site).map(|status| status.me) else {
            return false;
        };
        let others = (0..self.sites()).filter_map(|site| self.status(site));
        let neighbours = others.filter(|status| status.neighbours.contains(&me));
        let trusts: Vec<_> = neighbours
            .map(|status| !status.distrusted.contains(&me))
            .collect();
        trusts.is_empty() || trusts.contains(&true)
    }

    /// What stands for everything that was delivered so far, and when.
    pub fn trace(&self) -> [u8; 32] {
        *self.trace.finalize().as_bytes()
    }

    /// What replicas told since the last call, and when.
    pub fn notices(&mut self) -> Vec<(Micros, SiteId, Notice)> {
        std::mem::take(&mut self.notices)
    }

    /// Bends everything that a site sends from now on, or nothing any more.
    pub fn tamper(&mut self, site: SiteId, tamper: Option<Box<dyn Tamper>>) {
        self.sites[site].tamper = tamper;
    }

    /// Sets a key at a site, or deletes it. `submission` is what its notices are to be told apart by.
    pub fn submit(&mut self, site: SiteId, submission: u64, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.give(
            site,
            Input::Submit {
                submission,
                key,
                value,
            },
        );
    }

    /// Cuts the network into parts: sites pass packets where they are in the same one.
    pub fn partition(&mut self, parts: Vec<usize>) {
        assert_eq!(parts.len(), self.sites.len(), "each site is in one part");
        self.parts = parts;
        let (now, parts) = (self.now, &self.parts);
        let (cut, healed) = self
            .channels
            .partition(now, |one, other| parts[one] != parts[other]);
        for id in cut {
            self.schedule(now + self.setup.network.detection, Event::Lost(id));
        }
        for (from, to, bytes) in healed {
            self.transmit(from, to, bytes);
        }
    }

    /// Drops all packets to and from a site, on top of how the network is cut.
    pub fn isolate(&mut self, site: SiteId) {
        let mut parts = self.parts.clone();
        parts[site] = parts.iter().max().map_or(0, |last| last + 1);
        self.partition(parts);
    }

    /// Kills a site's replica. Of what it was about to do, the first part is done.
    pub fn crash(&mut self, site: SiteId) {
        let outputs = self.sites[site].outputs();
        let done = self.random.below(outputs.len() as u64 + 1) as usize;
        for output in outputs.into_iter().take(done) {
            self.carry_out(site, output);
        }
        self.sites[site].stop();
        for id in self.channels.orphan(site) {
            self.schedule(self.now + self.setup.network.detection, Event::Lost(id));
        }
    }

    /// Starts a site's replica again, from what it persisted.
    pub fn restart(&mut self, site: SiteId) {
        let seed = self.random.seed();
        self.sites[site].start(&self.setup, seed);
        self.work(site);
    }

    /// Lets time pass until `until`.
    pub fn run_until(&mut self, until: Micros) {
        while let Some(Reverse(next)) = self.events.peek()
            && next.at <= until
            && let Some(Reverse(Scheduled { at, event, .. })) = self.events.pop()
        {
            self.now = at;
            self.handle(event);
        }
        self.now = self.now.max(until);
    }

    fn schedule(&mut self, at: Micros, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse(Scheduled {
            at: at.max(self.now),
            order: self.scheduled,
            event,
        }));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Open(one, other) => self.open(one, other),
            Event::Lost(id) => {
                if let Some(channel) =
                    self.channels
                        .lost(id, self.now, self.setup.network.detection)
                {
                    self.closed(&channel);
                }
            }
            Event::Leave { from, to, bytes } => self.send(from, to, bytes),
            Event::Arrive(message) => self.arrive(message),
            Event::Deliver(message) => self.deliver(message),
            Event::Free(site, life) if self.sites[site].life == life => {
                self.sites[site].busy = false;
                self.wake_later(site);
                if self.sites[site].has_input() {
                    self.work(site);
                }
            }
            Event::Effects(site, life) if self.sites[site].life == life => {
                for output in self.sites[site].next_outputs() {
                    self.carry_out(site, output);
                }
            }
            Event::Wake(site, life)
                if self.sites[site].life == life && self.sites[site].wake == Some(self.now) =>
            {
                self.sites[site].wake = None;
                self.work(site);
            }
            Event::Free(..) | Event::Effects(..) | Event::Wake(..) => {}
        }
    }

    fn notice(&mut self, site: SiteId, notice: Notice) {
        self.notices.push((self.now, site, notice));
    }

    /// Gives a site an input, at once where its processor is free.
    fn give(&mut self, site: SiteId, input: Input) {
        self.sites[site].give(self.now, input);
        self.work(site);
    }

    fn work(&mut self, site: SiteId) {
        let Some(work) = self.sites[site].work(self.now, &self.setup) else {
            return;
        };
        let life = self.sites[site].life;
        work.refused
            .into_iter()
            .for_each(|notice| self.notice(site, notice));
        self.schedule(work.free, Event::Free(site, life));
        self.schedule(work.effects, Event::Effects(site, life));
    }

    fn wake_later(&mut self, site: SiteId) {
        if let Some((at, life)) = self.sites[site].wish(self.now) {
            self.schedule(at, Event::Wake(site, life));
        }
    }

    fn carry_out(&mut self, site: SiteId, output: Output) {
        match output {
            Output::Send { to, bytes } => match self.sites[site].tamper.take() {
                None => self.send(site, to, bytes),
                Some(mut tamper) => {
                    let replica = self.sites[site].replica.as_ref();
                    let bytes =
                        replica.map_or(bytes.clone(), |replica| replica.in_full(to, &bytes));
                    for (delay, bytes) in tamper.tamper(self.now, to, bytes) {
                        self.schedule(
                            self.now + delay,
                            Event::Leave {
                                from: site,
                                to,
                                bytes,
                            },
                        );
                    }
                    self.sites[site].tamper = Some(tamper);
                }
            },
            Output::Persist { key, record } => self.sites[site].persist(key, record),
            Output::Commit { key, entry } => self.notice(site, Notice::Committed { key, entry }),
            Output::Settled { ticket, won, entry } => {
                if let Some(submission) = self.sites[site].submissions.remove(&ticket) {
                    self.notice(
                        site,
                        Notice::Settled {
                            submission,
                            won,
                            entry,
                        },
                    );
                }
            }
            Output::Connect(member) => {
                let other = self.place(member, site);
                let setup = self.setup.network.setup;
                let spread = self.random.below(setup / 2 + 1);
                self.schedule(self.now + setup * 3 / 4 + spread, Event::Open(site, other));
            }
            Output::Disconnect(member) => {
                let other = self.place(member, site);
                if let Some(channel) = self.channels.close(site, other) {
                    self.closed(&channel);
                }
            }
            Output::Evidence(evidence) => self.notice(site, Notice::Evidence(evidence)),
        }
    }

    /// The site at which `peer` finds a member.
    fn place(&self, member: MemberId, peer: SiteId) -> SiteId {
        let twin = self.setup.twins.iter().position(|twin| *twin == member);
        match twin {
            Some(index) if peer % 2 == 1 => self.setup.members + index,
            _ => usize::from(member.0),
        }
    }

    fn open(&mut self, one: SiteId, other: SiteId) {
        let (first, second) = (self.sites[one].member, self.sites[other].member);
        let reachable = self.place(second, one) == other && self.place(first, other) == one;
        let both_run = self.sites[one].replica.is_some() && self.sites[other].replica.is_some();
        if first == second || !reachable || !both_run || self.parts[one] != self.parts[other] {
            return self.give(one, Input::Disconnected(second));
        }
        let before = self.channels.close_dead(one, other);
        if let Some(channel) = before {
            self.closed(&channel);
        }
        if self.channels.open(one, other) {
            self.give(one, Input::Connected(second));
            self.give(other, Input::Connected(first));
        }
    }

    /// Tells both ends that a channel is closed.
    fn closed(&mut self, channel: &Channel) {
        for (site, peer) in channel.ends() {
            if channel.knows(site) {
                let peer = self.sites[peer].member;
                self.give(site, Input::Disconnected(peer));
            }
        }
    }

    fn send(&mut self, from: SiteId, to: MemberId, bytes: Vec<u8>) {
        let to = self.place(to, from);
        if let Some(bytes) = self.channels.hold_where_cut(from, to, bytes) {
            self.transmit(from, to, bytes);
        }
    }

    fn transmit(&mut self, from: SiteId, to: SiteId, bytes: Vec<u8>) {
        let network = self.setup.network;
        let size = Network::on_wire(bytes.len());
        let left = self.sites[from].up.pass(self.now, size, network.up);
        let usage = &mut self.sites[from].usage;
        usage.sent += size;
        usage.messages += 1;
        usage.waited_up += left - self.now;
        let arrival = left + network.delay(bytes.len(), &mut self.random);
        if let Some((at, message)) = self.channels.message(from, to, arrival, bytes) {
            self.schedule(at, Event::Arrive(message));
        }
    }

    fn arrive(&mut self, message: Message) {
        let size = Network::on_wire(message.bytes.len());
        let through = self.sites[message.to]
            .down
            .pass(self.now, size, self.setup.network.down);
        let usage = &mut self.sites[message.to].usage;
        usage.received += size;
        usage.waited_down += through - self.now;
        self.schedule(through, Event::Deliver(message));
    }

    fn deliver(
        &mut self,
        Message {
            channel,
            from,
            to,
            bytes,
        }: Message,
    ) {
        if !self.channels.is_open(channel) {
            return;
        }
        self.trace
            .update(&self.now.to_le_bytes())
            .update(&(from as u64).to_le_bytes());
        self.trace.update(&(to as u64).to_le_bytes()).update(&bytes);
        let from = self.sites[from].member;
        self.give(to, Input::Message { from, bytes });
    }
}

/// Keys and values of what a site persisted.
pub(super) type Disk = BTreeMap<Vec<u8>, Vec<u8>>;
