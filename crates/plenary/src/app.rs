//! A service and what its author adds for the command line.

use crate::demo::Demo;
use plenary_service::Service;
use std::sync::Arc;

/// What [`run`](crate::run) runs: a service, and its demo where the author gives one.
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
    pub(crate) demo: Option<Demo>,
}

impl App {
    /// An app without a demo.
    pub fn new(service: Service) -> Self {
        Self {
            service: Arc::new(service),
            demo: None,
        }
    }

    /// The app with a workflow that the command `demo` plays.
    #[must_use]
    pub fn demo(mut self, demo: Demo) -> Self {
        self.demo = Some(demo);
        self
    }
}

impl From<Service> for App {
    fn from(service: Service) -> Self {
        Self::new(service)
    }
}
