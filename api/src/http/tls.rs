//! TLS of the API, where certificate and key are configured and the daemon is built with it.

use crate::config;

/// What keeps TLS from being spoken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("the server failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Unusable(String),
}

#[cfg(feature = "tls")]
mod spoken {
    use super::{TlsError, config};
    use rustls::ServerConfig;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use std::sync::Arc;

    pub(crate) type Tls = ServerConfig;

    pub(super) fn read(tls: &config::Tls) -> Result<Tls, TlsError> {
        let at = |path: &std::path::Path, error: &dyn std::fmt::Display| {
            TlsError::Unusable(format!("{}: {error}", path.display()))
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&tls.certificate)
            .and_then(Iterator::collect)
            .map_err(|error| at(&tls.certificate, &error))?;
        let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| at(&tls.key, &error))?;
        let unusable = |error: rustls::Error| at(&tls.certificate, &error);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        versions.map_err(unusable)?.with_no_client_auth().with_single_cert(chain, key).map_err(unusable)
    }
}

#[cfg(not(feature = "tls"))]
mod spoken {
    pub(crate) enum Tls {}
}

pub(crate) use spoken::Tls;

/// Reads what is configured; none where nothing is.
pub(crate) fn of(tls: &config::Tls) -> Result<Option<Tls>, TlsError> {
    if tls.certificate.as_os_str().is_empty() {
        return Ok(None);
    }
    #[cfg(feature = "tls")]
    return spoken::read(tls).map(Some);
    #[cfg(not(feature = "tls"))]
    Err(TlsError::Unusable("this program was built without the feature `tls`".to_owned()))
}
