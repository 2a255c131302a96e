//! Which members this replica is connected to, as `peers.js` does it in a page: members that the replica wants are
//! looked for over signaling servers and over neighbours, and offers of others are taken up. Nothing that comes over
//! a route can harm a link that is proven: an offer only ever starts another link beside it.

use super::{
    channel::{Channel, Datagram, Happened},
    identity::Identity,
    link::{Link, Route},
    server::{Heard, Server},
};
use crate::signaling::message::{Kind, Signal};
use beaufort::MemberId;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long a link may take until it is proven.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a wanted member is looked for.
const SEARCH: Duration = Duration::from_secs(10);
/// How long after a failed attempt the next one is made.
const PAUSE: Duration = Duration::from_secs(1);
/// How many links others may have begun that are not proven yet.
const MAX_STRANGERS: usize = 64;
/// How long a member that was disconnected on purpose is not let in again.
const REFUSAL: Duration = Duration::from_secs(10);
/// Two links to one member that are this close in time were begun by both ends at once.
const AT_ONCE: Duration = Duration::from_secs(10);
const MAX_TEXT: usize = 16 * 1024;

/// What the replica is to be told.
pub(super) enum News {
    Connected(MemberId),
    Disconnected(MemberId),
    Bytes(MemberId, Vec<u8>),
}

/// What neighbours say to each other beside the agreement.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Beside {
    Relay { to: u16, signal: Signal },
    Relayed { from: u16, signal: Signal },
    Neighbours { members: Vec<u16> },
}

struct Search {
    end: Instant,
    next: Instant,
    turn: usize,
}

/// All links.
pub(super) struct Peers {
    identity: Identity,
    address: SocketAddr,
    servers: Vec<Server>,
    links: BTreeMap<u64, Link>,
    /// The proven link of each member.
    used: BTreeMap<MemberId, u64>,
    wanted: BTreeMap<MemberId, Search>,
    refused: BTreeMap<MemberId, Instant>,
    next_number: u64,
    /// Whether the neighbours are to be told whom they reach through this replica.
    is_changed: bool,
    /// Datagrams to send.
    pub(super) out: Vec<Datagram>,
    news: Vec<News>,
}

impl Peers {
    pub(super) fn new(identity: Identity, address: SocketAddr, servers: Vec<Server>) -> Self {
        Self {
            identity,
            address,
            servers,
            links: BTreeMap::new(),
            used: BTreeMap::new(),
            wanted: BTreeMap::new(),
            refused: BTreeMap::new(),
            next_number: 0,
            is_changed: false,
            out: Vec::new(),
            news: Vec::new(),
        }
    }

    /// The replica wants a link to a member.
    pub(super) fn want(&mut self, member: MemberId) {
        if self.used.contains_key(&member) {
            return;
        }
        self.refused.remove(&member);
        let now = Instant::now();
        let (end, next) = (now + SEARCH, now);
        self.wanted
            .entry(member)
            .or_insert(Search { end, next, turn: 0 });
    }

    /// The replica wants none any more.
    pub(super) fn unwant(&mut self, member: MemberId) {
        self.wanted.remove(&member);
        self.refused.insert(member, Instant::now() + REFUSAL);
        if let Some(&number) = self.used.get(&member) {
            self.drop(number, "the replica does not want it");
        }
    }

    /// Sends the replica's bytes to a neighbour.
    pub(super) fn send(&mut self, member: MemberId, bytes: Vec<u8>) {
        let link = self
            .used
            .get(&member)
            .and_then(|number| self.links.get_mut(number));
        if let Some(link) = link {
            link.channel.write(bytes);
        }
    }

    /// A datagram has come.
    pub(super) fn datagram(&mut self, source: SocketAddr, bytes: &[u8]) {
        let (address, now) = (self.address, Instant::now());
        // The first link that knows it takes it.
        let _ = self
            .links
            .values_mut()
            .any(|link| link.channel.datagram(source, address, bytes, now));
    }

    /// A signaling server has said something.
    pub(super) fn heard(&mut self, number: usize, heard: Heard) {
        let Some(server) = self.servers.get_mut(number) else {
            return;
        };
        if let Some((from, key, signal)) = server.heard(heard)
            && let Some(member) = self.identity.find(&key)
        {
            self.signalled(Route::Server(number, from), member, &signal);
        }
    }

    /// Does what is due.
    pub(super) fn advance(&mut self) {
        self.search(Instant::now());
        // What happens on one link may give another one something to send.
        while self.advance_links() {
            self.tell_neighbours();
        }
    }

    /// What the replica is to be told.
    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    fn advance_links(&mut self) -> bool {
        let now = Instant::now();
        let mut has_any = false;
        let numbers: Vec<_> = self.links.keys().copied().collect();
        for number in numbers {
            let Some(link) = self.links.get_mut(&number) else {
                continue;
            };
            if !link.is_proven && now >= link.since + PATIENCE {
                self.drop(number, "it was not proven in time");
                continue;
            }
            for happened in link.channel.poll(now, &mut self.out) {
                has_any = true;
                self.happened(number, happened);
            }
        }
        has_any
    }

    /// By when to poll again.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        if !self.news.is_empty() {
            return Some(now);
        }
        let links = self.links.values().flat_map(|link| {
            let patience = (!link.is_proven).then(|| link.since + PATIENCE);
            [Some(link.channel.wake), patience]
        });
        let searches = self
            .wanted
            .values()
            .flat_map(|search| [Some(search.end), (search.next > now).then_some(search.next)]);
        links.chain(searches).flatten().min()
    }

    /// Ends all links.
    pub(super) fn close(&mut self) {
        for (_, link) in std::mem::take(&mut self.links) {
            link.channel.close(&mut self.out);
        }
    }

    fn search(&mut self, now: Instant) {
        let members: Vec<_> = self.wanted.keys().copied().collect();
        for member in members {
            let routes = self.routes(member);
            let under_way = self
                .links
                .values()
                .any(|link| link.begun && link.member == member);
            let Some(search) = self.wanted.get_mut(&member) else {
                continue;
            };
            if now >= search.end {
                self.wanted.remove(&member);
                self.news.push(News::Disconnected(member));
            } else if now >= search.next && !under_way && !routes.is_empty() {
                let route = routes[search.turn % routes.len()].clone();
                search.turn += 1;
                search.next = now + PAUSE;
                self.offer(member, route, now);
            }
        }
    }

    /// All ways to signal to a member. Who entered last at a server is there most likely.
    fn routes(&self, member: MemberId) -> Vec<Route> {
        let key = self.identity.keys.get(usize::from(member.0));
        let mut routes = Vec::new();
        for (number, server) in self.servers.iter().enumerate() {
            let ids = server.peers.iter().filter(|(_, own)| Some(*own) == key);
            routes.extend(ids.map(|(id, _)| Route::Server(number, id.clone())));
        }
        let used = self
            .used
            .iter()
            .filter_map(|(own, number)| Some((own, self.links.get(number)?)));
        let between = used.filter(|(_, link)| link.neighbours.contains(&member));
        routes.extend(between.map(|(own, _)| Route::Neighbour(*own)));
        routes
    }

    fn offer(&mut self, member: MemberId, route: Route, now: Instant) {
        let mut name = [0; 16];
        if getrandom::fill(&mut name).is_err() {
            return;
        }
        let session = hex::encode(name);
        match Channel::offer(self.address, now) {
            Ok((channel, sdp)) => {
                let description = (session.clone(), Kind::Offer, sdp);
                self.add(Link::new(session, channel, member, route.clone(), true));
                self.describe(&route, member, description);
            }
            Err(error) => tracing::warn!(member = member.0, %error, "no offer can be made"),
        }
    }

    fn add(&mut self, link: Link) {
        self.links.insert(self.next_number, link);
        self.next_number += 1;
    }

    fn describe(&mut self, route: &Route, member: MemberId, what: (String, Kind, String)) {
        let (session, kind, sdp) = what;
        self.tell(route, member, Signal::Description { session, kind, sdp });
    }

    /// Sends a signal over a route, or over another one where that is gone.
    fn tell(&mut self, route: &Route, member: MemberId, signal: Signal) {
        let others = self.routes(member);
        for route in std::iter::once(route).chain(&others) {
            let sent = match route {
                Route::Server(number, id) => {
                    let server = self.servers.get(*number);
                    server.is_some_and(|server| server.send(id, signal.clone()))
                }
                Route::Neighbour(own) => {
                    let (to, signal) = (member.0, signal.clone());
                    self.say(*own, &Beside::Relay { to, signal })
                }
            };
            if sent {
                return;
            }
        }
    }

    fn say(&mut self, member: MemberId, what: &Beside) -> bool {
        let link = self
            .used
            .get(&member)
            .and_then(|number| self.links.get_mut(number));
        let text = serde_json::to_string(what).unwrap_or_default();
        link.is_some_and(|link| link.channel.write_text(&text))
    }

    fn signalled(&mut self, route: Route, member: MemberId, signal: &Signal) {
        let (Signal::Description { session, .. } | Signal::Candidate { session, .. }) = signal;
        let mut links = self.links.iter_mut();
        if let Some((&number, link)) = links.find(|(_, link)| link.session == *session) {
            if link.member != member {
                return;
            }
            match link.signal(signal) {
                Ok(Some(answer)) => self.tell(&route, member, answer),
                Ok(None) => {}
                Err(error) => self.drop(number, &error),
            }
        } else if let Signal::Description {
            kind: Kind::Offer,
            sdp,
            ..
        } = signal
            && self.admits(&route, member)
        {
            match Channel::answer(self.address, sdp, Instant::now()) {
                Ok((channel, sdp)) => {
                    self.add(Link::new(
                        session.clone(),
                        channel,
                        member,
                        route.clone(),
                        false,
                    ));
                    self.describe(&route, member, (session.clone(), Kind::Answer, sdp));
                }
                Err(error) => tracing::warn!(member = member.0, %error, "an offer is no use"),
            }
        }
    }

    /// Whether an offer is taken up. Where both ends have made one, the first member's counts.
    fn admits(&mut self, route: &Route, member: MemberId) -> bool {
        let me = self.identity.party.me;
        let refused = self.refused.get(&member);
        if member == me || refused.is_some_and(|&until| Instant::now() < until) {
            return false;
        }
        let open = || self.links.iter().filter(|(_, link)| !link.is_proven);
        if open().filter(|(_, link)| !link.begun).count() >= MAX_STRANGERS {
            return false;
        }
        let is_rival = |link: &Link| link.begun && link.member == member && link.route == *route;
        let own = open()
            .find(|(_, link)| is_rival(link))
            .map(|(&number, _)| number);
        match own {
            Some(_) if me < member => return false,
            Some(number) => self.drop(number, "both ends began; the other one's offer counts"),
            None => {}
        }
        true
    }

    fn happened(&mut self, number: u64, happened: Happened) {
        let Some(link) = self.links.get_mut(&number) else {
            return;
        };
        match happened {
            Happened::Opened => {
                let mut nonce = [0; 32];
                match getrandom::fill(&mut nonce) {
                    Ok(()) => link.greet(&self.identity, nonce),
                    Err(error) => self.drop(number, &format!("no nonce: {error}")),
                }
            }
            Happened::Bytes(bytes) if link.is_proven => {
                if self.used.get(&link.member) == Some(&number) {
                    self.news.push(News::Bytes(link.member, bytes));
                }
            }
            Happened::Bytes(bytes) => match link.shake(&self.identity, &bytes) {
                Ok(None) => {}
                Ok(Some(member)) => self.proven(number, member),
                Err(error) => self.drop(number, &error.to_string()),
            },
            Happened::Text(text) => self.said(number, text),
            Happened::Closed(reason) => self.drop(number, &reason),
        }
    }

    /// Of two links to one member, both ends keep the same one: the newer, or where they are as old, by name.
    fn proven(&mut self, number: u64, member: MemberId) {
        let Some(link) = self.links.get(&number) else {
            return;
        };
        let other = self.used.get(&member).copied();
        if let Some((other, rival)) = other.and_then(|it| Some((it, self.links.get(&it)?))) {
            let together = link.since - rival.since < AT_ONCE;
            if together && rival.session < link.session {
                return self.drop(number, "there is another link to this member");
            }
            self.drop(other, "a newer link has taken its place");
        }
        tracing::info!(member = member.0, "connected");
        self.used.insert(member, number);
        self.wanted.remove(&member);
        self.is_changed = true;
        self.news.push(News::Connected(member));
        let early = self
            .links
            .get_mut(&number)
            .and_then(|link| link.early.take());
        if let Some(text) = early {
            self.said(number, text);
        }
    }

    /// What a neighbour says beside the agreement: whom it reaches, and signals from there or for there.
    fn said(&mut self, number: u64, text: String) {
        let Some(link) = self.links.get_mut(&number) else {
            return;
        };
        if text.len() > MAX_TEXT || link.rate.check().is_err() {
            return;
        }
        if !link.is_proven {
            link.early = Some(text);
            return;
        }
        let own = link.member;
        match serde_json::from_str(&text) {
            Ok(Beside::Neighbours { members }) => {
                let is_member = |id: &u16| usize::from(*id) < self.identity.keys.len();
                link.neighbours = members
                    .into_iter()
                    .filter(is_member)
                    .map(MemberId)
                    .collect();
            }
            Ok(Beside::Relay { to, signal }) => {
                let from = own.0;
                self.say(MemberId(to), &Beside::Relayed { from, signal });
            }
            Ok(Beside::Relayed { from, signal }) => {
                if usize::from(from) < self.identity.keys.len() {
                    self.signalled(Route::Neighbour(own), MemberId(from), &signal);
                }
            }
            Err(_) => {}
        }
    }

    fn drop(&mut self, number: u64, reason: &str) {
        let Some(link) = self.links.remove(&number) else {
            return;
        };
        tracing::info!(member = link.member.0, reason, "a link is closed");
        link.channel.close(&mut self.out);
        if self.used.get(&link.member) == Some(&number) {
            self.used.remove(&link.member);
            self.is_changed = true;
            self.news.push(News::Disconnected(link.member));
        }
    }

    fn tell_neighbours(&mut self) {
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        let members: Vec<_> = self.used.keys().map(|member| member.0).collect();
        for member in &members {
            let members = members.clone();
            self.say(MemberId(*member), &Beside::Neighbours { members });
        }
    }
}
