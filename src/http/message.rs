//! Requests and responses as plain values.

use std::{fmt, time::Duration};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use super::{Error, Identity, Proxy, Secret};

/// How a server's certificate is verified, and which one the client shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tls {
    /// Accepts any certificate.
    pub skip_verify: bool,
    /// PEM bundle of the only authorities to trust; the system's when there is none.
    pub ca: Option<String>,
    /// Certificate that the client shows.
    pub identity: Option<Identity>,
}

/// A request. `Debug` prints no more than method and origin.
#[derive(Clone)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Address, http or https, without credentials: these become a header.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Time for the whole exchange.
    pub timeout: Duration,
    /// How the server is verified.
    pub tls: Tls,
    /// Set by the client, never by who asks.
    pub(super) proxy: Proxy,
    /// Greatest size of the body of the response.
    pub body_limit: usize,
}

impl Request {
    /// Time for the whole exchange if nothing else is said.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// Makes a request without a body. Credentials in the address become an `Authorization` header.
    pub fn new(method: Method, address: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::Address {
            reason: reason.to_owned(),
        };
        let mut url = Url::parse(address.trim()).map_err(|error| bad(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("only http and https are spoken"));
        }
        let credentials = credentials(&url);
        if url
            .set_username("")
            .and_then(|()| url.set_password(None))
            .is_err()
        {
            return Err(bad("it names no host"));
        }
        url.set_fragment(None);
        let request = Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: Self::TIMEOUT,
            tls: Tls::default(),
            proxy: Proxy::None,
            body_limit: Response::MAX_BYTES,
        };
        match credentials {
            Some((user, password)) => request.basic(&user, &password),
            None => Ok(request),
        }
    }

    /// Makes a GET request.
    pub fn get(address: &str) -> Result<Self, Error> {
        Self::new(Method::GET, address)
    }

    /// Makes a POST request with a JSON body.
    pub fn post_json(address: &str, body: &impl Serialize) -> Result<Self, Error> {
        let mut request = Self::new(Method::POST, address)?;
        request.body = serde_json::to_vec(body)
            .map_err(|error| Error::Address {
                reason: format!("the body cannot be written as JSON: {error}"),
            })?
            .into();
        request
            .headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(request)
    }

    /// Sets a header.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, Error> {
        let bad = || Error::Header {
            name: name.escape_debug().to_string(),
        };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        value.set_sensitive(true);
        self.headers.append(key, value);
        Ok(self)
    }

    /// Sets `Authorization: <scheme> <secret>`, in place of one that is there.
    pub fn authorization(mut self, scheme: &str, secret: &Secret) -> Result<Self, Error> {
        self.headers.remove(header::AUTHORIZATION);
        self.header("authorization", &format!("{scheme} {}", secret.expose()))
    }

    /// Sets basic authorization.
    pub fn basic(self, user: &str, password: &Secret) -> Result<Self, Error> {
        let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose()));
        self.authorization("Basic", &Secret::new(&pair))
    }

    /// Sets the time for the whole exchange.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how the server is verified.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Allows a greater response than [`Response::MAX_BYTES`].
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Returns scheme, host and port: as much of the address as may be told.
    #[must_use]
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

fn credentials(url: &Url) -> Option<(String, Secret)> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text: &str| {
        // `Url` keeps user and password percent-encoded, and its own form decoder reads `+` as a space.
        url::form_urlencoded::parse(format!("={}", text.replace('+', "%2B")).as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let password = decode(url.password().unwrap_or_default());
    Some((decode(url.username()), Secret::new(&password)))
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/…", self.method, self.origin())
    }
}

/// A response whose body was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Response {
    /// Greatest size of a body, if the request does not allow more.
    pub const MAX_BYTES: usize = 1024 * 1024;

    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Reads the body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// Returns what the body says, fit for a message: bounded, on one line.
    #[must_use]
    pub fn text(&self) -> String {
        excerpt(&String::from_utf8_lossy(&self.body), 200)
    }

    /// Returns how long to wait by the header `Retry-After`: a number of seconds, or a date, which is that of the
    /// server's own clock, where it tells it.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = |name| self.headers.get(name)?.to_str().ok().map(str::trim);
        let asked = text(header::RETRY_AFTER)?;
        if let Ok(seconds) = asked.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = |text: &str| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp());
        let from = text(header::DATE).and_then(date).unwrap_or(now);
        let seconds = date(asked)?.duration_since(from).as_secs();
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    /// Whether it can be an answer of an API that speaks JSON: what stands in between (a proxy, a page where people
    /// sign in) answers with pages.
    #[must_use]
    pub fn may_be_json(&self) -> bool {
        matches!(self.body.trim_ascii_start().first(), None | Some(b'{' | b'['))
    }
}

/// Makes foreign text fit for a message: trimmed, control characters escaped, at most `limit` characters.
#[must_use]
pub fn excerpt(text: &str, limit: usize) -> String {
    let mut out = String::new();
    // One more than fits is enough to know that something is left out.
    for c in text.trim().chars().take(limit.saturating_add(1)) {
        // Besides control characters: the marks that reorder text, and line separators.
        if c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    if out.chars().count() <= limit {
        return out;
    }
    out.chars()
        .take(limit.saturating_sub(1))
        .chain(std::iter::once('…'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_an_address_become_a_header() {
        let request = Request::get("http://us%65r:p%2Bw+1@prom:9090/base?x=1#frag").unwrap();
        assert_eq!(request.url.as_str(), "http://prom:9090/base?x=1");
        let value = request.headers.get("authorization").unwrap();
        assert_eq!(
            value.to_str().unwrap(),
            format!("Basic {}", BASE64_STANDARD.encode("user:p+w+1"))
        );
        assert!(value.is_sensitive());
    }

    #[test]
    fn only_http_is_spoken_and_errors_do_not_quote_the_address() {
        for address in [
            "file:///etc/passwd",
            "gopher://x",
            "unix:/run/x",
            "nothing",
            "http://",
        ] {
            let text = Request::get(address).unwrap_err().to_string();
            assert!(!text.contains("passwd"), "{text}");
        }
    }

    #[test]
    fn a_request_prints_its_origin_alone() {
        let request = Request::get("https://u:pw@hooks.example/services/T0/SECRET?key=hidden").unwrap();
        assert_eq!(format!("{request:?}"), "GET https://hooks.example/…");
    }

    #[test]
    fn headers_cannot_be_smuggled() {
        let request = Request::get("http://x").unwrap();
        assert!(request.clone().header("x", "a\r\nb: c").is_err());
        assert!(request.header("x y", "a").is_err());
    }

    #[test]
    fn a_server_says_when_to_come_back_in_seconds_or_by_a_date() {
        let now: Timestamp = "2015-10-21T07:28:00Z".parse().unwrap();
        let asked = |headers: &[(HeaderName, &'static str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            let response = Response {
                status: 429,
                headers: headers.collect(),
                body: Bytes::new(),
            };
            response.retry_after(now).map(|pause| pause.as_secs())
        };
        let at = |value| (header::RETRY_AFTER, value);
        assert_eq!(asked(&[at(" 90 ")]), Some(90));
        assert_eq!(asked(&[at("Wed, 21 Oct 2015 07:29:30 GMT")]), Some(90));
        assert_eq!(asked(&[at("Wed, 21 Oct 2015 07:00:00 GMT")]), Some(0));
        let its_clock = (header::DATE, "Wed, 21 Oct 2015 08:28:00 GMT");
        assert_eq!(asked(&[at("Wed, 21 Oct 2015 08:28:10 GMT"), its_clock]), Some(10));
        assert_eq!(asked(&[at("soon")]), None);
        assert_eq!(asked(&[]), None);
    }

    #[test]
    fn excerpts_are_bounded_and_on_one_line() {
        assert_eq!(
            excerpt(" a\nb\u{202e}\u{1b}[31m ", 100),
            "a\\nb\\u{202e}\\u{1b}[31m"
        );
        assert_eq!(excerpt("abcdef", 4), "abc…");
        assert_eq!(excerpt("abcd", 4), "abcd");
        assert_eq!(excerpt("a\nb", 3), "a\\…");
        let cut = excerpt(&"\u{1}".repeat(3000), 140);
        assert_eq!((cut.chars().count(), excerpt(&cut, 140)), (140, cut.clone()));
    }
}
