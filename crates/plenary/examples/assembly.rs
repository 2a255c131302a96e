//! The smallest useful service: an assembly votes on motions.
//!
//! `cargo run -p plenary --example assembly -- demo`, then with `-- dev`, then
//! `curl -X POST http://127.0.0.1:5000/motions/peace/votes`.

use plenary::prelude::*;
use std::process::ExitCode;

const VOTES: Table<String, u64> = Table::new("votes");

/// Counts one more vote for a motion.
fn vote(cx: &mut Context, Path(motion): Path<String>) -> Result<Json<u64>, Problem> {
    let votes = VOTES.get(cx, &motion)?.unwrap_or(0) + 1;
    VOTES.put(cx, &motion, &votes)?;
    Ok(Json(votes))
}

/// Says how many votes a motion has.
fn votes(cx: &mut Context, Path(motion): Path<String>) -> Result<Json<u64>, Problem> {
    Ok(Json(VOTES.get(cx, &motion)?.unwrap_or(0)))
}

fn main() -> ExitCode {
    let service = Service::new("assembly", "1.0.0")
        .post("/motions/{motion}/votes", vote)
        .get("/motions/{motion}/votes", votes);
    let demo = Demo::new()
        .step("Vote", |_| Ok(Call::post("/motions/peace/votes")))
        .step("Vote again", |_| Ok(Call::post("/motions/peace/votes")))
        .step("Count", |_| Ok(Call::get("/motions/peace/votes")));
    plenary::run(App::new(service).demo(demo))
}
