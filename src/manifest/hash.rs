//! Hashes of values. A hash of a live object and a hash of a manifest in git are two types: defaulting,
//! admission and rendering lie between them, so comparing them would mean nothing.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A text that is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest of Serin (`v1:` and 64 hex digits)")]
pub struct ParseDigestError(String);

/// The SHA-256 of a live value in canonical JSON, written `v1:<64 hex digits>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Hashes a value. The order of keys does not matter.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        Self(format!("v1:{}", hex(value)))
    }

    /// Returns the digest as it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first eight hex digits, for names and people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(3..11).unwrap_or_default()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("v1:").unwrap_or_default();
        let good = digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseDigestError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = ParseDigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// The hash of a manifest in git. Equal to another one of a manifest in git, or not; nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManifestDigest(String);

impl ManifestDigest {
    /// Hashes (a part of) a manifest. The order of keys does not matter.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        Self(hex(value))
    }
}

fn hex(value: &Value) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(canonical(value).as_bytes()) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Prints JSON without spaces, with the keys of every object in byte order.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    print(value, &mut text);
    text
}

fn print(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            text.push('{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                print(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                print(item, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn canonical_json_is_sorted_at_every_depth() {
        let value: Value =
            serde_json::from_str(r#"{"b":[{"z":1,"a":"\u00e9\n"}],"a":null,"B":1.5}"#).unwrap();
        assert_eq!(
            canonical(&value),
            "{\"B\":1.5,\"a\":null,\"b\":[{\"a\":\"é\\n\",\"z\":1}]}"
        );
    }

    #[test]
    fn the_digest_is_sha256_of_it_and_round_trips() {
        let digest = Digest::of(&json!({}));
        // printf '{}' | sha256sum
        let known = "v1:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(digest.to_string(), known);
        assert_eq!(digest.short(), "44136fa3");
        assert_eq!(known.parse::<Digest>().unwrap(), digest);
        assert_eq!(serde_json::from_value::<Digest>(json!(known)).unwrap(), digest);
        for bad in ["", "v1:", "v2:44136fa3", "5766c8d5f", &known.to_uppercase()] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn canonical_json_reads_back_as_the_same_value(keys in prop::collection::btree_map("\\PC{0,6}", any::<i64>(), 0..6)) {
            let value = json!({ "x": keys, "y": [keys] });
            prop_assert_eq!(serde_json::from_str::<Value>(&canonical(&value)).unwrap(), value);
        }
    }
}
