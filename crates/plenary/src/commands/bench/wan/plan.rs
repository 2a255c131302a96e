//! What the arguments ask for: which runs, and whether they can be.

use super::{
    Args, Crashed,
    experiment::{Measured, Plan, WARM_UP},
    matrix::{Matrix, MatrixError, PRESETS},
    report::{Conditions, Report},
    setup::Setup,
};
use crate::{app::App, commands::Failure, demo::Demo, files, output::Output};
use plenary_session::participation::Participation;
use plenary_types::limits::MAX_VALIDATORS;
use std::{path::PathBuf, time::Duration};

/// How often the workflow is played from each site where every step waits for a majority.
const MAJORITY_ROUNDS: u32 = 2;

/// Why nothing was simulated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WanFailure {
    /// A matrix.
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    /// No such number of validators.
    #[error("{0} validators: a network needs 4 to {MAX_VALIDATORS}")]
    Validators(usize),
    /// The file places another number.
    #[error(
        "the matrix {matrix} places {placed} validators, not {validators}: ask for --validators {placed}, or take `validators` out of the file"
    )]
    Placed {
        /// The matrix.
        matrix: String,
        /// How many it places.
        placed: usize,
        /// How many are asked for.
        validators: usize,
    },
    /// No such site.
    #[error("the matrix {matrix} has no site `{site}`; its sites are {sites}")]
    Site {
        /// The matrix.
        matrix: String,
        /// What was asked for.
        site: String,
        /// What there is.
        sites: String,
    },
    /// A run did not come to its end.
    #[error("{run}: {reason}")]
    Run {
        /// Which one.
        run: String,
        /// Why.
        reason: String,
    },
}

pub(crate) fn run(app: &App, args: &Args, output: Output) -> Result<(), Failure> {
    let service = app.service.clone();
    let demo = app.workflow()?;
    let plans = plans(app, demo, args)?;
    files::create_directory(&args.out)?;
    output.note(format_args!("simulating with seed {}", args.seed));
    let bar = output.progress("playing the workflow");
    bar.set_length(plans.iter().map(Plan::workflows).sum());
    let mut runs = Vec::new();
    for plan in &plans {
        bar.set_message(plan.to_string());
        runs.push(measure(plan, || bar.inc(1))?);
    }
    bar.finish_and_clear();
    let conditions = Conditions {
        service: service.id().name.clone(),
        version: service.id().version.clone(),
        seed: args.seed,
        jitter_ms: args.jitter,
        rounds: args.rounds,
        warm_up: WARM_UP,
        overlapping: args.overlapping,
    };
    let report = Report::new(conditions, runs);
    let json = args.out.join("wan.json");
    // Everything in it is made of maps with text keys, which serialize.
    let text = serde_json::to_string_pretty(&report).unwrap_or_default();
    files::replace(&json, &format!("{text}\n"))?;
    let csv = args.out.join("wan.csv");
    files::replace(&csv, &report.csv())?;
    output.show(&report.summary(), || report.human());
    output.note(format_args!(
        "wrote {} and {}",
        json.display(),
        csv.display()
    ));
    Ok(())
}

fn measure(plan: &Plan<'_>, played: impl Fn()) -> Result<Measured, WanFailure> {
    plan.run(played).map_err(|reason| WanFailure::Run {
        run: plan.to_string(),
        reason,
    })
}

/// The runs that are asked for, and one a matrix in which every step waits for a majority.
fn plans<'a>(app: &App, demo: &'a Demo, args: &Args) -> Result<Vec<Plan<'a>>, WanFailure> {
    let named = |name: &&str| PathBuf::from(name);
    let presets = PRESETS.iter().map(|(name, _)| name);
    let matrices = match args.matrix.is_empty() {
        true => presets.map(named).collect(),
        false => args.matrix.clone(),
    };
    let mut plans = Vec::new();
    for path in matrices {
        let preset = path.to_str().and_then(Matrix::preset);
        let matrix = preset.unwrap_or_else(|| Matrix::load(&path))?;
        let sites = sites(&matrix, args.site.as_deref())?;
        let plan = |validators, crashed, participation, rounds| Plan {
            setup: Setup {
                service: app.service.clone(),
                matrix: matrix.clone(),
                validators,
                crashed,
                participation,
                jitter: Duration::from_millis(args.jitter),
                seed: args.seed,
            },
            demo,
            sites: sites.clone(),
            rounds,
            overlapping: args.overlapping,
        };
        for validators in args.validators.iter().copied() {
            check(&matrix, validators)?;
            for crashed in args.crashed.of(validators) {
                plans.push(plan(validators, crashed, Participation::Own, args.rounds));
            }
        }
        if let (Some(validators), 2..) = (args.validators.first(), matrix.sites.len()) {
            let rounds = args.rounds.min(MAJORITY_ROUNDS);
            plans.push(plan(*validators, 0, Participation::Majority, rounds));
        }
    }
    Ok(plans)
}

impl Crashed {
    /// How many crash, in each run.
    fn of(self, validators: usize) -> Vec<usize> {
        let most = (validators - 1) / 3;
        match self {
            Self::None => vec![0],
            Self::Most => vec![most],
            Self::Both => vec![0, most],
        }
    }
}

fn sites(matrix: &Matrix, asked: Option<&str>) -> Result<Vec<usize>, WanFailure> {
    let all = 0..matrix.sites.len();
    let Some(asked) = asked else {
        return Ok(all.collect());
    };
    let found: Vec<_> = all.filter(|site| matrix.sites[*site] == asked).collect();
    match found.is_empty() {
        false => Ok(found),
        true => Err(WanFailure::Site {
            matrix: matrix.name.clone(),
            site: asked.to_owned(),
            sites: matrix.sites.join(", "),
        }),
    }
}

fn check(matrix: &Matrix, validators: usize) -> Result<(), WanFailure> {
    if !(4..=MAX_VALIDATORS).contains(&validators) {
        return Err(WanFailure::Validators(validators));
    }
    match matrix.placed() {
        Some(placed) if placed != validators => Err(WanFailure::Placed {
            matrix: matrix.name.clone(),
            placed,
            validators,
        }),
        _ => Ok(()),
    }
}
