//! What a certificate says that rustls does not tell: names, and until when it is valid.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

/// The names of a client certificate that a user can have: `dns:…` and `uri:…`. One with a wildcard is nobody's name.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    // It was parsed when it was verified.
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let dns = certificate.valid_dns_names().filter(|name| !name.contains('*')).map(|name| format!("dns:{name}"));
    let uri = certificate.valid_uri_names().map(|name| format!("uri:{name}"));
    dns.chain(uri).collect()
}

/// How a certificate relates to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    NotYet { from: UnixTime },
    Valid,
    Over { since: UnixTime },
}

/// Whether a certificate is valid at a time. None: it can't be read, or is of a kind that is not looked at.
pub(super) fn validity_at(certificate: &CertificateDer<'_>, time: UnixTime) -> Option<Validity> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    // Who has issued it does not matter: times are checked first, and nobody is trusted.
    let checked = certificate.verify_for_usage(&[], &[], &[], time, KeyUsage::server_auth(), None, None);
    match checked.err()? {
        Error::CertExpired { not_after, .. } => Some(Validity::Over { since: not_after }),
        Error::CertNotValidYet { not_before, .. } => Some(Validity::NotYet { from: not_before }),
        Error::InvalidCertValidity | Error::BadDer | Error::BadDerTime => None,
        _ => Some(Validity::Valid),
    }
}

/// The last second in which a certificate is valid.
pub(super) fn expires(certificate: &CertificateDer<'_>) -> Option<UnixTime> {
    // At the end of all times every certificate has expired, and the error says since when.
    match validity_at(certificate, UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX)))? {
        Validity::Over { since } => Some(since),
        Validity::NotYet { .. } | Validity::Valid => None,
    }
}
