//! The CNCF's registry on loopback, and pushing to it in the form that Flux reads.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, bail};
use flate2::{Compression, write::GzEncoder};
use reqwest::{
    Client, RequestBuilder, Response, Url,
    header::{CONTENT_TYPE, LOCATION},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::assets::Assets;
use super::process::{Sandbox, free_ports, hermetic};

const NAME: &str = "registry";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.cncf.flux.config.v1+json";
const CONTENT: &str = "application/vnd.cncf.flux.content.v1.tar+gzip";

/// A running registry.
#[derive(Debug)]
pub(crate) struct Registry {
    port: u16,
    http: Client,
}

impl Registry {
    /// Starts one that keeps everything in memory, and waits until it answers.
    pub(crate) async fn start(sandbox: &mut Sandbox) -> anyhow::Result<Self> {
        let [port] = free_ports()?;
        let settings = json!({
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"inmemory": {}},
            "http": {"addr": format!("127.0.0.1:{port}")},
        });
        let file = sandbox.write("registry.yaml", &settings.to_string())?;
        let mut command = hermetic(&Assets::locate()?.binary(NAME)?, &sandbox.path(""));
        command.env("OTEL_TRACES_EXPORTER", "none").arg("serve").arg(file);
        sandbox.spawn(NAME, &mut command)?;
        let registry = Self {
            port,
            http: Client::new(),
        };
        let base = registry.at("")?;
        let probe = async || done(registry.http.get(base.clone())).await.map(drop);
        sandbox.ready(NAME, probe).await?;
        Ok(registry)
    }

    /// Returns the address of a repository, as an `OCIRepository` names it.
    pub(crate) fn address(&self, repository: &str) -> String {
        format!("oci://127.0.0.1:{}/{repository}", self.port)
    }

    /// Pushes a folder as `flux push artifact` does, with these annotations.
    pub(crate) async fn push(
        &self,
        repository: &str,
        tag: &str,
        folder: &Path,
        annotations: &BTreeMap<&str, &str>,
    ) -> anyhow::Result<()> {
        let config = self.blob(repository, CONFIG, b"{}".to_vec()).await?;
        let content = self.blob(repository, CONTENT, archive(folder)?).await?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": [content],
            "annotations": annotations,
        });
        let put = self
            .http
            .put(self.at(&format!("{repository}/manifests/{tag}"))?)
            .header(CONTENT_TYPE, MANIFEST)
            .body(manifest.to_string());
        done(put).await.map(drop)
    }

    async fn blob(&self, repository: &str, media_type: &str, bytes: Vec<u8>) -> anyhow::Result<Value> {
        let digest = Sha256::digest(&bytes);
        let digest = digest
            .iter()
            .fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"));
        let size = bytes.len();
        let begin = self.at(&format!("{repository}/blobs/uploads/"))?;
        let begun = done(self.http.post(begin.clone())).await?;
        let location = begun.headers().get(LOCATION).context("no place to upload to")?;
        let mut upload = begin.join(location.to_str()?)?;
        upload.query_pairs_mut().append_pair("digest", &digest);
        done(self.http.put(upload).body(bytes)).await?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": size}))
    }

    fn at(&self, path: &str) -> anyhow::Result<Url> {
        Ok(format!("http://127.0.0.1:{}/v2/{path}", self.port).parse()?)
    }
}

async fn done(request: RequestBuilder) -> anyhow::Result<Response> {
    let answer = request.send().await?;
    let (code, url) = (answer.status(), answer.url().clone());
    if code.is_success() {
        return Ok(answer);
    }
    let text = answer.text().await?;
    bail!("the registry answers {code} to {url}: {text}")
}

fn archive(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    builder.append_dir_all("", folder)?;
    Ok(builder.into_inner()?.finish()?)
}
