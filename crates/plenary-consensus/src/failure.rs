//! Why an engine ended, for its owner.

use std::sync::Arc;
use tokio::sync::watch;

#[derive(Debug, Clone)]
enum State {
    Running,
    Failed(String),
    /// Its owner stopped it.
    Stopped,
}

/// A cell for the first reason; copies are one.
#[derive(Debug, Clone)]
pub(crate) struct Failure(Arc<watch::Sender<State>>);

impl Failure {
    pub(crate) fn none() -> Self {
        Self(Arc::new(watch::Sender::new(State::Running)))
    }

    /// The engine failed; only the first reason, while it runs, is kept.
    pub(crate) fn set(&self, reason: String) {
        self.end(State::Failed(reason));
    }

    /// Its owner stops it: what ends from now on is no failure.
    pub(crate) fn stop(&self) {
        self.end(State::Stopped);
    }

    fn end(&self, end: State) {
        self.0.send_if_modified(|state| {
            let running = matches!(state, State::Running);
            if running {
                *state = end;
            }
            running
        });
    }

    /// The reason, where there is one.
    pub(crate) fn get(&self) -> Option<String> {
        match &*self.0.borrow() {
            State::Failed(reason) => Some(reason.clone()),
            State::Running | State::Stopped => None,
        }
    }

    /// Waits for a reason; nothing where the owner stopped the engine first.
    pub(crate) async fn wait(self) -> Option<String> {
        let mut state = self.0.subscribe();
        // The sender is ours, so this cannot fail.
        let _ = state
            .wait_for(|state| !matches!(state, State::Running))
            .await;
        drop(state);
        self.get()
    }
}
