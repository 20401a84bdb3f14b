//! Takes out of an answer what it was asked with: a server that quotes our request back must not bring our
//! secrets into logs and statuses.

use ::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;

/// What stands in place of a secret.
const MASK: &str = "***";
/// Shorter texts are no secrets, and would be found in every word.
const SHORTEST: usize = 6;

/// The secrets of a request's headers, longest first: each as it is sent, and what is inside.
pub(super) fn secrets(headers: &HeaderMap) -> Vec<String> {
    let sensitive = headers.iter().filter(|(name, value)| {
        value.is_sensitive() && !matches!(**name, header::ACCEPT | header::USER_AGENT)
    });
    let mut found: Vec<String> = sensitive.flat_map(|(_, value)| parts(value)).collect();
    found.retain(|secret| secret.len() >= SHORTEST);
    found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    found
}

/// A value, what follows its scheme, and the password in a basic authorization.
fn parts(value: &HeaderValue) -> Vec<String> {
    let Ok(value) = value.to_str() else {
        return Vec::new();
    };
    let Some((scheme, secret)) = value.split_once(' ') else {
        return vec![value.to_owned()];
    };
    let mut found = vec![secret.trim().to_owned()];
    let basic = scheme
        .eq_ignore_ascii_case("basic")
        .then(|| BASE64_STANDARD.decode(secret.trim()));
    let pair = basic
        .and_then(Result::ok)
        .and_then(|pair| String::from_utf8(pair).ok());
    if let Some((_, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')) {
        found.push(password.to_owned());
    }
    found
}

/// Returns the body without the secrets, also where JSON or an address has escaped them.
pub(super) fn redact(body: Bytes, secrets: &[String]) -> Bytes {
    if secrets.is_empty() {
        return body;
    }
    let mut text = String::from_utf8_lossy(&body).into_owned();
    for secret in secrets {
        let json = serde_json::to_string(secret).unwrap_or_default();
        let address: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for form in [secret.as_str(), json.trim_matches('"'), address.as_str()] {
            if !form.is_empty() {
                text = text.replace(form, MASK);
            }
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Request, Secret};

    #[test]
    fn secrets_are_taken_out_in_every_form_in_which_they_were_sent() {
        let request = Request::get("https://forge.example").unwrap();
        let request = request.basic("ada", &Secret::new("p\"ss/word+1")).unwrap();
        let request = request.header("private-token", "glpat-hidden").unwrap();
        let secrets = secrets(&request.headers);
        let sent = BASE64_STANDARD.encode("ada:p\"ss/word+1");
        let body = format!(
            "no: Basic {sent}, p\"ss/word+1, p\\\"ss/word+1, p%22ss%2Fword%2B1, glpat-hidden; ada may not"
        );
        let said = redact(body.into(), &secrets);
        assert_eq!(&said[..], b"no: Basic ***, ***, ***, ***, ***; ada may not");
    }

    #[test]
    fn what_is_too_short_to_be_a_secret_leaves_words_alone() {
        let request = Request::get("https://forge.example").unwrap();
        let request = request
            .header("accept", "application/json")
            .unwrap()
            .header("x-key", "text")
            .unwrap();
        assert_eq!(secrets(&request.headers), Vec::<String>::new());
    }
}
