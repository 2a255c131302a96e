//! Every state that some replicas can reach together, the nearest first.

use std::collections::HashSet;

use super::{
    Phase,
    locals::{EXCLUDED, Id, Locals, Votes},
};

/// The state of `K` replicas: of each, the number of its state.
pub type Global<const K: usize> = [Id; K];

/// What a search found.
pub struct Found<const K: usize> {
    /// States reached.
    pub states: usize,
    /// Whether these are all there are.
    pub whole: bool,
    /// The shortest run to a state in which certificates for two values can be made.
    pub broken: Option<Vec<Global<K>>>,
}

/// Goes through all states that follow from `start`, at most `limit`, until one is broken.
pub fn search<const K: usize>(
    locals: &mut Locals,
    start: Global<K>,
    limit: usize,
    mut successors: impl FnMut(&mut Locals, Global<K>) -> Vec<Global<K>>,
) -> Found<K> {
    let mut reached = vec![(start, 0)];
    let mut known = HashSet::from([start]);
    let mut next = 0;
    while next < reached.len() {
        let (state, _) = reached[next];
        for after in successors(locals, state) {
            if !known.insert(after) {
                continue;
            }
            reached.push((after, next));
            if is_broken(locals, after) {
                return Found {
                    states: reached.len(),
                    whole: false,
                    broken: Some(path(&reached)),
                };
            }
            if reached.len() >= limit {
                return Found {
                    states: reached.len(),
                    whole: false,
                    broken: None,
                };
            }
        }
        next += 1;
    }
    Found {
        states: reached.len(),
        whole: true,
        broken: None,
    }
}

/// The way to the state that was reached last.
fn path<const K: usize>(reached: &[(Global<K>, usize)]) -> Vec<Global<K>> {
    let mut path = Vec::new();
    let mut at = reached.len() - 1;
    while at != 0 {
        path.push(reached[at].0);
        at = reached[at].1;
    }
    path.push(reached[0].0);
    path.reverse();
    path
}

/// Whether certificates for two values can be made of the votes that `K` honest replicas cast, and any of the others.
pub fn is_broken<const K: usize>(locals: &Locals, state: Global<K>) -> bool {
    let cast = state.iter().fold(0, |cast, &id| cast | locals.get(id).own);
    let n = locals.world.members.len();
    let certain = |value: &usize| {
        (0..locals.bounds.rounds).any(|round| {
            let votes = |voter| cast & locals.vote(Phase::Commit, round, *value, voter) != 0;
            let honest = (0..n).filter(|&voter| votes(voter)).count();
            honest + (n - K) >= locals.world.members.quorum()
        })
    };
    (0..usize::from(locals.bounds.values))
        .filter(certain)
        .count()
        > 1
}

/// A run, as one reads it.
pub fn tell<const K: usize>(locals: &Locals, run: &[Global<K>]) -> Vec<String> {
    let step = |pair: &[Global<K>]| {
        let who = (0..K).find(|&who| pair[0][who] != pair[1][who])?;
        let (before, after) = (locals.get(pair[0][who]), locals.get(pair[1][who]));
        let news = after.known & !before.known;
        let (learned, cast) = (
            name(locals, news & !after.own),
            name(locals, news & after.own),
        );
        let excluded = if news & EXCLUDED != 0 {
            ", excludes the Byzantine member"
        } else {
            ""
        };
        Some(format!(
            "{}: learns [{learned}]{excluded}, votes [{cast}]",
            letter(who)
        ))
    };
    run.windows(2).filter_map(step).collect()
}

fn letter(member: usize) -> char {
    char::from(b'A' + member as u8)
}

/// Votes by name: `A1v2` is A's vote for value 2 in round 1, `A1v2!` its vote to commit it.
fn name(locals: &Locals, votes: Votes) -> String {
    let mut names = Vec::new();
    for (phase, mark) in [(Phase::PreCommit, ""), (Phase::Commit, "!")] {
        for round in 0..locals.bounds.rounds {
            for value in 0..usize::from(locals.bounds.values) {
                let cast = |&voter: &usize| votes & locals.vote(phase, round, value, voter) != 0;
                let voters = (0..locals.world.members.len()).filter(cast);
                names.extend(
                    voters.map(|voter| format!("{}{round}v{}{mark}", letter(voter), value + 1)),
                );
            }
        }
    }
    names.join(" ")
}
