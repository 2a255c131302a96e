//! What a network of the supply chain starts with: the `config` of its genesis.

use crate::model::*;
use plenary::{
    prelude::*,
    types::{Digest, PrivateKey},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What test packages are made of: items by their number.
pub const CATALOGUE: Table<String, String> = Table::new("catalogue");
/// Who signs test packages.
pub const DEMO_SUPPLIER: Table<(), DemoSupplier> = Table::new("demo-supplier");

/// A supplier whose private key everyone knows, so that `POST /session/test-package` can sign.
///
/// For demonstrations and measurements only: state is open to every node and every auditor, and
/// so is this key. Leave `demo_supplier` out of the genesis of a network that matters; real
/// suppliers keep their keys and sign elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoSupplier {
    /// One of the suppliers.
    pub supplier: SupplierId,
    /// The private key's seed, in hexadecimal.
    pub seed: Digest,
}

/// The `config` of the genesis.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The operators by id.
    pub operators: BTreeMap<String, Operator>,
    /// The couriers by id.
    pub couriers: BTreeMap<String, Courier>,
    /// The suppliers by id.
    pub suppliers: BTreeMap<String, Supplier>,
    /// What test packages are made of.
    #[serde(default)]
    pub catalogue: BTreeMap<String, String>,
    /// Who signs test packages; without one there are none.
    #[serde(default)]
    pub demo_supplier: Option<DemoSupplier>,
}

/// Puts the config into the tables.
pub fn seed(cx: &mut Context, config: &Value) -> Result<(), Problem> {
    let config = Config::deserialize(config)
        .map_err(|error| Problem::unprocessable("invalid-config", error))?;
    for (id, operator) in config.operators {
        OPERATORS.put(cx, &id.into(), &operator)?;
    }
    for (id, courier) in config.couriers {
        COURIERS.put(cx, &id.into(), &courier)?;
    }
    for (id, item) in &config.catalogue {
        CATALOGUE.put(cx, id, item)?;
    }
    if let Some(demo) = config.demo_supplier {
        check_demo_supplier(&demo, &config.suppliers)?;
        DEMO_SUPPLIER.put(cx, &(), &demo)?;
    }
    for (id, supplier) in config.suppliers {
        SUPPLIERS.put(cx, &id.into(), &supplier)?;
    }
    Ok(())
}

fn check_demo_supplier(
    demo: &DemoSupplier,
    suppliers: &BTreeMap<String, Supplier>,
) -> Result<(), Problem> {
    let key = PrivateKey::from_seed(demo.seed.0).public_key();
    let supplier = suppliers.get(&demo.supplier.to_string());
    if supplier.is_some_and(|supplier| supplier.key == key) {
        return Ok(());
    }
    let detail = format!(
        "demo_supplier.seed is not the private key of {}; its public key is {key}",
        demo.supplier
    );
    Err(Problem::unprocessable("invalid-config", detail))
}

/// A network to try things on: three of everyone, and suppliers whose keys are no secret.
pub fn default_config() -> Value {
    let seed = |number: u8| Digest::of("supply-chain demo supplier", &[&[number]]);
    let key = |number| PrivateKey::from_seed(seed(number).0).public_key();
    json!({
        "operators": {
            "OPR-001": { "name": "Ada" },
            "OPR-002": { "name": "Grace" },
            "OPR-003": { "name": "Edsger" },
        },
        "couriers": {
            "COU-001": { "name": "Swift Parcel" },
            "COU-002": { "name": "Harbour Freight" },
            "COU-003": { "name": "Night Post" },
        },
        "suppliers": {
            "SUP-001": { "name": "Northern Instruments", "key": key(1) },
            "SUP-002": { "name": "Delta Components", "key": key(2) },
            "SUP-003": { "name": "Orchard Foods", "key": key(3) },
        },
        "catalogue": {
            "ITM-001": "pressure sensor",
            "ITM-002": "steel bracket",
            "ITM-003": "cable, 2 m",
        },
        "demo_supplier": { "supplier": "SUP-001", "seed": seed(1) },
    })
}
