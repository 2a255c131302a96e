//! Ends a handler from below, and outlives one that panics.
//!
//! A handler that has spent its budget is ended by unwinding with a private payload, so that it
//! cannot go on by ignoring an error; a handler that panics is ended by its own unwinding. Both
//! stop at [`catch`]. While a handler runs, the process's panic hook is silent and the panic's
//! message is kept for the node's log instead: a client that can make a handler panic must not be
//! able to fill the disk with backtraces.
//!
//! Relies on `panic = "unwind"`. Where panics abort (wasm32), both end the program.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    mem,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

/// How much of a panic's message is kept, in characters.
const MAX_MESSAGE_CHARS: usize = 512;

thread_local! {
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The payload that ends a handler; why it ended is in the `Context`.
struct Ended;

/// How a handler came to an end that is no answer.
pub(crate) enum Unwound {
    /// It was ended from below; the context knows why.
    Ended,
    /// It panicked, with this message and place, for logs only.
    Panicked(String),
}

/// Ends the handler that is running on this thread. Where the thread is unwinding already, as in
/// a destructor, a second unwinding would abort the process: then it only returns.
pub(crate) fn end_handler() {
    if !std::thread::panicking() {
        panic::resume_unwind(Box::new(Ended));
    }
}

/// Runs `handler` and stops whatever unwinds out of it.
pub(crate) fn catch<T>(handler: impl FnOnce() -> T) -> Result<T, Unwound> {
    silence_hook();
    let outer = IN_HANDLER.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(handler));
    IN_HANDLER.set(outer);
    let message = MESSAGE.take();
    result.map_err(|payload| {
        if payload.is::<Ended>() {
            return Unwound::Ended;
        }
        discard(payload);
        Unwound::Panicked(message.unwrap_or_else(|| "panicked without a message".to_owned()))
    })
}

/// Drops a payload of a type that cannot panic in its destructor, and leaks any other.
fn discard(payload: Box<dyn Any + Send>) {
    if !payload.is::<&str>() && !payload.is::<String>() {
        mem::forget(payload);
    }
}

/// Puts a hook before the process's own, once, that keeps quiet while a handler runs.
fn silence_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let outer = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IN_HANDLER.get() {
                let message: String = info.to_string().chars().take(MAX_MESSAGE_CHARS).collect();
                MESSAGE.with_borrow_mut(|kept| *kept = Some(message));
            } else {
                outer(info);
            }
        }));
    });
}
