//! The scripted world around a cluster: clients that send requests, a router that follows its Ingress objects,
//! versions that answer well or badly, and the series that Prometheus has of all that. Every step of time it
//! looks at the cluster as it is and deals out the requests; nothing in it is chance.
//!
//! Knows nothing of the sidecar: what it does follows from the objects alone.

mod counters;
mod flow;
mod latency;
mod skipper;
mod spec;
mod split;
mod totals;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};

use self::flow::Flow;
pub use self::{
    spec::{Answer, Client, Health, Latency, SpecError, Trouble, WorldSpec},
    totals::{Count, Totals},
};
use super::{
    Cluster, controllers,
    promql::{Error, Query, Series, SeriesStore, Value},
};
use crate::clock::Clock;

/// How long series are kept, in milliseconds.
const RETENTION: i64 = 2 * 3_600_000;
/// How many steps can be looked back on.
const HISTORY: usize = 3600;

/// A world at work. Clones share it; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct World {
    shared: Arc<Shared>,
    _tasks: Arc<Tasks>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    started: Instant,
    troubles: Vec<Trouble>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    series: SeriesStore,
    totals: Totals,
    history: VecDeque<(Instant, Totals)>,
    /// What was ordered, in place of what the script says.
    health: Option<Health>,
}

/// Ends the tasks of a world with it.
#[derive(Debug)]
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl World {
    /// Starts a cluster's controllers, its node, and the world around it.
    #[must_use]
    pub fn start(cluster: &Cluster, spec: WorldSpec) -> Self {
        let state = State {
            series: SeriesStore::new(RETENTION),
            totals: Totals::default(),
            history: VecDeque::new(),
            health: None,
        };
        let shared = Arc::new(Shared {
            clock: cluster.clock(),
            started: Instant::now(),
            troubles: spec.prometheus.clone(),
            state: Mutex::new(state),
        });
        let controllers = controllers::start(cluster, spec.cluster.clone());
        let flow = Flow::new(cluster.store().clone(), spec, shared.started);
        let traffic = tokio::spawn(shared.clone().run(flow));
        Self {
            shared,
            _tasks: Arc::new(Tasks(vec![controllers, traffic])),
        }
    }

    /// Returns what became of all requests so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shared.lock().totals.clone()
    }

    /// Returns what became of the requests of the last span of time (an hour of steps at most).
    #[must_use]
    pub fn recent(&self, window: Duration) -> Totals {
        let mut sum = Totals::default();
        let state = self.shared.lock();
        for (_, totals) in state.history.iter().filter(|(at, _)| at.elapsed() < window) {
            sum.add(totals);
        }
        sum
    }

    /// Makes Prometheus well or ill from now on, whatever the script says; none: as the script says.
    pub fn set_prometheus(&self, health: Option<Health>) {
        self.shared.lock().health = health;
    }

    /// Returns how Prometheus is now.
    #[must_use]
    pub fn health(&self) -> Health {
        let age = self.shared.started.elapsed();
        let mut troubles = self.shared.troubles.iter();
        let scripted = troubles.find(|t| {
            spec::When {
                from: t.from,
                until: t.until,
            }
            .holds(age)
        });
        self.shared
            .lock()
            .health
            .or(scripted.map(|trouble| trouble.health))
            .unwrap_or_default()
    }

    /// Returns the Prometheus API of this world, to be reached in process or served over TCP.
    pub fn prometheus(&self) -> axum::Router {
        super::prometheus::router(self.clone())
    }

    /// Returns the present time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Answers a query as of a time, in milliseconds.
    pub fn query(&self, query: &Query, time: i64) -> Result<Value, Error> {
        query.at(&self.shared.lock().series, time)
    }

    /// Answers a query at each step of a range, in milliseconds.
    pub fn query_range(&self, query: &Query, start: i64, end: i64, step: i64) -> Result<Vec<Series>, Error> {
        query.range(&self.shared.lock().series, start, end, step)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>, mut flow: Flow) {
        let mut ticks = tokio::time::interval_at(Instant::now() + flow.step(), flow.step());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        loop {
            ticks.tick().await;
            let passed = last.elapsed();
            last = Instant::now();
            let totals = flow.pass(passed);
            let mut state = self.lock();
            state.totals.add(&totals);
            state.history.push_back((last, totals));
            if state.history.len() > HISTORY {
                state.history.pop_front();
            }
            flow.scrape(&mut state.series, self.clock.now().as_millisecond());
        }
    }
}

#[cfg(test)]
mod tests;
