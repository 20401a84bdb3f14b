//! The client against servers on loopback, and against routers in this process.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::{Router, body::Body, response::Redirect, routing::get};
use bytes::Bytes;
use futures::stream;

use super::*;

mod operator;

fn app() -> Router {
    Router::new()
        .route("/ok", get(|| async { "fine" }))
        .route("/moved", get(|| async { Redirect::temporary("/ok") }))
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_secs(60)).await;
                "late"
            }),
        )
        .route(
            "/drip",
            get(|| async {
                // The head comes at once, the body never ends.
                Body::from_stream(stream::unfold((), |()| async {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Some((Ok::<_, std::io::Error>("x"), ()))
                }))
            }),
        )
        .route(
            "/flood",
            get(|| async {
                let chunk = Bytes::from(vec![0_u8; 64 * 1024]);
                Body::from_stream(stream::repeat_with(move || {
                    Ok::<_, std::io::Error>(chunk.clone())
                }))
            }),
        )
        .route("/full", get(|| async { vec![b'x'; Response::MAX_BYTES] }))
}

fn in_process() -> Client {
    Client::in_process(BTreeMap::from([("world".to_owned(), app())]))
}

async fn fetch(client: &Client, url: &str) -> Result<Response, Error> {
    client.send(Request::get(url).unwrap()).await
}

/// Serves on loopback; the address is free again when the test's runtime ends.
async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

fn restricted(allow: &[&str]) -> Client {
    Client::new(Egress::Restricted(Rules {
        allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
        api_server: Vec::new(),
    }))
}

#[tokio::test(start_paused = true)]
async fn in_process_requests_are_led_by_host_name_whatever_the_port() {
    let client = in_process();
    let response = fetch(&client, "http://world:9090/ok").await.unwrap();
    assert_eq!((response.status, &response.body[..]), (200, &b"fine"[..]));
    assert_eq!(fetch(&client, "http://world/none").await.unwrap().status, 404);
    assert!(matches!(
        fetch(&client, "http://elsewhere/ok").await,
        Err(Error::Connect { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn time_is_limited_for_the_head_and_for_the_body() {
    let client = in_process();
    for path in ["slow", "drip"] {
        let began = tokio::time::Instant::now();
        let error = fetch(&client, &format!("http://world/{path}?token=hidden"))
            .await
            .unwrap_err();
        assert!(error.is_timeout() && error.is_transient(), "{path}: {error}");
        assert!(!error.to_string().contains("hidden"), "{error}");
        assert_eq!(began.elapsed().as_secs(), Request::TIMEOUT.as_secs(), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_are_capped_while_they_come() {
    let client = in_process();
    let full = fetch(&client, "http://world/full").await.unwrap();
    assert_eq!(full.body.len(), Response::MAX_BYTES);
    assert!(matches!(
        fetch(&client, "http://world/flood").await,
        Err(Error::TooLarge { .. })
    ));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let address = serve(app()).await;
    let response = fetch(&Client::new(Egress::Open), &format!("http://{address}/moved"))
        .await
        .unwrap();
    assert_eq!(response.status, 307);
}

#[tokio::test]
async fn restricted_egress_refuses_literals_and_names_before_anything_is_sent() {
    static HITS: AtomicUsize = AtomicUsize::new(0);
    let router = Router::new().fallback(|| async {
        HITS.fetch_add(1, Ordering::SeqCst);
    });
    let port = serve(router).await.port();
    let client = restricted(&[]);
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
    ] {
        let error = fetch(&client, &format!("http://{host}:{port}/"))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Denied { .. }), "{host}: {error}");
    }
    assert_eq!(HITS.load(Ordering::SeqCst), 0);
    // The name may resolve to both families; then both must be allowed.
    let allowed = restricted(&["127.0.0.0/8", "::1/128"]);
    fetch(&allowed, &format!("http://localhost:{port}/"))
        .await
        .unwrap();
    assert_eq!(HITS.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_name_cannot_be_reached() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(Egress::Open);
    for url in [
        format!("http://{address}/secret-path?key=hidden"),
        "http://no-such-host.invalid/secret-path".to_owned(),
    ] {
        let error = fetch(&client, &url).await.unwrap_err();
        assert!(matches!(error, Error::Connect { .. }), "{error}");
        let text = error.to_string();
        assert!(!text.contains("secret") && !text.contains("hidden"), "{text}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_a_broken_answer() {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
    });
    let error = fetch(&Client::new(Egress::Open), &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error}");
}

/// Answers TLS handshakes with a certificate for `localhost` and says `hello`; returns its CA too.
fn serve_tls() -> (u16, String) {
    use std::sync::Arc;

    crate::http::install_crypto();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // rustls without tokio glue: a thread that lives as long as the test process.
    std::thread::spawn(move || {
        use std::io::{Read, Write};
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
    (port, made.cert.pem())
}

#[tokio::test]
async fn certificates_are_verified_unless_told_otherwise() {
    let (port, ca) = serve_tls();
    let client = Client::new(Egress::Open);
    let url = format!("https://localhost:{port}/");
    let ask = |tls: Tls| client.send(Request::get(&url).unwrap().tls(tls));
    let error = ask(Tls::default()).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
    let skip = Tls {
        skip_verify: true,
        ..Tls::default()
    };
    assert_eq!(&ask(skip).await.unwrap().body[..], b"hello");
    let trusted = Tls {
        ca: Some(ca),
        ..Tls::default()
    };
    assert_eq!(&ask(trusted).await.unwrap().body[..], b"hello");
    let nonsense = Tls {
        ca: Some("no certificate".to_owned()),
        ..Tls::default()
    };
    assert!(matches!(ask(nonsense).await, Err(Error::Certificate { .. })));
}
