//! A service and what its author adds for the command line.

use crate::demo::Demo;
use plenary_service::Service;
use std::sync::Arc;

/// What [`run`](crate::run) runs: a service, and its workflow where the author gives one.
///
/// ```no_run
/// use plenary::prelude::*;
///
/// fn main() -> std::process::ExitCode {
///     let service = Service::new("assembly", "1.0.0");
///     let demo = Demo::new().step("Open", |_| Ok(Call::post("/session")));
///     plenary::run(App::new(service).demo(demo))
/// }
/// ```
pub struct App {
    pub(crate) service: Arc<Service>,
    pub(crate) demo: Option<Arc<Demo>>,
}

impl App {
    /// An app without a demo.
    pub fn new(service: Service) -> Self {
        Self {
            service: Arc::new(service),
            demo: None,
        }
    }

    /// The app with a workflow that the commands `demo` and `bench` play.
    #[must_use]
    pub fn demo(mut self, demo: Demo) -> Self {
        self.demo = Some(Arc::new(demo));
        self
    }

    /// The workflow, which some commands cannot do without.
    pub(crate) fn workflow(&self) -> Result<&Arc<Demo>, NoDemo> {
        let none = || NoDemo(self.service.id().name.clone());
        self.demo.as_ref().ok_or_else(none)
    }
}

/// The author gave no workflow.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} has no demo; give it one: plenary::run(App::new(service()).demo(Demo::new().step(\"Name\", |answers| Ok(Call::post(\"/path\")))))"
)]
pub(crate) struct NoDemo(String);

impl From<Service> for App {
    fn from(service: Service) -> Self {
        Self::new(service)
    }
}
