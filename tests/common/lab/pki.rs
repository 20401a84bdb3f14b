//! Certificates and keys of one test cluster.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A certificate authority, what the API server serves with, and the keys of service account tokens.
pub(crate) struct Pki {
    pub(crate) ca: String,
    pub(crate) server_certificate: String,
    pub(crate) server_key: String,
    pub(crate) account_key: String,
    pub(crate) account_public_key: String,
}

impl Pki {
    /// Makes new ones.
    pub(crate) fn generate() -> anyhow::Result<Self> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        authority.distinguished_name.push(DnType::CommonName, "serin lab");
        let authority_key = KeyPair::generate()?;
        let ca = authority.self_signed(&authority_key)?;
        let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"];
        let mut server = CertificateParams::new(names.map(str::to_owned))?;
        server
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        let server_key = KeyPair::generate()?;
        let certificate = server.signed_by(&server_key, &Issuer::from_params(&authority, &authority_key))?;
        let account_key = KeyPair::generate()?;
        Ok(Self {
            ca: ca.pem(),
            server_certificate: certificate.pem(),
            server_key: server_key.serialize_pem(),
            account_key: account_key.serialize_pem(),
            account_public_key: account_key.public_key_pem(),
        })
    }
}
