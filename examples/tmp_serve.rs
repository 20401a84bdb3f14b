#[tokio::main]
async fn main() {
    let clock = serin::clock::Clock::system();
    let cluster = serin::rehearsal::Cluster::new(clock);
    let l = tokio::net::TcpListener::bind("127.0.0.1:18080").await.unwrap();
    std::fs::write(
        "/tmp/serin.kubeconfig",
        serin::rehearsal::kubeconfig(l.local_addr().unwrap()),
    )
    .unwrap();
    serin::rehearsal::serve(&cluster, l).await.unwrap();
}
