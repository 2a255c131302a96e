//! Routes whose handlers did not come back, each refused for a time that grows.
//!
//! A handler that loops without touching its context keeps its thread for good, and whoever finds
//! the request that makes it loop can send it again. So its route is refused for a while, eight
//! times as long with every time it happens: the threads that a route costs grow with the
//! logarithm of time, and the other routes go on. What is kept is bounded by the service's routes.

use crate::error::Refusal;
use parking_lot::Mutex;
use plenary_service::{Route, RouteName};
use plenary_types::Timestamp;

/// How long a route is refused the first time, in milliseconds.
const FIRST_MS: u64 = 60_000;
/// How many times as long the next time.
const GROWTH: u64 = 8;

struct Suspension {
    route: RouteName,
    times: u32,
    until: Timestamp,
}

impl Suspension {
    fn is_of(&self, route: &Route) -> bool {
        self.route.method == route.method() && self.route.pattern == route.pattern()
    }
}

/// The routes that are refused, and those that were.
#[derive(Default)]
pub(crate) struct Suspensions(Mutex<Vec<Suspension>>);

impl Suspensions {
    /// Takes note that a handler of `route` did not come back.
    pub(crate) fn suspend(&self, route: &Route, now: Timestamp) {
        let mut suspensions = self.0.lock();
        let known = suspensions.iter_mut().find(|it| it.is_of(route));
        let Some(known) = known else {
            suspensions.push(Suspension {
                route: route.into(),
                times: 1,
                until: now.plus_ms(FIRST_MS),
            });
            return;
        };
        // What was running already when the route was suspended says nothing new.
        if known.until <= now {
            let term = FIRST_MS.saturating_mul(GROWTH.saturating_pow(known.times));
            known.times += 1;
            known.until = now.plus_ms(term);
        }
    }

    /// Refuses a route that is suspended.
    ///
    /// # Errors
    ///
    /// [`Refusal::Suspended`].
    pub(crate) fn check(&self, route: &Route, now: Timestamp) -> Result<(), Refusal> {
        let suspensions = self.0.lock();
        match suspensions.iter().find(|it| it.is_of(route)) {
            Some(known) if known.until > now => Err(Refusal::Suspended {
                route: known.route.clone(),
                until: known.until,
            }),
            _ => Ok(()),
        }
    }

    /// Whether no route was ever suspended, and so none needs to be looked up.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use plenary_service::{Context, Executor, Options, Service};
    use plenary_types::Problem;

    fn answer(_: &mut Context) -> Result<String, Problem> {
        Ok("an answer".into())
    }

    #[test]
    fn only_the_route_that_overran_is_refused_and_longer_each_time() {
        let service = Service::new("test", "1").post("/loops/{id}", answer);
        let service = service.post("/well", answer);
        let executor = Executor::new(service, Options::default()).unwrap();
        let [loops, well] = executor.service().routes() else {
            panic!("there are two routes")
        };
        let suspensions = Suspensions::default();
        let mut now = Timestamp(1_000);
        let mut terms = Vec::new();
        for _ in 0..3 {
            suspensions.suspend(loops, now);
            // More of the same burst.
            suspensions.suspend(loops, now.plus_ms(1));
            suspensions.check(well, now).unwrap();
            let Err(Refusal::Suspended { until, .. }) = suspensions.check(loops, now) else {
                panic!("it is not refused")
            };
            terms.push(until.0 - now.0);
            suspensions.check(loops, until).unwrap();
            now = until;
        }
        assert_eq!(terms, [60_000, 480_000, 3_840_000]);
    }
}
