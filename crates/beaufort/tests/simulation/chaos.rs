//! A run in which everything goes wrong for a while, and what must hold all the same.
//!
//! Replicas set and delete a few keys against each other. Meanwhile the network is cut and healed, replicas crash and
//! start again, and some are Byzantine from the beginning to the end. After that faults of the network stop. Then
//! every submission of an honest replica that did not crash must settle, all honest replicas must come to the same
//! state, and none of them may have excluded an honest one.

use std::collections::{BTreeMap, BTreeSet};

use beaufort::{
    CertificateError, Digest, Evidence, Exclusion, MemberId, Members, Settings, Status,
    sim::{
        Additive, Adversary, Agreement, Costs, Micros, Network, Notice, Number, Random, SECOND,
        Setup, SiteId, Violation, World,
    },
};

const KEYS: u64 = 3;
/// When the faults of the network stop.
const CALM: Micros = 15 * SECOND;
/// How long everything has to settle after that.
const PATIENCE: Micros = 180 * SECOND;

/// A run.
pub struct Chaos {
    pub seed: u64,
    pub members: usize,
    /// What the first members are.
    pub adversaries: Vec<Adversary>,
}

/// What must not be.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error("site {site} excluded {member:?}, which is honest: {why:?}")]
    Slander {
        site: SiteId,
        member: MemberId,
        why: Exclusion,
    },
    #[error("evidence against an honest member, or none at all: {0:?}")]
    Evidence(Box<Evidence>),
    #[error("a submission was refused: {0}")]
    Refused(String),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("not settled or not the same everywhere: {pending:?}; replicas ended as {ends:#?}")]
    Stuck {
        /// Each with where it was made.
        pending: BTreeMap<u64, SiteId>,
        ends: Vec<(Option<Digest>, Option<Status>)>,
    },
}

struct Run<'a> {
    chaos: &'a Chaos,
    world: World,
    random: Random,
    agreement: Agreement,
    members: Members<Additive>,
    pending: BTreeMap<u64, SiteId>,
    submitted: u64,
    crashed: BTreeSet<SiteId>,
}

impl Chaos {
    /// Runs it.
    pub fn run(&self) -> Result<(), Failure> {
        let mut random = Random::new(!self.seed);
        let byzantine = (0..).zip(&self.adversaries);
        let twins = byzantine
            .filter(|(_, kind)| **kind == Adversary::Equivocator)
            .map(|(site, _)| MemberId(site));
        let network = Network {
            floor: 1 + random.below(50_000),
            tail: random.below(50_000),
            loss: if random.happens(0.5) {
                0.0
            } else {
                random.unit() * 0.05
            },
            setup: 100_000,
            detection: SECOND,
            ..Network::default()
        };
        let world = World::new(Setup {
            seed: self.seed,
            members: self.members,
            twins: twins.collect(),
            network,
            costs: random.happens(0.5).then(Costs::wasm),
            store: random.below(10_000),
            replica: Settings::default(),
        });
        let mut run = Run {
            chaos: self,
            world,
            random,
            agreement: Agreement::default(),
            members: Members::new((0..self.members as u64).map(Number).collect()).unwrap(),
            pending: BTreeMap::new(),
            submitted: 0,
            crashed: BTreeSet::new(),
        };
        for (site, kind) in self.adversaries.iter().enumerate() {
            kind.corrupt(&mut run.world, site, &mut run.random);
        }
        run.trouble()?;
        run.calm()
    }
}

impl Run<'_> {
    fn is_honest(&self, site: SiteId) -> bool {
        (self.chaos.adversaries.len()..self.chaos.members).contains(&site)
    }

    fn honest(&self) -> std::ops::Range<SiteId> {
        self.chaos.adversaries.len()..self.chaos.members
    }

    fn trouble(&mut self) -> Result<(), Failure> {
        let pace = 2 * SECOND / self.chaos.members as u64;
        loop {
            let pause = self.random.exponential(pace as f64 / 2.0) as Micros;
            let next = self.world.now() + pause;
            if next >= CALM {
                break;
            }
            self.world.run_until(next);
            self.listen()?;
            let site = self.random.below(self.world.sites() as u64) as usize;
            match self.random.below(16) {
                0 => self.cut(),
                1 => self.world.partition(vec![0; self.world.sites()]),
                2 if self.is_honest(site) => self.crash(site),
                3 => self.restart_one(),
                4..=6 => {
                    for (byzantine, kind) in self.chaos.adversaries.iter().enumerate() {
                        kind.turn(&self.world, byzantine, &mut self.random);
                    }
                }
                _ => self.submit(site),
            }
        }
        self.world.run_until(CALM);
        self.listen()
    }

    fn calm(&mut self) -> Result<(), Failure> {
        self.world.partition(vec![0; self.world.sites()]);
        while !self.crashed.is_empty() {
            self.restart_one();
        }
        // Whatever is still open needs no further submission to be decided; new ones must be decided as well.
        for site in self.honest() {
            self.submit(site);
        }
        while self.world.now() < CALM + PATIENCE {
            self.world.run_until(self.world.now() + SECOND);
            self.listen()?;
            if self.pending.is_empty() && self.roots().values().collect::<BTreeSet<_>>().len() == 1
            {
                return self.check_exclusions();
            }
        }
        let honest = self.honest();
        let ends = honest
            .map(|site| (self.world.root(site), self.world.status(site)))
            .collect();
        Err(Failure::Stuck {
            pending: self.pending.clone(),
            ends,
        })
    }

    fn roots(&mut self) -> BTreeMap<SiteId, Option<Digest>> {
        self.honest()
            .map(|site| (site, self.world.root(site)))
            .collect()
    }

    fn check_exclusions(&self) -> Result<(), Failure> {
        for site in self.honest() {
            let status = self.world.status(site).unwrap();
            let slandered = status
                .excluded
                .iter()
                .find(|(member, _)| self.is_honest(usize::from(member.0)));
            if let Some((member, why)) = slandered.cloned() {
                return Err(Failure::Slander { site, member, why });
            }
        }
        Ok(())
    }

    fn submit(&mut self, site: SiteId) {
        if self.crashed.contains(&site) {
            return;
        }
        let submission = self.submitted;
        self.submitted += 1;
        if self.is_honest(site) {
            self.pending.insert(submission, site);
        }
        let key = format!("key {}", self.random.below(KEYS)).into_bytes();
        let value =
            (!self.random.happens(0.1)).then(|| format!("{submission} of {site}").into_bytes());
        self.world.submit(site, submission, key, value);
    }

    fn cut(&mut self) {
        let parts = (0..self.world.sites())
            .map(|_| self.random.below(2) as usize)
            .collect();
        self.world.partition(parts);
    }

    fn crash(&mut self, site: SiteId) {
        if self.crashed.insert(site) {
            self.world.crash(site);
            self.pending.retain(|_, submitter| *submitter != site);
        }
    }

    fn restart_one(&mut self) {
        if let Some(site) = self.crashed.pop_first() {
            self.world.restart(site);
        }
    }

    fn listen(&mut self) -> Result<(), Failure> {
        for (_, site, notice) in self.world.notices() {
            if !self.is_honest(site) {
                continue;
            }
            match notice {
                Notice::Committed { key, entry } => {
                    self.agreement.decided(site, &key, &entry)?;
                    let scheme = Additive::default();
                    entry.certificate.verify(&scheme, &self.members, &key)?;
                }
                Notice::Settled { submission, .. } => {
                    self.pending.remove(&submission);
                }
                Notice::Refused { reason, .. } => return Err(Failure::Refused(reason)),
                Notice::Evidence(evidence) => {
                    let scheme = Additive::default();
                    let holds = evidence.holds(&scheme, &self.members, &[0; 32]);
                    if !holds || self.is_honest(usize::from(evidence.culprit.0)) {
                        return Err(Failure::Evidence(Box::new(evidence)));
                    }
                }
            }
        }
        Ok(())
    }
}
