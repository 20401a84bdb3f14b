//! The operator's own client: private authorities, client certificates and proxies, each against a real one on
//! loopback.

use std::{
    io::{Read, Write},
    sync::{Arc, Mutex},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;
use crate::error::{Class, Classified};

/// A private authority, and what it has signed.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: rustls::pki_types::CertificateDer<'static>,
}

/// A certificate and its key.
struct Signed {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        crate::http::install_crypto();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn sign(&self, name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Signed { certificate, key }
    }

    /// Serves `hello` at `localhost`; with `clients`, only to who shows a certificate of that authority.
    fn serve(&self, clients: Option<&Self>) -> u16 {
        let Signed { certificate, key } = self.sign("localhost");
        let builder = rustls::ServerConfig::builder();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(authority.der.clone()).unwrap();
                let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots));
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = builder
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        hello(Arc::new(config))
    }
}

/// Answers every request over TLS with what it was asked for. Threads, for rustls has no tokio glue here.
fn hello(config: Arc<rustls::ServerConfig>) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut tls = rustls::StreamOwned::new(session, stream);
            let mut buffer = [0; 1024];
            if tls.read(&mut buffer).is_ok() {
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
                drop(tls.write_all(answer.as_bytes()));
            }
        }
    });
    port
}

/// A proxy that leads where it is asked to, and writes down what it was asked.
struct TestProxy {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    /// Starts it; with `credentials`, it leads only who names them.
    async fn start(credentials: Option<&str>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (kept, wanted) = (Arc::clone(&heads), credentials.map(str::to_owned));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(lead(stream, Arc::clone(&kept), wanted.clone()));
            }
        });
        Self { port, heads }
    }

    fn heads(&self) -> Vec<String> {
        std::mem::take(&mut *self.heads.lock().unwrap())
    }

    fn url(&self, credentials: &str) -> String {
        format!("http://{credentials}127.0.0.1:{}", self.port)
    }
}

async fn lead(mut client: TcpStream, heads: Arc<Mutex<Vec<String>>>, wanted: Option<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    heads.lock().unwrap().push(head.clone());
    let allowed = wanted.is_none_or(|wanted| {
        let line = format!("proxy-authorization: basic {wanted}").to_lowercase();
        head.to_lowercase().lines().any(|is| is == line)
    });
    let Some(target) = head.strip_prefix("CONNECT ").filter(|_| allowed) else {
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
        client.write_all(answer.as_bytes()).await.ok();
        return;
    };
    // Names are the proxy's to resolve: it leads `forge.invalid` to loopback.
    let port = target.split(' ').next().unwrap().rsplit(':').next().unwrap();
    let mut server = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
}

fn fixed(route: Route) -> Client {
    Client::of_operator(move || Ok(route.clone()))
}

fn trusting(authority: &Authority) -> Tls {
    Tls {
        ca: Some(authority.pem.clone()),
        ..Tls::default()
    }
}

fn at(url: &str) -> Proxy {
    Proxy::at(Secret::new(url)).unwrap()
}

#[tokio::test]
async fn a_private_authority_is_read_afresh_for_each_request() {
    let (ours, other) = (Authority::new(), Authority::new());
    let url = format!("https://localhost:{}/", ours.serve(None));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.crt");
    let files = RouteFiles {
        ca: Some(file.clone()),
        ..RouteFiles::default()
    };
    let client = Client::of_operator(move || files.read());
    let error = fetch(&client, &url).await.unwrap_err();
    assert!(error.to_string().contains("ca.crt: No such file"), "{error}");
    assert_eq!(error.class(), Class::UserMustFix);
    std::fs::write(&file, "no certificate").unwrap();
    let error = fetch(&client, &url).await.unwrap_err();
    assert_eq!(error.to_string(), "the CA bundle: it holds no certificate");
    std::fs::write(&file, &other.pem).unwrap();
    assert!(matches!(fetch(&client, &url).await, Err(Error::Tls { .. })));
    std::fs::write(&file, format!("{}{}", other.pem, ours.pem)).unwrap();
    assert_eq!(&fetch(&client, &url).await.unwrap().body[..], b"hello");
}

#[tokio::test]
async fn a_server_that_demands_a_certificate_gets_ours() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let url = format!("https://localhost:{}/", servers.serve(Some(&clients)));
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("ca.crt", &servers.pem);
    let files = RouteFiles {
        ca: Some(dir.path().join("ca.crt")),
        certificate: Some(dir.path().join("tls.crt")),
        key: Some(dir.path().join("tls.key")),
        proxy: None,
    };
    let anonymous = fixed(Route {
        tls: trusting(&servers),
        ..Route::default()
    });
    let error = fetch(&anonymous, &url).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
    let client = Client::of_operator(move || files.read());
    // Of another authority, a wrong key, the right one: each counts without a new client.
    let (stranger, ours) = (servers.sign("serin"), clients.sign("serin"));
    write("tls.crt", &stranger.certificate.pem());
    write("tls.key", &stranger.key.serialize_pem());
    let error = fetch(&client, &url).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
    write("tls.crt", &ours.certificate.pem());
    let error = fetch(&client, &url).await.unwrap_err();
    assert_eq!(error.class(), Class::UserMustFix, "{error}");
    write("tls.key", &ours.key.serialize_pem());
    assert_eq!(&fetch(&client, &url).await.unwrap().body[..], b"hello");
    write("tls.key", "topsecret");
    let error = fetch(&client, &url).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the client certificate and its key: they are not a PEM certificate and a PEM key"
    );
}

#[test]
fn half_of_a_certificate_is_refused() {
    let files = RouteFiles {
        certificate: Some("/nonexistent".into()),
        ..RouteFiles::default()
    };
    assert!(files.read().unwrap_err().to_string().contains("needs its key"));
}

#[tokio::test]
async fn a_proxy_leads_and_resolves_and_sees_nothing_but_the_target() {
    let authority = Authority::new();
    let port = authority.serve(None);
    let proxy = TestProxy::start(None).await;
    let client = fixed(Route {
        proxy: at(&proxy.url("")),
        tls: trusting(&authority),
        ..Route::default()
    });
    let url = format!("https://localhost:{port}/secret-path");
    let request = Request::get(&url)
        .unwrap()
        .header("authorization", "token hidden");
    let response = client.send(request.unwrap()).await.unwrap();
    assert_eq!(&response.body[..], b"hello");
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1);
    assert!(heads[0].starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")));
    assert!(!heads[0].contains("hidden") && !heads[0].contains("secret-path"));
    // The name is not known here; the certificate tells that the proxy led somewhere.
    let error = fetch(&client, &format!("https://forge.invalid:{port}/")).await;
    assert!(matches!(error, Err(Error::Tls { .. })), "{error:?}");
    assert!(proxy.heads()[0].starts_with("CONNECT forge.invalid:"));
}

#[tokio::test]
async fn a_proxy_is_given_its_credentials_and_refusals_do_not_tell_them() {
    let authority = Authority::new();
    let url = format!("https://localhost:{}/", authority.serve(None));
    // "user:p@ss+word"
    let proxy = TestProxy::start(Some("dXNlcjpwQHNzK3dvcmQ=")).await;
    let with = |credentials: &str| {
        fixed(Route {
            proxy: at(&proxy.url(credentials)),
            tls: trusting(&authority),
            ..Route::default()
        })
    };
    let client = with("user:p%40ss+word@");
    assert_eq!(&fetch(&client, &url).await.unwrap().body[..], b"hello");
    proxy.heads();
    for credentials in ["", "user:hidden@"] {
        let error = fetch(&with(credentials), &url).await.unwrap_err();
        assert!(matches!(error, Error::Proxy { .. }), "{error}");
        assert!(error.is_transient(), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("the proxy {}", proxy.url(""))), "{text}");
        assert!(!text.contains("hidden") && !text.contains("user"), "{text}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_down_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = fixed(Route {
        proxy: at(&format!("http://user:hidden@{address}")),
        ..Route::default()
    });
    let error = fetch(&client, "https://forge.invalid/").await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("cannot reach https://forge.invalid through the proxy"));
    assert!(
        text.contains(&address.to_string()) && !text.contains("hidden"),
        "{text}"
    );
}

#[tokio::test]
async fn where_egress_rules_hold_no_proxy_is_used() {
    let proxy = TestProxy::start(None).await;
    let route = Route {
        proxy: at(&proxy.url("")),
        ..Route::default()
    };
    let client = restricted(&[]).with_route(move || Ok(route.clone()));
    let error = fetch(&client, "http://forge.invalid/").await.unwrap_err();
    assert!(error.to_string().contains("egress rules"), "{error}");
    assert!(proxy.heads().is_empty());
}

#[test]
fn a_proxy_must_be_one_and_is_not_quoted() {
    for bad in ["socks5://u:hidden@p", "hidden", "file:///hidden"] {
        let error = Proxy::at(Secret::new(bad)).unwrap_err();
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
    let debug = format!("{:?}", at("http://u:hidden@proxy"));
    assert!(!debug.contains("hidden"), "{debug}");
}

#[tokio::test]
async fn a_redirect_gets_no_credentials() {
    static TOKENS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let elsewhere = Router::new().fallback(|headers: ::http::HeaderMap| async move {
        TOKENS.lock().unwrap().push(format!("{headers:?}"));
    });
    let target = serve(elsewhere).await;
    let moved =
        Router::new().fallback(move || async move { Redirect::permanent(&format!("http://{target}/")) });
    let address = serve(moved).await;
    let request = Request::get(&format!("http://{address}/")).unwrap();
    let request = request.authorization("token", &Secret::new("hidden")).unwrap();
    let response = fixed(Route::default()).send(request).await.unwrap();
    assert_eq!(response.status, 308);
    assert!(TOKENS.lock().unwrap().is_empty());
}
