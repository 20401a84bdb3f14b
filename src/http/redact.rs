//! Takes out of an answer what it was asked with: a server that quotes our request back must not bring our
//! secrets into logs and statuses.

use ::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::{Proxy, Request};

/// What stands in place of a secret.
const MASK: &str = "***";
/// Shorter texts are no secrets, and would be found in every word.
const SHORTEST: usize = 6;

/// The secrets that a request is sent with, longest first: each as it is sent, and what is inside.
pub(super) fn secrets(headers: &HeaderMap, proxy: &Proxy) -> Vec<String> {
    let sensitive = headers.iter().filter(|(name, value)| {
        value.is_sensitive() && !matches!(**name, header::ACCEPT | header::USER_AGENT)
    });
    let mut found: Vec<String> = sensitive.flat_map(|(_, value)| parts(value)).collect();
    found.extend(proxy.addresses().iter().flat_map(|address| of_address(address)));
    found.retain(|secret| secret.len() >= SHORTEST);
    found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    found
}

/// The password in the address of a proxy, and as it is sent.
fn of_address(address: &str) -> Vec<String> {
    let Ok(request) = Request::get(address) else {
        return Vec::new();
    };
    let sent = request.headers.get(header::AUTHORIZATION);
    sent.map(parts).unwrap_or_default()
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
        let address: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let json = escaped(secret);
        // A text in JSON may be JSON itself. The most escaped form holds the others.
        for form in [&escaped(&json), &json, secret, &address] {
            text = text.replace(form.as_str(), MASK);
        }
    }
    text.into()
}

/// As a text stands in JSON, without the quotes around it.
fn escaped(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap_or_default();
    let inner = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
    inner.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Secret;

    #[test]
    fn secrets_are_taken_out_in_every_form_in_which_they_were_sent() {
        let request = Request::get("https://forge.example").unwrap();
        let request = request.basic("ada", &Secret::new("p\"ss/word+1")).unwrap();
        let request = request.header("private-token", "glpat-hidden").unwrap();
        let proxy = Proxy::At(Secret::new("http://eve:in%2Fner-1@proxy"));
        let secrets = secrets(&request.headers, &proxy);
        let sent = BASE64_STANDARD.encode("ada:p\"ss/word+1");
        let body = format!(
            "no: Basic {sent}, p\"ss/word+1, p\\\"ss/word+1, p%22ss%2Fword%2B1, glpat-hidden, in/ner-1; ada may not"
        );
        let said = redact(body.into(), &secrets);
        assert_eq!(&said[..], b"no: Basic ***, ***, ***, ***, ***, ***; ada may not");
    }

    #[test]
    fn what_is_too_short_to_be_a_secret_leaves_words_alone() {
        let request = Request::get("https://forge.example").unwrap();
        let request = request
            .header("accept", "application/json")
            .unwrap()
            .header("x-key", "text")
            .unwrap();
        assert_eq!(secrets(&request.headers, &Proxy::None), Vec::<String>::new());
    }
}
