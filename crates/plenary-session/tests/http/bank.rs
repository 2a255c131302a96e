//! A bank whose routes say what they do to a session.

use plenary_service::prelude::*;

const ACCOUNTS: Table<String, u64> = Table::new("accounts");
const OPEN: Table<SessionId, u64> = Table::new("open");

fn deposit(
    cx: &mut Context,
    Path(account): Path<String>,
    Json(amount): Json<u64>,
) -> Result<Json<u64>, Problem> {
    let balance = ACCOUNTS.get(cx, &account)?.unwrap_or(0) + amount;
    ACCOUNTS.put(cx, &account, &balance)?;
    Ok(Json(balance))
}

fn close(cx: &mut Context, Path(account): Path<String>) -> Result<Json<u64>, Problem> {
    let balance = ACCOUNTS.get(cx, &account)?.unwrap_or(0);
    ACCOUNTS.delete(cx, &account)?;
    Ok(Json(balance))
}

fn balance(cx: &mut Context, Path(account): Path<String>) -> Result<Json<u64>, Problem> {
    Ok(Json(ACCOUNTS.get(cx, &account)?.unwrap_or(0)))
}

fn begin(cx: &mut Context) -> Result<(StatusCode, Json<SessionId>), Problem> {
    OPEN.put(cx, &cx.session(), &0)?;
    Ok((StatusCode::CREATED, Json(cx.session())))
}

fn withdraw(
    cx: &mut Context,
    Path((session, account)): Path<(SessionId, String)>,
    Json(amount): Json<u64>,
) -> Result<Json<u64>, Problem> {
    let left = ACCOUNTS.get(cx, &account)?.unwrap_or(0).checked_sub(amount);
    let left = left.ok_or_else(|| Problem::conflict("overdrawn", "not enough money"))?;
    ACCOUNTS.put(cx, &account, &left)?;
    let sum = OPEN.get(cx, &session)?.unwrap_or(0) + amount;
    OPEN.put(cx, &session, &sum)?;
    Ok(Json(left))
}

#[derive(serde::Serialize)]
struct Sum {
    sum: u64,
}

fn finish(cx: &mut Context, Path(session): Path<SessionId>) -> Result<Json<Sum>, Problem> {
    let sum = OPEN.get(cx, &session)?.unwrap_or(0);
    Ok(Json(Sum { sum }))
}

/// The bank.
pub fn service() -> Service {
    version("1.0.0")
}

/// A version of the bank.
pub fn version(version: &str) -> Service {
    Service::new("bank", version)
        .post("/accounts/{account}/deposits", deposit)
        .post("/accounts/{account}/closings", close)
        .get("/accounts/{account}", balance)
        .post("/withdrawals", begin)
        .opens_session()
        .post("/withdrawals/{id}/{account}", withdraw)
        .in_session("id")
        .post("/withdrawals/{id}", finish)
        .commits_session("id")
}
