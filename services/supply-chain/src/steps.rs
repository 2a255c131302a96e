//! The handlers: one for each step of the workflow.

use crate::{
    genesis::{CATALOGUE, DEMO_SUPPLIER},
    model::*,
};
use plenary::{prelude::*, types::PrivateKey};
use serde::{Deserialize, Serialize};

/// Longest destination of a label, in bytes.
const MAX_DESTINATION_BYTES: usize = 500;

/// The answer of [`create_package`].
#[derive(Debug, Serialize)]
pub struct Created {
    package_id: PackageId,
}

/// Makes a package with some items, signed by the demo supplier.
pub fn create_package(cx: &mut Context) -> Result<(StatusCode, Json<Created>), Problem> {
    let demo = DEMO_SUPPLIER.get(cx, &())?.ok_or_else(|| {
        let detail = "the genesis of this network has no demo_supplier, so it makes no packages";
        Problem::new(403, "no-demo-supplier", detail)
    })?;
    let package_id = PackageId::from(cx.new_id("PKG"));
    let items = CATALOGUE.scan(cx, .., 100)?;
    let items = items.into_iter().map(|(item_id, item)| Item {
        item_id,
        item,
        qty: 1 + (cx.random_u64() % 20) as u32,
    });
    let contents: Vec<Item> = items.collect();
    let message = signed_contents(&package_id, &demo.supplier, &contents)?;
    let package = Package {
        signature: PrivateKey::from_seed(demo.seed.0).sign(&message),
        supplier: demo.supplier,
        contents,
        status: PackageStatus::Available,
    };
    PACKAGES.put(cx, &package_id, &package)?;
    Ok((StatusCode::ACCEPTED, Json(Created { package_id })))
}

/// The body of [`start`].
#[derive(Debug, Deserialize)]
pub struct Start {
    operator_id: OperatorId,
}

/// The answer of [`start`].
#[derive(Debug, Serialize)]
pub struct Started {
    message: &'static str,
    id: SessionId,
}

/// Opens a session.
pub fn start(
    cx: &mut Context,
    Json(Start { operator_id }): Json<Start>,
) -> Result<(StatusCode, Json<Started>), Problem> {
    if !OPERATORS.contains(cx, &operator_id)? {
        return Err(Problem::not_found("operator", operator_id));
    }
    let id = cx.session();
    let work = Work {
        operator: operator_id,
        client: cx.client(),
        progress: Progress::Started,
    };
    WORK.put(cx, &id, &work)?;
    let message = "session started";
    Ok((StatusCode::CREATED, Json(Started { message, id })))
}

/// The answer of [`scan`].
#[derive(Debug, Serialize)]
pub struct Scan {
    source: SupplierId,
    package_id: PackageId,
    expected_contents: Vec<Item>,
    supplier_signature: Signature,
    next_step: Step,
}

/// Takes a package into the session and says what it should contain.
pub fn scan(
    cx: &mut Context,
    Path((id, package_id)): Path<(SessionId, PackageId)>,
) -> Result<Json<Scan>, Problem> {
    let mut work = work(cx, &id)?;
    let Progress::Started = work.progress else {
        return Err(work.progress.refuse(Step::Scan));
    };
    let mut package = find_package(cx, &package_id)?;
    let refusal = match &package.status {
        PackageStatus::Available => None,
        PackageStatus::InWork { session } => {
            let detail = format!("session {session} is working on {package_id}");
            Some(Problem::conflict("package-in-work", detail).retryable())
        }
        PackageStatus::Shipped { label } => {
            let detail = format!("{package_id} was shipped with {label}");
            Some(Problem::conflict("package-shipped", detail))
        }
        PackageStatus::Failed { record } => {
            let detail = format!("{package_id} failed its quality check {record}");
            Some(Problem::conflict("failed-quality-check", detail))
        }
    };
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    package.status = PackageStatus::InWork { session: id };
    PACKAGES.put(cx, &package_id, &package)?;
    work.progress = Progress::Scanned {
        package: package_id.clone(),
    };
    WORK.put(cx, &id, &work)?;
    Ok(Json(Scan {
        source: package.supplier,
        package_id,
        expected_contents: package.contents,
        supplier_signature: package.signature,
        next_step: Step::Validate,
    }))
}

/// The body of [`validate`].
#[derive(Debug, Deserialize)]
pub struct Validate {
    package_id: PackageId,
    signature: String,
}

/// The answer of [`validate`].
#[derive(Debug, Serialize)]
pub struct Validated {
    message: &'static str,
    package_id: PackageId,
    supplier: SupplierId,
    session_id: SessionId,
}

/// Verifies the supplier's signature over the package's contents.
pub fn validate(
    cx: &mut Context,
    Path(id): Path<SessionId>,
    Json(asked): Json<Validate>,
) -> Result<(StatusCode, Json<Validated>), Problem> {
    let mut work = work(cx, &id)?;
    let Progress::Scanned { package: scanned } = work.progress else {
        return Err(work.progress.refuse(Step::Validate));
    };
    if asked.package_id != scanned {
        let detail = format!("the session is for {scanned}, not for {}", asked.package_id);
        return Err(Problem::conflict("other-package", detail));
    }
    let package = find_package(cx, &scanned)?;
    let supplier = SUPPLIERS.get(cx, &package.supplier)?;
    let supplier = supplier.ok_or_else(|| Problem::not_found("supplier", &package.supplier))?;
    let message = signed_contents(&scanned, &package.supplier, &package.contents)?;
    let signature = asked.signature.parse::<Signature>();
    let holds = signature.is_ok_and(|signature| supplier.key.verify(&message, &signature));
    if !holds {
        let detail = format!(
            "the signature is not {}'s over the contents of {scanned}",
            package.supplier
        );
        return Err(Problem::unprocessable("bad-signature", detail));
    }
    work.progress = Progress::Validated {
        package: scanned.clone(),
    };
    WORK.put(cx, &id, &work)?;
    let answer = Validated {
        message: "package validated",
        package_id: scanned,
        supplier: package.supplier,
        session_id: id,
    };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// The body of [`check_quality`].
#[derive(Debug, Deserialize)]
pub struct Quality {
    passed: bool,
    #[serde(default)]
    issues: Vec<String>,
}

/// The answer of [`check_quality`].
#[derive(Debug, Serialize)]
pub struct Checked {
    message: &'static str,
    package_id: PackageId,
    qc_record_id: QcRecordId,
    operator_id: OperatorId,
}

/// Records the quality check. A package that fails it can only be committed as failed.
pub fn check_quality(
    cx: &mut Context,
    Path(id): Path<SessionId>,
    Json(Quality { passed, issues }): Json<Quality>,
) -> Result<(StatusCode, Json<Checked>), Problem> {
    let mut work = work(cx, &id)?;
    let Progress::Validated { package } = work.progress else {
        return Err(work.progress.refuse(Step::Qc));
    };
    let record_id = QcRecordId::from(cx.new_id("QCR"));
    let record = QcRecord {
        package: package.clone(),
        operator: work.operator.clone(),
        passed,
        issues,
        time: cx.now(),
    };
    QC_RECORDS.put(cx, &record_id, &record)?;
    let (message, progress) = if passed {
        ("quality check passed", Progress::Passed { package })
    } else {
        let record = record_id.clone();
        ("quality check failed", Progress::Failed { package, record })
    };
    work.progress = progress;
    WORK.put(cx, &id, &work)?;
    let answer = Checked {
        message,
        package_id: record.package,
        qc_record_id: record_id,
        operator_id: work.operator,
    };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// The body of [`label`].
#[derive(Debug, Deserialize)]
pub struct LabelRequest {
    destination: String,
    priority: Priority,
    courier_id: CourierId,
}

/// The answer of [`label`].
#[derive(Debug, Serialize)]
pub struct Labelled {
    label_id: LabelId,
}

/// Labels the package for a courier.
pub fn label(
    cx: &mut Context,
    Path(id): Path<SessionId>,
    Json(asked): Json<LabelRequest>,
) -> Result<(StatusCode, Json<Labelled>), Problem> {
    let mut work = work(cx, &id)?;
    let Progress::Passed { package } = work.progress else {
        return Err(work.progress.refuse(Step::Label));
    };
    let destination = asked.destination.trim();
    if destination.is_empty() || destination.len() > MAX_DESTINATION_BYTES {
        let detail = format!("a destination has 1 to {MAX_DESTINATION_BYTES} bytes");
        return Err(Problem::unprocessable("invalid-destination", detail));
    }
    if !COURIERS.contains(cx, &asked.courier_id)? {
        return Err(Problem::not_found("courier", asked.courier_id));
    }
    let label_id = LabelId::from(cx.new_id("LBL"));
    let label = Label {
        package: package.clone(),
        courier: asked.courier_id,
        destination: destination.to_owned(),
        priority: asked.priority,
    };
    LABELS.put(cx, &label_id, &label)?;
    work.progress = Progress::Labelled {
        package,
        label: label_id.clone(),
    };
    WORK.put(cx, &id, &work)?;
    Ok((StatusCode::ACCEPTED, Json(Labelled { label_id })))
}

/// The body of [`commit`]; clients may send more members.
#[derive(Debug, Deserialize)]
pub struct Commit {
    operator_id: OperatorId,
}

/// The answer of [`commit`]; the node adds `l1`, the block's height and the transaction's hash,
/// which no handler can know.
#[derive(Debug, Serialize)]
pub struct Committed {}

/// Closes the session: the package leaves, or is put aside for good.
pub fn commit(
    cx: &mut Context,
    Path(id): Path<SessionId>,
    Json(Commit { operator_id }): Json<Commit>,
) -> Result<(StatusCode, Json<Committed>), Problem> {
    let mut work = work(cx, &id)?;
    if operator_id != work.operator {
        let detail = format!("the session is {}'s, not {operator_id}'s", work.operator);
        return Err(Problem::conflict("other-operator", detail));
    }
    let (package_id, status) = match work.progress {
        Progress::Labelled { package, label } => (package, PackageStatus::Shipped { label }),
        Progress::Failed { package, record } => (package, PackageStatus::Failed { record }),
        progress => return Err(progress.refuse(Step::Commit)),
    };
    let mut package = find_package(cx, &package_id)?;
    package.status = status;
    PACKAGES.put(cx, &package_id, &package)?;
    work.progress = Progress::Committed;
    WORK.put(cx, &id, &work)?;
    Ok((StatusCode::ACCEPTED, Json(Committed {})))
}

/// Shows a package. It only reads, so any node answers it from final state, without consensus.
pub fn package(cx: &mut Context, Path(id): Path<PackageId>) -> Result<Json<Package>, Problem> {
    find_package(cx, &id).map(Json)
}

/// The work of a session, for the client that opened it.
fn work(cx: &mut Context, id: &SessionId) -> Result<Work, Problem> {
    let work = WORK
        .get(cx, id)?
        .ok_or_else(|| Problem::not_found("session", id))?;
    if work.client != cx.client() {
        let detail = "another client opened this session; only it can go on with it";
        return Err(Problem::new(403, "other-client", detail));
    }
    Ok(work)
}

fn find_package(cx: &mut Context, id: &PackageId) -> Result<Package, Problem> {
    PACKAGES
        .get(cx, id)?
        .ok_or_else(|| Problem::not_found("package", id))
}
