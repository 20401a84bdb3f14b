//! The script of a world: who asks for what, and how versions answer. Read from YAML; nothing unknown is
//! accepted.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::rehearsal::{
    controllers::{self, glob},
    span::Span,
};

/// The script of a world.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorldSpec {
    /// How the node treats pods.
    pub cluster: controllers::Options,
    /// How often traffic is computed.
    pub step: Span,
    /// How often Prometheus takes samples.
    pub scrape_interval: Span,
    /// How long the router takes to follow its Ingress objects; Skipper polls every 3 s.
    pub router_lag: Span,
    /// The class of the Ingress objects that the router reads, beside those without one; none: all.
    pub ingress_class: Option<String>,
    /// Who asks.
    pub clients: Vec<Client>,
    /// How versions answer; the first that fits counts. What none fits answers well.
    pub answers: Vec<Answer>,
    /// When Prometheus is in trouble.
    pub prometheus: Vec<Trouble>,
}

impl Default for WorldSpec {
    fn default() -> Self {
        Self {
            cluster: controllers::Options::default(),
            step: Span::from_secs(1),
            scrape_interval: Span::from_secs(1),
            router_lag: Span::from_secs(3),
            ingress_class: None,
            clients: Vec::new(),
            answers: Vec::new(),
            prometheus: Vec::new(),
        }
    }
}

/// A span of the world's time; open on either side.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct When {
    pub(super) from: Option<Span>,
    pub(super) until: Option<Span>,
}

impl When {
    pub(super) fn holds(self, age: Duration) -> bool {
        self.from.is_none_or(|from| age >= from.0) && self.until.is_none_or(|until| age < until.0)
    }
}

/// Somebody who sends requests at a steady rate.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Client {
    /// Requests per second.
    pub rate: f64,
    /// The host that they ask the router for.
    #[serde(default)]
    pub host: Option<String>,
    /// The service, as `namespace/name`, that they go straight to instead.
    #[serde(default)]
    pub service: Option<String>,
    /// The path that is asked for.
    #[serde(default = "root")]
    pub path: String,
    /// When the requests begin, counted from the world's start.
    #[serde(default)]
    pub from: Option<Span>,
    /// When they end.
    #[serde(default)]
    pub until: Option<Span>,
}

fn root() -> String {
    "/".to_owned()
}

/// How a version answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// The image (or the host of an external service); `*` stands for any text.
    #[serde(default = "any")]
    pub image: String,
    /// Variables, or files of mounted configuration, that the pods started with.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// When this begins, counted from the world's start.
    #[serde(default)]
    pub from: Option<Span>,
    /// When it ends.
    #[serde(default)]
    pub until: Option<Span>,
    /// How long a pod must have served for this to begin.
    #[serde(default)]
    pub after: Option<Span>,
    /// The share of requests that fail, from 0 to 1.
    #[serde(default)]
    pub errors: f64,
    /// The HTTP status of those that fail.
    #[serde(default = "internal_error")]
    pub status: u16,
    /// How long answers take.
    #[serde(default)]
    pub latency: Latency,
}

fn any() -> String {
    "*".to_owned()
}

fn internal_error() -> u16 {
    500
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            image: any(),
            config: BTreeMap::new(),
            from: None,
            until: None,
            after: None,
            errors: 0.0,
            status: internal_error(),
            latency: Latency::default(),
        }
    }
}

impl Answer {
    /// Whether a version with this image and configuration, which has served for a time, answers so.
    pub(super) fn fits(
        &self,
        age: Duration,
        served: Duration,
        image: &str,
        config: &BTreeMap<String, String>,
    ) -> bool {
        When {
            from: self.from,
            until: self.until,
        }
        .holds(age)
            && self.after.is_none_or(|after| served >= after.0)
            && glob(&self.image, image)
            && self
                .config
                .iter()
                .all(|(name, value)| config.get(name) == Some(value))
    }
}

/// How long answers take.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Latency {
    /// The mean.
    pub mean: Span,
    /// What 99 of 100 stay below; none: four times the mean.
    #[serde(default)]
    pub p99: Option<Span>,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            mean: Span(Duration::from_millis(20)),
            p99: None,
        }
    }
}

/// A time in which Prometheus is in trouble.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trouble {
    /// What it does.
    pub health: Health,
    /// When this begins, counted from the world's start.
    #[serde(default)]
    pub from: Option<Span>,
    /// When it ends.
    #[serde(default)]
    pub until: Option<Span>,
}

/// How Prometheus is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// It answers.
    #[default]
    Up,
    /// Every request fails with 503.
    Down,
    /// No request is ever answered.
    Hangs,
    /// Answers take this long.
    Slow(Span),
}

impl WorldSpec {
    /// Reads a script; the error says what is wrong and where.
    pub fn parse(yaml: &str) -> Result<Self, SpecError> {
        let spec: Self = serde_saphyr::from_str(yaml).map_err(|error| SpecError::Yaml(error.to_string()))?;
        spec.check()?;
        Ok(spec)
    }

    fn check(&self) -> Result<(), SpecError> {
        if self.step.0 < Duration::from_millis(10) || self.scrape_interval.0 < Duration::from_millis(10) {
            return Err(SpecError::Value(
                "`step` and `scrapeInterval` must be at least 10ms",
            ));
        }
        if self
            .clients
            .iter()
            .any(|client| !(0.0..=1e6).contains(&client.rate))
        {
            return Err(SpecError::Value(
                "a client's `rate` must be from 0 to 1000000 requests per second",
            ));
        }
        if self
            .answers
            .iter()
            .any(|answer| !(0.0..=1.0).contains(&answer.errors))
        {
            return Err(SpecError::Value(
                "an answer's `errors` must be a share from 0 to 1",
            ));
        }
        for client in &self.clients {
            match (&client.host, &client.service) {
                (Some(_), None) => {}
                (None, Some(service)) if service.split_once('/').is_some() => {}
                (None, Some(_)) => {
                    return Err(SpecError::Value(
                        "a client's `service` must be written `namespace/name`",
                    ));
                }
                _ => {
                    return Err(SpecError::Value(
                        "a client needs a `host` or a `service`, and not both",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Why a script cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// It is not YAML of the right shape.
    #[error("the world's script cannot be read: {0}")]
    Yaml(String),
    /// A value is out of bounds.
    #[error("the world's script is wrong: {0}")]
    Value(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read() {
        let spec = WorldSpec::parse(
            "clients:\n- {rate: 100, host: app.example.com}\n- {rate: 1.5, service: test/web, from: 10s}\n\
             answers:\n- {image: '*:6.0.2', errors: 0.1, latency: {mean: 50ms, p99: 300ms}, from: 20s}\n\
             prometheus:\n- {health: down, from: 1m}\n- {health: {slow: 3s}}\n\
             cluster: {start: 2s, images: [{image: '*:bad', fault: ImagePullBackOff}]}\n",
        )
        .unwrap();
        assert_eq!(spec.clients[1].service.as_deref(), Some("test/web"));
        assert_eq!(spec.prometheus[1].health, Health::Slow(Span::from_secs(3)));
        assert_eq!(spec.router_lag, Span::from_secs(3));
    }

    #[test]
    fn a_wrong_script_is_refused() {
        for (yaml, wanted) in [
            ("clients: [{rate: 1}]", "needs a `host` or a `service`"),
            ("klients: []", "unknown field `klients`"),
            ("answers: [{errors: 50}]", "a share from 0 to 1"),
            ("clients: [{rate: 1, service: web}]", "namespace/name"),
            ("step: 1", "is not a span of time"),
            ("step: 0s", "at least 10ms"),
            ("clients: [{rate: .nan, host: a}]", "a client's `rate`"),
        ] {
            let error = WorldSpec::parse(yaml).unwrap_err().to_string();
            assert!(error.contains(wanted), "{yaml}: {error}");
        }
    }

    #[test]
    fn answers_fit_in_their_time() {
        let answer = Answer {
            image: "*:2".to_owned(),
            from: Some(Span::from_secs(20)),
            after: Some(Span::from_secs(5)),
            config: BTreeMap::from([("COLOR".to_owned(), "red".to_owned())]),
            ..Answer::default()
        };
        let seconds = Duration::from_secs;
        let red = answer.config.clone();
        assert!(answer.fits(seconds(20), seconds(5), "web:2", &red));
        assert!(!answer.fits(seconds(19), seconds(5), "web:2", &red));
        assert!(!answer.fits(seconds(20), seconds(4), "web:2", &red));
        assert!(!answer.fits(seconds(20), seconds(5), "web:1", &red));
        assert!(!answer.fits(seconds(20), seconds(5), "web:2", &BTreeMap::new()));
    }
}
