//! Whether a configuration fits its genesis, its key and the service that the program runs.

use super::{Config, ConfigError, Role, load_genesis};
use crate::{
    keys::{self, KeyError},
    located::{self, Located},
};
use plenary_client::Client;
use plenary_session::{node::Bounds, participation::Participation};
use plenary_types::{
    Genesis, PrivateKey, PublicKey, ServiceId, genesis::Member, limits::MAX_OPERATION_AGE_MS,
};
use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

/// All that a node needs to start.
#[derive(Debug)]
pub(crate) struct Node {
    /// The node's name in the genesis.
    pub(crate) name: String,
    /// The network.
    pub(crate) genesis: Arc<Genesis>,
    /// The node's key.
    pub(crate) key: PrivateKey,
    /// The other nodes of its role.
    pub(crate) peers: Vec<(PublicKey, SocketAddr)>,
    /// What a session node needs besides.
    pub(crate) layer2: Option<Layer2>,
}

/// What only a session node needs.
#[derive(Debug)]
pub(crate) struct Layer2 {
    /// The validators, and where they serve HTTP.
    pub(crate) validators: Vec<(PublicKey, String)>,
    /// How it runs.
    pub(crate) bounds: Bounds,
}

impl Role {
    /// The nodes of this role.
    pub(crate) fn members(self, genesis: &Genesis) -> &[Member] {
        match self {
            Self::Validator => &genesis.validators,
            Self::Session => &genesis.session_nodes,
        }
    }
}

impl Config {
    /// Reads genesis and key, and checks that all of it fits together and fits `service`, the one
    /// this program runs.
    ///
    /// # Errors
    ///
    /// Everything that is wrong.
    pub(crate) fn node(&self, service: &ServiceId) -> Result<Node, ConfigError> {
        let mut report = Report {
            config: self,
            wrong: Vec::new(),
        };
        let genesis = load_genesis(&self.genesis)
            .map_err(|error| report.add("genesis", error))
            .ok();
        let key = keys::load(&self.key)
            .map_err(|error| report.add("key", explain_key(&error)))
            .ok();
        if self.http == self.p2p && self.http.port() != 0 {
            let problem = format!("{} is http.listen too; give one another port", self.p2p);
            report.add("p2p.listen", problem);
        }
        let node = match (genesis, key) {
            (Some(genesis), Some(key)) => report.fit(genesis, key, service),
            _ => None,
        };
        match node {
            Some(node) if report.wrong.is_empty() => Ok(node),
            _ => Err(ConfigError::Content(report.wrong)),
        }
    }
}

/// What is found wrong with a configuration.
struct Report<'a> {
    config: &'a Config,
    wrong: Vec<Located>,
}

impl Report<'_> {
    fn add(&mut self, key: &str, problem: impl ToString) {
        self.wrong.push(Located {
            path: self.config.path.clone(),
            line: located::line_of(&self.config.text, key),
            key: key.to_owned(),
            problem: problem.to_string(),
        });
    }

    /// Checks genesis, key, peers and service against each other.
    fn fit(&mut self, genesis: Genesis, key: PrivateKey, service: &ServiceId) -> Option<Node> {
        if genesis.service != *service {
            self.add(
                "genesis",
                format!(
                    "network {} runs {}, this program is {service}; start it with the program of that version, or make a new network",
                    genesis.network, genesis.service
                ),
            );
        }
        let own = key.public_key();
        let name = self.name(&genesis, &own);
        let peers = self.peers(&genesis, own);
        let layer2 = self.layer2(&genesis);
        Some(Node {
            name: name?,
            genesis: Arc::new(genesis),
            key,
            peers,
            layer2,
        })
    }

    fn name(&mut self, genesis: &Genesis, own: &PublicKey) -> Option<String> {
        let role = self.config.role;
        let members = role.members(genesis);
        if let Some(member) = members.iter().find(|member| member.key == *own) {
            return Some(member.name.clone());
        }
        let names = members.iter().map(|member| member.name.as_str());
        self.add(
            "key",
            format!(
                "{own} is the key of no {role} of network {} ({}); use the key file of one of them, or the genesis of this node's network",
                genesis.network,
                names.collect::<Vec<_>>().join(", ")
            ),
        );
        None
    }

    /// The other nodes of the role: each once, none missing.
    fn peers(&mut self, genesis: &Genesis, own: PublicKey) -> Vec<(PublicKey, SocketAddr)> {
        let config = self.config;
        let members = config.role.members(genesis);
        let named = config.peers.iter().map(|peer| (&peer.name, peer.key));
        let seen = self.named("p2p.peers", config.role, members, named, Some(own));
        for member in members.iter().filter(|member| !seen.contains(&member.key)) {
            self.add(
                "p2p.peers",
                format!(
                    "{} is missing; add [[p2p.peers]] with key = \"{}\" and its address",
                    member.name, member.key
                ),
            );
        }
        let peers = config.peers.iter().filter(|peer| peer.key != own);
        peers.map(|peer| (peer.key, peer.address)).collect()
    }

    /// Checks a list of nodes of a role that the file names, and gives those of the genesis,
    /// `own` included.
    fn named<'n>(
        &mut self,
        list: &str,
        role: Role,
        members: &[Member],
        named: impl Iterator<Item = (&'n String, PublicKey)>,
        own: Option<PublicKey>,
    ) -> BTreeSet<PublicKey> {
        let mut seen: BTreeSet<_> = own.into_iter().collect();
        for (index, (name, key)) in named.enumerate() {
            let place = format!("{list}[{index}].key");
            if !members.iter().any(|member| member.key == key) {
                let problem = format!("{key} (of {name:?}) is the key of no {role} of the genesis");
                self.add(&place, problem);
            } else if Some(key) != own && !seen.insert(key) {
                let problem = format!("{key} (of {name:?}) is the key of another one too");
                self.add(&place, problem);
            }
        }
        seen
    }

    /// What only a session node has.
    fn layer2(&mut self, genesis: &Genesis) -> Option<Layer2> {
        let config = self.config;
        if config.role == Role::Validator {
            let given = [
                ("bounds", config.has_bounds),
                ("validators", !config.validators.is_empty()),
            ];
            for (key, _) in given.into_iter().filter(|(_, given)| *given) {
                let problem = "only a session node has it; remove it, or set role = \"session\"";
                self.add(key, problem);
            }
            return None;
        }
        self.check_bounds(genesis);
        self.check_validators(genesis);
        let validators = config.validators.iter();
        Some(Layer2 {
            validators: validators.map(|one| (one.key, one.url.clone())).collect(),
            bounds: config.bounds.clone(),
        })
    }

    fn check_bounds(&mut self, genesis: &Genesis) {
        let bounds = &self.config.bounds;
        let all = genesis.session_nodes.len();
        if let Participation::Any(nodes) = bounds.participation
            && nodes > all
        {
            let problem = format!("{nodes} session nodes can never agree: the network has {all}");
            self.add("bounds.participation", problem);
        }
        let longest = Duration::from_millis(MAX_OPERATION_AGE_MS);
        if bounds.time_limit.is_zero() || bounds.time_limit > longest {
            let problem = format!(
                "a session lasts more than nothing and at most {}: layer 1 takes no older operation",
                humantime::format_duration(longest)
            );
            self.add("bounds.time_limit", problem);
        }
        for (key, bound) in [
            ("bounds.sessions", bounds.sessions),
            ("bounds.requests", bounds.requests),
        ] {
            if bound == 0 {
                self.add(key, "a node that takes none serves nobody");
            }
        }
    }

    fn check_validators(&mut self, genesis: &Genesis) {
        let config = self.config;
        let named = config.validators.iter().map(|one| (&one.name, one.key));
        let (role, members) = (Role::Validator, &genesis.validators);
        let seen = self.named("validators", role, members, named, None);
        for (index, validator) in config.validators.iter().enumerate() {
            if let Err(error) = Client::new([&validator.url]) {
                self.add(&format!("validators[{index}].url"), error);
            }
        }
        let needed = genesis.faults() + 1;
        if seen.len() < needed {
            let problem = format!(
                "name at least {needed} of the {} validators, with key and url: any {} of them may lie or be gone",
                genesis.validators.len(),
                genesis.faults()
            );
            self.add("validators", problem);
        }
    }
}

fn explain_key(error: &KeyError) -> String {
    match error {
        KeyError::File(error) => {
            format!("{error}; `keys new --out FILE` makes a key, `testnet init` a whole network")
        }
        other => other.to_string(),
    }
}
