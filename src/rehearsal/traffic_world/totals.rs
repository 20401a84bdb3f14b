//! What became of all requests, for tests and for people who watch.

use std::collections::BTreeMap;

use super::split::number;
use crate::rehearsal::controllers::glob;

/// What became of some requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub requests: u64,
    /// Those that the application failed, by the script.
    pub errors: u64,
    /// Those that reached no application: no endpoint was ready.
    pub unserved: u64,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.unserved += other.unserved;
    }

    fn minus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            errors: self.errors.saturating_sub(other.errors),
            unserved: self.unserved.saturating_sub(other.unserved),
        }
    }
}

/// What became of all requests in a span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// By the service that the router chose, as `namespace/name`.
    pub services: BTreeMap<String, Count>,
    /// By the image that answered (or the host of an external service).
    pub versions: BTreeMap<String, Count>,
    /// Requests for which there was no route.
    pub unrouted: u64,
}

impl Totals {
    /// Returns the number of requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.services.values().map(|count| count.requests).sum::<u64>() + self.unrouted
    }

    /// Returns the number of requests that were lost on the way: no route, or no endpoint.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.services.values().map(|count| count.unserved).sum::<u64>() + self.unrouted
    }

    /// Returns the number of requests that failed, for whatever reason.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.lost() + self.services.values().map(|count| count.errors).sum::<u64>()
    }

    /// Returns the part of all requests that went to a service (`namespace/name`), from 0 to 1.
    #[must_use]
    pub fn share_of_service(&self, service: &str) -> f64 {
        self.share(
            self.services
                .get(service)
                .map(|count| count.requests)
                .unwrap_or_default(),
        )
    }

    /// Returns the part of all requests that images answered, from 0 to 1; `*` stands for any text.
    #[must_use]
    pub fn share_of_version(&self, image: &str) -> f64 {
        let versions = self.versions.iter().filter(|(version, _)| glob(image, version));
        self.share(versions.map(|(_, count)| count.requests).sum())
    }

    fn share(&self, requests: u64) -> f64 {
        let all = self.requests();
        if all == 0 {
            0.0
        } else {
            number(requests) / number(all)
        }
    }

    /// Returns what has happened since an earlier state of the same totals.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let differences = |now: &BTreeMap<String, Count>, before: &BTreeMap<String, Count>| {
            let difference = |(name, count): (&String, &Count)| {
                let before = before.get(name).copied().unwrap_or_default();
                (name.clone(), count.minus(before))
            };
            now.iter()
                .map(difference)
                .filter(|(_, count)| *count != Count::default())
                .collect()
        };
        Self {
            services: differences(&self.services, &earlier.services),
            versions: differences(&self.versions, &earlier.versions),
            unrouted: self.unrouted - earlier.unrouted.min(self.unrouted),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (service, count) in &other.services {
            self.services.entry(service.clone()).or_default().add(*count);
        }
        for (version, count) in &other.versions {
            self.versions.entry(version.clone()).or_default().add(*count);
        }
        self.unrouted += other.unrouted;
    }

    pub(super) fn count(&mut self, service: &str, version: Option<&str>, count: Count) {
        self.services.entry(service.to_owned()).or_default().add(count);
        if let Some(version) = version {
            self.versions.entry(version.to_owned()).or_default().add(count);
        }
    }
}
