//! What `rediss://` needs.

use redis::ConnectionAddr;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Sees to it that rustls has cryptography to work with. The program's own
/// choice goes first, so this comes as late as it can: before a connection.
pub(super) fn prepare(address: &ConnectionAddr) {
    let tls = matches!(address, ConnectionAddr::TcpTls { .. });
    if tls && CryptoProvider::get_default().is_none() {
        // Somebody else may have come first.
        let _ = aws_lc_rs::default_provider().install_default();
    }
}
