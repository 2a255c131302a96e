//! The service of these simulations: accounts, deposits and transfers. Money is never made by a
//! transfer, so a lost, repeated or half-applied operation shows in the sums.

use plenary_service::prelude::*;
use plenary_types::Method;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};

const ACCOUNTS: Table<String, u64> = Table::new("accounts");

/// The body of `POST /transfers`.
#[derive(Serialize, Deserialize)]
pub struct Transfer {
    /// The account that pays.
    pub from: String,
    /// The account that is paid.
    pub to: String,
    /// How much.
    pub amount: u64,
}

fn deposit(
    cx: &mut Context,
    Path(account): Path<String>,
    Json(amount): Json<u64>,
) -> Result<Json<u64>, Problem> {
    let balance = ACCOUNTS.get(cx, &account)?.unwrap_or(0) + amount;
    ACCOUNTS.put(cx, &account, &balance)?;
    Ok(Json(balance))
}

fn transfer(cx: &mut Context, Json(transfer): Json<Transfer>) -> Result<Json<u64>, Problem> {
    let Transfer { from, to, amount } = transfer;
    let left = ACCOUNTS.get(cx, &from)?.unwrap_or(0).checked_sub(amount);
    let left = left.ok_or_else(|| Problem::conflict("overdrawn", "not enough money"))?;
    ACCOUNTS.put(cx, &from, &left)?;
    let balance = ACCOUNTS.get(cx, &to)?.unwrap_or(0) + amount;
    ACCOUNTS.put(cx, &to, &balance)?;
    Ok(Json(left))
}

/// Always the same answer, whatever the state: stale reads and agreeing responses.
fn touch(cx: &mut Context, Path(account): Path<String>) -> Result<Json<bool>, Problem> {
    let balance = ACCOUNTS.get(cx, &account)?.unwrap_or(0);
    ACCOUNTS.put(cx, &format!("touched-{account}"), &balance)?;
    Ok(Json(true))
}

/// Lets the handler of `/loops` come back, so that no thread outlives its test.
pub static RELEASED: AtomicBool = AtomicBool::new(false);

/// Loops without touching its context, which no budget can count.
fn loops(_: &mut Context) -> Result<Json<bool>, Problem> {
    while !RELEASED.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
    Ok(Json(true))
}

fn balance(cx: &mut Context, Path(account): Path<String>) -> Result<Json<u64>, Problem> {
    Ok(Json(ACCOUNTS.get(cx, &account)?.unwrap_or(0)))
}

/// The bank.
pub fn service() -> Service {
    Service::new("bank", "1.0.0")
        .post("/accounts/{account}/deposits", deposit)
        .post("/accounts/{account}/touches", touch)
        .post("/transfers", transfer)
        .post("/loops", loops)
        .get("/accounts/{account}", balance)
}

/// A request with a JSON body.
pub fn request(method: Method, target: &str, body: &impl Serialize) -> plenary_types::Request {
    plenary_types::Request {
        method,
        target: target.into(),
        content_type: "application/json".into(),
        body: serde_json::to_vec(body).unwrap().into(),
    }
}

/// A deposit on an account.
pub fn deposit_request(account: &str, amount: u64) -> plenary_types::Request {
    request(
        Method::Post,
        &format!("/accounts/{account}/deposits"),
        &amount,
    )
}

/// A transfer between two accounts.
pub fn transfer_request(from: &str, to: &str, amount: u64) -> plenary_types::Request {
    let transfer = Transfer {
        from: from.into(),
        to: to.into(),
        amount,
    };
    request(Method::Post, "/transfers", &transfer)
}
