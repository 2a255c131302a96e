//! What the supply chain keeps, and which step may follow which.

use plenary::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt;

id_type! {
    /// Names an operator, for example `OPR-001`.
    pub struct OperatorId;
}
id_type! {
    /// Names a courier, for example `COU-001`.
    pub struct CourierId;
}
id_type! {
    /// Names a supplier, for example `SUP-001`.
    pub struct SupplierId;
}
id_type! {
    /// Names a package.
    pub struct PackageId;
}
id_type! {
    /// Names the record of a quality check.
    pub struct QcRecordId;
}
id_type! {
    /// Names a shipping label.
    pub struct LabelId;
}

/// The operators, from genesis.
pub const OPERATORS: Table<OperatorId, Operator> = Table::new("operators");
/// The couriers, from genesis.
pub const COURIERS: Table<CourierId, Courier> = Table::new("couriers");
/// The suppliers and their keys, from genesis.
pub const SUPPLIERS: Table<SupplierId, Supplier> = Table::new("suppliers");
/// The packages.
pub const PACKAGES: Table<PackageId, Package> = Table::new("packages");
/// The work of each session.
pub const WORK: Table<SessionId, Work> = Table::new("work");
/// The records of quality checks.
pub const QC_RECORDS: Table<QcRecordId, QcRecord> = Table::new("qc-records");
/// The shipping labels.
pub const LABELS: Table<LabelId, Label> = Table::new("labels");

/// Someone who handles packages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Operator {
    /// The name.
    pub name: String,
}

/// Someone who carries packages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Courier {
    /// The name.
    pub name: String,
}

/// Someone who sends packages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Supplier {
    /// The name.
    pub name: String,
    /// The key that the supplier signs contents with.
    pub key: PublicKey,
}

/// So many of one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The item's number.
    pub item_id: String,
    /// The item in words.
    pub item: String,
    /// How many.
    pub qty: u32,
}

/// A package.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Package {
    /// Who sent it.
    pub supplier: SupplierId,
    /// What it should contain.
    pub contents: Vec<Item>,
    /// The supplier's signature over [`signed_contents`].
    pub signature: Signature,
    /// Where it stands.
    pub status: PackageStatus,
}

/// Where a package stands. Only an available one can be taken into a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum PackageStatus {
    /// Nobody works on it.
    Available,
    /// A session has it.
    InWork {
        /// The session.
        session: SessionId,
    },
    /// It left with a courier.
    Shipped {
        /// Its label.
        label: LabelId,
    },
    /// It failed its quality check and never leaves.
    Failed {
        /// The check's record.
        record: QcRecordId,
    },
}

/// The text that a supplier signs: a first line that says what it is, then the JSON of the
/// package's id, the supplier's id and the contents, `["PKG-…","SUP-…",[{"item_id":…}]]`.
pub fn signed_contents(
    package: &PackageId,
    supplier: &SupplierId,
    contents: &[Item],
) -> Result<Vec<u8>, Problem> {
    let mut text = b"supply-chain package 1\n".to_vec();
    serde_json::to_writer(&mut text, &(package, supplier, contents))
        .map_err(|error| Problem::new(500, "unencodable-contents", error))?;
    Ok(text)
}

/// The work of one session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Work {
    /// Who does it.
    pub operator: OperatorId,
    /// The key of the client that opened the session; the only one that may go on with it.
    pub client: Option<PublicKey>,
    /// How far it is.
    pub progress: Progress,
}

/// How far a session is. Each step takes the one before it and makes the next.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "kebab-case")]
pub enum Progress {
    /// Open, without a package.
    Started,
    /// The package is scanned.
    Scanned {
        /// The package.
        package: PackageId,
    },
    /// Its supplier's signature is valid.
    Validated {
        /// The package.
        package: PackageId,
    },
    /// It passed its quality check.
    Passed {
        /// The package.
        package: PackageId,
    },
    /// It failed its quality check.
    Failed {
        /// The package.
        package: PackageId,
        /// The check's record.
        record: QcRecordId,
    },
    /// It has its label.
    Labelled {
        /// The package.
        package: PackageId,
        /// The label.
        label: LabelId,
    },
    /// The session is closed.
    Committed,
}

/// A step of the workflow, as clients know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// `GET /session/{id}/scan/{package_id}`
    Scan,
    /// `POST /session/{id}/validate`
    Validate,
    /// `POST /session/{id}/qc`
    Qc,
    /// `POST /session/{id}/label`
    Label,
    /// `POST /commit/{id}`
    Commit,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scan => "scan",
            Self::Validate => "validate",
            Self::Qc => "qc",
            Self::Label => "label",
            Self::Commit => "commit",
        })
    }
}

impl Progress {
    /// The one step that may come next; none once the session is closed.
    pub fn next_step(&self) -> Option<Step> {
        match self {
            Self::Started => Some(Step::Scan),
            Self::Scanned { .. } => Some(Step::Validate),
            Self::Validated { .. } => Some(Step::Qc),
            Self::Passed { .. } => Some(Step::Label),
            Self::Failed { .. } | Self::Labelled { .. } => Some(Step::Commit),
            Self::Committed => None,
        }
    }

    /// The refusal of `step`, which is not the next one.
    pub fn refuse(&self, step: Step) -> Problem {
        let Some(next) = self.next_step() else {
            return Problem::conflict("session-closed", "the session is committed and closed");
        };
        if let Self::Failed { package, .. } = self
            && step == Step::Label
        {
            let detail = format!("{package} failed its quality check and cannot be shipped");
            return Problem::conflict("failed-quality-check", detail);
        }
        let detail = format!("the session's next step is {next}, not {step}");
        Problem::conflict("wrong-step", detail).with("next_step", next.to_string())
    }
}

/// What an operator found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QcRecord {
    /// The package.
    pub package: PackageId,
    /// Who checked it.
    pub operator: OperatorId,
    /// Whether it is fit to be shipped.
    pub passed: bool,
    /// What is wrong with it.
    pub issues: Vec<String>,
    /// When.
    pub time: Timestamp,
}

/// How urgent a shipment is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// When it suits.
    Low,
    /// As usual.
    Standard,
    /// Before others.
    High,
    /// At once.
    Express,
}

/// A shipping label.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Label {
    /// The package.
    pub package: PackageId,
    /// Who carries it.
    pub courier: CourierId,
    /// Where to.
    pub destination: String,
    /// How urgent it is.
    pub priority: Priority,
}
