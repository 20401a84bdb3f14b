//! The parameters of a request: of the address and of a posted form.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::ApiError;

/// Parameters by name; of several with one name the first counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(BTreeMap<String, String>);

/// Seconds from 1970 that can be read: some ten thousand years on either side.
const FAR: f64 = 3e11;

impl Params {
    pub(super) fn read(query: &str, body: &[u8]) -> Self {
        let mut params = BTreeMap::new();
        let pairs = url::form_urlencoded::parse(body).chain(url::form_urlencoded::parse(query.as_bytes()));
        for (name, value) in pairs {
            params.entry(name.into_owned()).or_insert(value.into_owned());
        }
        Self(params)
    }

    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Returns a time in milliseconds, given as seconds or in RFC 3339.
    pub(super) fn time(&self, name: &str, default: Option<Timestamp>) -> Result<i64, ApiError> {
        let text = self.get(name);
        let bad = || {
            let message =
                format!("invalid parameter \"{name}\": cannot parse \"{text}\" to a valid timestamp");
            ApiError::bad_data(message)
        };
        match (text, default) {
            ("", Some(default)) => Ok(default.as_millisecond()),
            (text, _) => seconds(text)
                .or_else(|| text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond))
                .ok_or_else(bad),
        }
    }

    /// Returns a duration in milliseconds, given as seconds or like `5m`.
    pub(super) fn duration(&self, name: &str) -> Result<i64, ApiError> {
        let text = self.get(name);
        seconds(text)
            .or_else(|| crate::rehearsal::promql::duration(text))
            .ok_or_else(|| {
                let message =
                    format!("invalid parameter \"{name}\": cannot parse \"{text}\" to a valid duration");
                ApiError::bad_data(message)
            })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "held within bounds by the filter")]
fn seconds(text: &str) -> Option<i64> {
    let seconds: f64 = text.parse().ok()?;
    (seconds.abs() < FAR).then(|| (seconds * 1000.0).round() as i64)
}
