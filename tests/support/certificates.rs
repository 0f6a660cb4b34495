//! Certificates of tests: an authority, and what it issues, in files as an operator has them.
#![allow(dead_code, reason = "every test program uses what it needs, and none needs all of it")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::directory::Directory;

/// Issues certificates.
pub(crate) struct Authority<'a> {
    directory: &'a Directory,
    name: &'static str,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, each in a file.
pub(crate) struct Identity {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// When a certificate is valid.
#[derive(Clone, Copy)]
pub(crate) enum Valid {
    Now,
    Before,
    Later,
    /// From now on, to the second.
    For(Duration),
}

impl<'a> Authority<'a> {
    pub(crate) fn new(directory: &'a Directory, name: &'static str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(directory.file(&format!("{name}.ca.pem")), issuer.pem()).unwrap();
        Authority { directory, name, issuer }
    }

    /// The file with its own certificate.
    pub(crate) fn pem(&self) -> PathBuf {
        self.directory.file(&format!("{}.ca.pem", self.name))
    }

    /// Of a server or client with these names: `dns:…`, `ip:…` or `uri:…`.
    pub(crate) fn issue(&self, file: &str, names: &[&str], valid: Valid) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|name| san(name)).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = match valid {
            Valid::Now => (date_time_ymd(2000, 1, 1), date_time_ymd(3000, 1, 1)),
            Valid::Before => (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1)),
            Valid::Later => (date_time_ymd(2900, 1, 1), date_time_ymd(3000, 1, 1)),
            Valid::For(time) => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
                (date_time_ymd(2000, 1, 1), date_time_ymd(1970, 1, 1) + now + time)
            }
        };
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let identity = Identity {
            cert: self.directory.file(&format!("{file}.pem")),
            key: self.directory.file(&format!("{file}.key.pem")),
        };
        fs::write(&identity.cert, certificate.pem()).unwrap();
        fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }
}

fn san(name: &str) -> SanType {
    match name.split_once(':').expect("a kind and a name") {
        ("dns", name) => SanType::DnsName(name.try_into().unwrap()),
        ("ip", address) => SanType::IpAddress(address.parse().unwrap()),
        ("uri", uri) => SanType::URI(uri.try_into().unwrap()),
        (kind, _) => panic!("{kind}: no such kind of name"),
    }
}

/// A client that trusts this authority, with a certificate of its own or without. Its connections share what they need to
/// resume the TLS session of an earlier one.
pub(crate) fn client_config(
    authority: &Authority<'_>,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.pem()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
    Arc::new(match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_file_iter(&identity.cert).unwrap().map(Result::unwrap).collect();
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&identity.key).unwrap()).unwrap()
        }
    })
}
