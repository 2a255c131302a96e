//! Every run of four members within bounds, with the real core.
//!
//! **With a Byzantine member.** Three replicas are honest; the fourth signs anything, and shows anybody any of all votes
//! cast, whenever it helps. So the adversary decides what each replica knows when it votes. It gives away nothing too
//! early: a replica learns what its next vote needs when it casts it. That leaves no run out, for what a replica knows
//! only grows and does nothing until it votes.
//!
//! **Without one.** Four honest replicas send each other all that they know, and never wait.

use std::collections::{HashMap, HashSet};

use super::{
    Phase, Rule, Signed, World,
    locals::{Bounds, EXCLUDED, Id, Locals, Votes},
    search::{Found, Global, search, tell},
};

/// When the Byzantine member is excluded.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Exclusion {
    /// Never.
    Never,
    /// By each replica that knows two of its votes of which it may cast one.
    Shown,
    /// At any moment at any replica, for whatever reason.
    Anytime,
}

/// The votes that a replica may cast next, and how little it need know for each.
struct Moves {
    votes: Vec<(Votes, Signed)>,
    known: HashMap<(Id, Votes), Vec<Id>>,
}

impl Moves {
    fn new(locals: &Locals) -> Self {
        Self {
            votes: locals.votes(),
            known: HashMap::new(),
        }
    }

    /// The states of a replica after its next vote, where it may learn of `available` votes before.
    fn of(&mut self, locals: &mut Locals, id: Id, available: Votes) -> Vec<Id> {
        if let Some(moves) = self.known.get(&(id, available)) {
            return moves.clone();
        }
        let before = (locals.get(id).own, locals.get(id).site.instance.round);
        let mut outcomes: HashMap<(Votes, u32), Vec<(Votes, Id)>> = HashMap::new();
        let (mut seen, mut open) = (HashSet::from([id]), vec![id]);
        while let Some(at) = open.pop() {
            for after in [false, true]
                .into_iter()
                .filter_map(|waits| locals.act(at, waits))
                .collect::<Vec<_>>()
            {
                let local = locals.get(after);
                let outcome = (local.own, local.site.instance.round);
                if outcome != before {
                    outcomes
                        .entry(outcome)
                        .or_default()
                        .push((locals.get(at).known, after));
                }
            }
            for vote in bits(available & !locals.get(at).known) {
                if let Some(learned) = locals.learn(at, vote, &self.votes, false)
                    && seen.insert(learned)
                {
                    open.push(learned);
                }
            }
        }
        let mut moves: Vec<_> = outcomes.values().flat_map(|known| least(known)).collect();
        moves.sort_unstable();
        moves.dedup();
        self.known.insert((id, available), moves.clone());
        moves
    }
}

/// The states that need no more to be known than any other.
fn least(outcomes: &[(Votes, Id)]) -> impl Iterator<Item = Id> {
    let is_least = |known: Votes| {
        !outcomes
            .iter()
            .any(|&(other, _)| other != known && other & !known == 0)
    };
    outcomes
        .iter()
        .filter(move |&&(known, _)| is_least(known))
        .map(|&(_, id)| id)
}

fn bits(votes: Votes) -> impl Iterator<Item = Votes> {
    (0..Votes::BITS)
        .map(|bit| 1 << bit)
        .filter(move |bit| votes & bit != 0)
}

/// All runs of A, B and C, with D Byzantine.
fn with_byzantine(
    rule: Rule,
    bounds: Bounds,
    exclusion: Exclusion,
    limit: usize,
) -> (Locals, Found<3>) {
    let mut locals = Locals::new(World::new(4, bounds.values, rule), bounds);
    locals.exclude = exclusion == Exclusion::Shown;
    let start: Global<3> = [0, 1, 2].map(|me| {
        let site = locals.world.site(me);
        locals
            .intern(site, 0)
            .expect("nothing is out of bounds yet")
    });
    let mut moves = Moves::new(&locals);
    let found = search(&mut locals, start, limit, |locals, state| {
        let byzantine = locals.of(3)
            | if exclusion == Exclusion::Anytime {
                EXCLUDED
            } else {
                0
            };
        let cast = state
            .iter()
            .fold(byzantine, |cast, &id| cast | locals.get(id).own);
        let mut after = Vec::new();
        for (who, &id) in state.iter().enumerate() {
            let round = locals.get(id).site.instance.round;
            let useful = locals.before(Phase::PreCommit, round + 2) | EXCLUDED;
            let available = cast & useful & !locals.get(id).known;
            let mut next = moves.of(locals, id, available);
            next.extend(proposals(locals, id));
            if rule == Rule::AsPublished {
                next.retain(|&after| !commits_and_leaves(locals, id, after));
            }
            after.extend(next.into_iter().map(|id| replace(state, who, id)));
        }
        after
    });
    (locals, found)
}

/// The states of a replica after it proposed.
fn proposals(locals: &mut Locals, id: Id) -> Vec<Id> {
    let values = usize::from(locals.bounds.values);
    let propose = |value| {
        let mut site = locals.get(id).site.clone();
        let before = locals.get(id).known;
        locals
            .world
            .propose(&mut site, value)
            .then(|| locals.intern(site, before))
            .flatten()
    };
    (0..values).filter_map(propose).collect()
}

fn replace<const K: usize>(mut state: Global<K>, who: usize, id: Id) -> Global<K> {
    state[who] = id;
    state
}

/// All runs of four honest members in which these values were proposed, or none by a member.
fn all_honest(
    rule: Rule,
    bounds: Bounds,
    proposed: [Option<usize>; 4],
    limit: usize,
) -> (Locals, Found<4>) {
    let mut locals = Locals::new(World::new(4, bounds.values, rule), bounds);
    let votes = locals.votes();
    let mut me = 0;
    let start: Global<4> = proposed.map(|value| {
        let mut site = locals.world.site(me);
        me += 1;
        value.map(|value| locals.world.propose(&mut site, value));
        locals
            .intern(site, 0)
            .expect("nothing is out of bounds yet")
    });
    let found = search(&mut locals, start, limit, |locals, state| {
        let mut after = Vec::new();
        for (to, from) in (0..4).flat_map(|to| (0..4).map(move |from| (to, from))) {
            let (sender, receiver) = (locals.get(state[from]), locals.get(state[to]));
            let news = sender.known & !receiver.known;
            if news == 0 || sender.decided || receiver.decided {
                continue;
            }
            let known = sender.known;
            let learned = locals.learn(state[to], known, &votes, true);
            let acted = learned.and_then(|id| locals.act(id, true));
            let acted = acted.filter(|&id| {
                rule != Rule::AsPublished || !commits_and_leaves(locals, state[to], id)
            });
            after.extend(acted.map(|id| replace(state, to, id)));
        }
        after
    });
    (locals, found)
}

/// Whether a replica votes to commit and leaves the round in one go. Algorithm 1 can be read so that it then keeps the
/// vote to commit to itself, so that nothing is made of such votes.
fn commits_and_leaves(locals: &Locals, before: Id, after: Id) -> bool {
    let cast = locals.get(after).own & !locals.get(before).own;
    (0..locals.bounds.rounds).any(|round| {
        let in_round =
            |phase, round| locals.before(phase, round + 1) & !locals.before(phase, round);
        let commits = cast & in_round(Phase::Commit, round) != 0;
        commits
            && cast
                & locals.before(Phase::PreCommit, locals.bounds.rounds)
                & !locals.before(Phase::PreCommit, round + 1)
                != 0
    })
}

/// Two values, proposed by A and B.
const TWO: [Option<usize>; 4] = [Some(0), Some(1), None, None];

/// How far the long searches go: `ROUNDS`, `VALUES` and `STATES`, or these.
fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(usual)
}

fn assert_holds<const K: usize>((locals, found): &(Locals, Found<K>)) {
    println!(
        "{} states of the network, {} of a replica; all there are: {}",
        found.states,
        locals.len(),
        found.whole
    );
    if let Some(run) = &found.broken {
        panic!(
            "two values can be decided:\n{}",
            tell(locals, run).join("\n")
        );
    }
}

fn assert_breaks<const K: usize>((locals, found): &(Locals, Found<K>)) {
    println!(
        "{} states of the network, {} of a replica",
        found.states,
        locals.len()
    );
    let run = found.broken.as_ref().expect("two values can be decided");
    println!("{}", tell(locals, run).join("\n"));
}

#[test]
fn the_lock_holds_in_every_state_nearby() {
    for exclusion in [Exclusion::Never, Exclusion::Anytime] {
        let bounds = Bounds {
            rounds: 3,
            values: 2,
        };
        assert_holds(&with_byzantine(
            Rule::Locked,
            bounds,
            exclusion,
            setting("STATES", 5_000),
        ));
    }
}

#[test]
#[ignore = "takes minutes, with optimization"]
fn the_lock_holds_in_every_state() {
    let bounds = Bounds {
        rounds: setting("ROUNDS", 2) as u32,
        values: setting("VALUES", 2) as u8,
    };
    for exclusion in [Exclusion::Never, Exclusion::Anytime] {
        println!("{bounds:?}, {exclusion:?}");
        assert_holds(&with_byzantine(
            Rule::Locked,
            bounds,
            exclusion,
            setting("STATES", 60_000_000),
        ));
    }
}

#[test]
#[ignore = "takes a minute, with optimization"]
fn the_lock_holds_where_all_are_honest() {
    let bounds = Bounds {
        rounds: 3,
        values: 2,
    };
    assert_holds(&all_honest(
        Rule::Locked,
        bounds,
        TWO,
        setting("STATES", 60_000_000),
    ));
}

#[test]
#[ignore = "takes a minute, with optimization"]
fn the_published_rule_breaks_where_all_are_honest() {
    let bounds = Bounds {
        rounds: 3,
        values: 2,
    };
    assert_breaks(&all_honest(
        Rule::AsPublished,
        bounds,
        TWO,
        setting("STATES", 60_000_000),
    ));
}

#[test]
#[ignore = "takes minutes, with optimization"]
fn the_published_rule_breaks_with_a_byzantine_member() {
    let bounds = Bounds {
        rounds: 3,
        values: 2,
    };
    assert_breaks(&with_byzantine(
        Rule::AsPublished,
        bounds,
        Exclusion::Shown,
        setting("STATES", 60_000_000),
    ));
}
