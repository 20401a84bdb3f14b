//! Brings an artifact from Flux's artifact server: through the one client, at most so large, and only if its
//! digest is the one that the source's status names.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::{ArchiveError, Unpacked, unpack};
use crate::{
    error::{Class, Classified},
    http::{self, Client, Request},
};

/// The most bytes of an archive.
const MAX_DOWNLOAD: usize = 64 << 20;
/// Time for a download.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait before a server that does not answer well is asked again.
const RETRY: Duration = Duration::from_secs(5);

/// Where an artifact is, and what its digest must be. From a custom resource's status: not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    /// Its address.
    pub url: String,
    /// `sha256:<hex>`; sha384 and sha512 are understood too.
    pub digest: String,
}

/// Why an artifact cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The server cannot be asked.
    #[error("the artifact cannot be fetched: {0}")]
    Http(#[from] http::Error),
    /// The artifact is not there any more: the server keeps them for a minute.
    #[error("the artifact server has the artifact no more")]
    Gone,
    /// Any other answer.
    #[error("the artifact server answers {status}: {text}")]
    Answer {
        /// The status.
        status: u16,
        /// What it says.
        text: String,
    },
    /// The digest is of a kind that is not understood.
    #[error("the digest `{0}` of the artifact is not understood")]
    UnknownDigest(String),
    /// The content is not what the status promises.
    #[error("the artifact has the digest {found}, not {wanted}")]
    Digest {
        /// What the status says.
        wanted: String,
        /// What came.
        found: String,
    },
    /// The archive is refused.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl Classified for ArtifactError {
    fn class(&self) -> Class {
        match self {
            Self::Http(error) => error.class(),
            // A newer artifact is announced by a change of the source.
            Self::Gone | Self::Digest { .. } => Class::WaitForChange,
            Self::Answer { status, .. } if *status >= 500 || *status == 429 => Class::Retry(RETRY),
            Self::Answer { .. } | Self::UnknownDigest(_) | Self::Archive(_) => Class::UserMustFix,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Http(error) => Some(error.hint().unwrap_or_else(|| {
                "the address is that of source-controller's Service: run Serin in the cluster, where no NetworkPolicy \
                 keeps it from there (namespace flux-system is the simplest)"
                    .to_owned()
            })),
            Self::UnknownDigest(_) => {
                Some("start source-controller with --artifact-digest-algo=sha256, its default".to_owned())
            }
            Self::Archive(_) => {
                Some("narrow the source by spec.ignore or .sourceignore to the manifests".to_owned())
            }
            Self::Gone | Self::Answer { .. } | Self::Digest { .. } => None,
        }
    }
}

impl Download {
    /// Downloads the archive, checks its digest, and reads it. Unpacking blocks for as long as a large archive
    /// takes: callers wrap [`Download::read`] themselves.
    pub async fn fetch(&self, client: &Client) -> Result<Bytes, ArtifactError> {
        let request = Request::get(&self.url)?.timeout(TIMEOUT).body_limit(MAX_DOWNLOAD);
        let response = client.send(request).await?;
        match response.status {
            200 => Ok(response.body),
            404 | 410 => Err(ArtifactError::Gone),
            status => Err(ArtifactError::Answer {
                status,
                text: response.text(),
            }),
        }
    }

    /// Checks the digest of what was downloaded, and unpacks it.
    pub fn read(&self, archive: &[u8]) -> Result<Unpacked, ArtifactError> {
        self.verify(archive)?;
        Ok(unpack(archive)?)
    }

    fn verify(&self, archive: &[u8]) -> Result<(), ArtifactError> {
        let unknown = || ArtifactError::UnknownDigest(http::excerpt(&self.digest, 100));
        let (algorithm, wanted) = self.digest.split_once(':').ok_or_else(unknown)?;
        let found = match algorithm {
            "sha256" => hex(&Sha256::digest(archive)),
            "sha384" => hex(&Sha384::digest(archive)),
            "sha512" => hex(&Sha512::digest(archive)),
            _ => return Err(unknown()),
        };
        if wanted.len() != found.len() {
            return Err(unknown());
        }
        if found != wanted {
            return Err(ArtifactError::Digest {
                wanted: http::excerpt(&self.digest, 200),
                found: format!("{algorithm}:{found}"),
            });
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::{Router, http::StatusCode, routing::get};

    use super::*;

    fn client(router: Router) -> Client {
        Client::in_process(BTreeMap::from([("source".to_owned(), router)]))
    }

    fn download(path: &str, digest: &str) -> Download {
        Download {
            url: format!("http://source/{path}"),
            digest: digest.to_owned(),
        }
    }

    #[tokio::test]
    async fn an_artifact_may_be_larger_than_other_answers() {
        let body = vec![7_u8; 3 << 20];
        let router = Router::new().route("/a", get(move || async move { body }));
        let bytes = download("a", "").fetch(&client(router)).await.unwrap();
        assert_eq!(bytes.len(), 3 << 20);
        let body = vec![7_u8; MAX_DOWNLOAD + 1];
        let router = Router::new().route("/a", get(move || async move { body }));
        let error = download("a", "").fetch(&client(router)).await.unwrap_err();
        assert!(
            matches!(error, ArtifactError::Http(http::Error::TooLarge { .. })),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_is_gone_waits_for_a_change_and_a_fault_is_tried_again() {
        let router = Router::new().route("/broken", get(|| async { StatusCode::BAD_GATEWAY }));
        let client = client(router);
        let gone = download("old", "").fetch(&client).await.unwrap_err();
        assert!(matches!(gone, ArtifactError::Gone) && gone.class() == Class::WaitForChange);
        let broken = download("broken", "").fetch(&client).await.unwrap_err();
        assert_eq!(broken.class(), Class::Retry(RETRY));
    }

    #[test]
    fn the_digest_is_checked_before_anything_is_read() {
        let bytes = b"not even an archive";
        for (algorithm, digest) in [
            ("sha256", hex(&Sha256::digest(bytes))),
            ("sha384", hex(&Sha384::digest(bytes))),
            ("sha512", hex(&Sha512::digest(bytes))),
        ] {
            let right = download("a", &format!("{algorithm}:{digest}"));
            assert!(
                matches!(right.read(bytes), Err(ArtifactError::Archive(_))),
                "{algorithm}"
            );
            let wrong = right.read(b"something else").unwrap_err();
            assert!(matches!(wrong, ArtifactError::Digest { .. }) && wrong.class() == Class::WaitForChange);
        }
        for digest in [
            "",
            "sha256",
            "sha256:",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "blake3:00",
            "sha256:00",
        ] {
            let error = download("a", digest).read(bytes).unwrap_err();
            assert!(matches!(error, ArtifactError::UnknownDigest(_)), "{digest}");
        }
    }
}
