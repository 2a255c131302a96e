//! Channels between sites: which are open, which are cut, and what waits in them.

use std::collections::BTreeMap;

use super::{Micros, world::SiteId};

/// What waits in a channel that is cut: from whom, to whom, what.
type Held = (SiteId, SiteId, Vec<u8>);

/// A message on its way.
pub(super) struct Message {
    pub(super) channel: u64,
    pub(super) from: SiteId,
    pub(super) to: SiteId,
    pub(super) bytes: Vec<u8>,
}

/// An open channel, or one that looks open to one of its ends.
pub(super) struct Channel {
    id: u64,
    sites: [SiteId; 2],
    /// The end that is gone.
    orphaned: Option<SiteId>,
    cut: Option<Micros>,
    /// What was sent while it was cut: retransmitted when it is whole again.
    held: Vec<Held>,
    /// When the latest message arrives at each end: no later one arrives before it.
    latest: [Micros; 2],
}

impl Channel {
    /// Each end with the other.
    pub(super) fn ends(&self) -> [(SiteId, SiteId); 2] {
        let [one, other] = self.sites;
        [(one, other), (other, one)]
    }

    /// Whether an end is still there.
    pub(super) fn knows(&self, site: SiteId) -> bool {
        self.orphaned != Some(site)
    }

    fn is_dead(&self) -> bool {
        self.orphaned.is_some() || self.cut.is_some()
    }
}

/// All channels.
#[derive(Default)]
pub(super) struct Channels {
    opened: u64,
    by_ends: BTreeMap<(SiteId, SiteId), Channel>,
    by_id: BTreeMap<u64, (SiteId, SiteId)>,
}

fn ends(one: SiteId, other: SiteId) -> (SiteId, SiteId) {
    (one.min(other), one.max(other))
}

impl Channels {
    /// Opens a channel, unless there is one.
    pub(super) fn open(&mut self, one: SiteId, other: SiteId) -> bool {
        let ends = ends(one, other);
        if self.by_ends.contains_key(&ends) {
            return false;
        }
        self.opened += 1;
        let (id, sites) = (self.opened, [ends.0, ends.1]);
        let channel = Channel {
            id,
            sites,
            orphaned: None,
            cut: None,
            held: Vec::new(),
            latest: [0; 2],
        };
        self.by_id.insert(id, ends);
        self.by_ends.insert(ends, channel);
        true
    }

    /// Closes a channel, where there is one.
    pub(super) fn close(&mut self, one: SiteId, other: SiteId) -> Option<Channel> {
        let channel = self.by_ends.remove(&ends(one, other))?;
        self.by_id.remove(&channel.id);
        Some(channel)
    }

    /// Closes a channel that cannot pass anything.
    pub(super) fn close_dead(&mut self, one: SiteId, other: SiteId) -> Option<Channel> {
        self.by_ends
            .get(&ends(one, other))
            .is_some_and(Channel::is_dead)
            .then(|| self.close(one, other))?
    }

    /// Closes a channel that was dead for as long as it takes to notice.
    pub(super) fn lost(&mut self, id: u64, now: Micros, detection: Micros) -> Option<Channel> {
        let &(one, other) = self.by_id.get(&id)?;
        let channel = self.by_ends.get(&(one, other))?;
        let cut = channel.cut.is_some_and(|since| since + detection <= now);
        (cut || channel.orphaned.is_some()).then(|| self.close(one, other))?
    }

    /// Whether a channel is open at both ends.
    pub(super) fn is_open(&self, id: u64) -> bool {
        let channel = self.by_id.get(&id).and_then(|ends| self.by_ends.get(ends));
        channel.is_some_and(|channel| channel.orphaned.is_none())
    }

    /// Marks the channels of a site that is gone, and names them. Where the other end is gone as well, nobody is left
    /// to notice.
    pub(super) fn orphan(&mut self, site: SiteId) -> Vec<u64> {
        self.by_ends.retain(|_, channel| {
            let gone =
                channel.sites.contains(&site) && channel.orphaned.is_some_and(|end| end != site);
            if gone {
                self.by_id.remove(&channel.id);
            }
            !gone
        });
        let of_site = self
            .by_ends
            .values_mut()
            .filter(|channel| channel.sites.contains(&site));
        let mark = |channel: &mut Channel| {
            channel.orphaned = Some(site);
            channel.id
        };
        of_site.map(mark).collect()
    }

    /// Cuts and heals channels, and says which are newly cut and what waited in those that are healed.
    pub(super) fn partition(
        &mut self,
        now: Micros,
        is_cut: impl Fn(SiteId, SiteId) -> bool,
    ) -> (Vec<u64>, Vec<Held>) {
        let (mut cut, mut healed) = (Vec::new(), Vec::new());
        for (&(one, other), channel) in &mut self.by_ends {
            match (is_cut(one, other), channel.cut) {
                (true, None) => {
                    channel.cut = Some(now);
                    cut.push(channel.id);
                }
                (false, Some(_)) => {
                    channel.cut = None;
                    healed.append(&mut channel.held);
                }
                _ => {}
            }
        }
        (cut, healed)
    }

    /// Gives a message back that can be transmitted, and keeps one whose channel is cut.
    pub(super) fn hold_where_cut(
        &mut self,
        from: SiteId,
        to: SiteId,
        bytes: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let channel = self.by_ends.get_mut(&ends(from, to))?;
        if channel.cut.is_none() {
            return Some(bytes);
        }
        channel.held.push((from, to, bytes));
        None
    }

    /// A message that would arrive at `arrival`, and when it does: not before those that were sent before it.
    pub(super) fn message(
        &mut self,
        from: SiteId,
        to: SiteId,
        arrival: Micros,
        bytes: Vec<u8>,
    ) -> Option<(Micros, Message)> {
        let channel = self.by_ends.get_mut(&ends(from, to))?;
        let latest = &mut channel.latest[usize::from(from > to)];
        *latest = arrival.max(*latest);
        Some((
            *latest,
            Message {
                channel: channel.id,
                from,
                to,
                bytes,
            },
        ))
    }
}
