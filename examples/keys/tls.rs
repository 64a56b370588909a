//! A token server behind TLS that asks for its clients' certificates.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use tower_bearer::testing::TokenService;

/// Certificates and keys from an operator, as PEM.
pub(crate) struct Papers {
    /// The authority's certificate.
    pub(crate) authority: String,
    /// The client's certificate and its private key.
    pub(crate) client: String,
}

/// Starts the server on loopback.
pub(crate) async fn serve(service: TokenService) -> Result<(SocketAddr, Papers), Box<dyn Error>> {
    let mut params = CertificateParams::new([])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate()?;
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::new(params, authority_key);
    let sign = |name: &str| -> Result<_, rcgen::Error> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new([name.to_owned()])?;
        Ok((params.signed_by(&key, &issuer)?, key))
    };
    let (client, client_key) = sign("billing")?;
    let (server, server_key) = sign("localhost")?;

    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let key = server_key.serialize_der().try_into()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![server.der().clone()], key)?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(service.clone()));
            tokio::spawn(async move {
                let stream = TokioIo::new(acceptor.accept(socket).await?);
                let server = Builder::new(TokioExecutor::new());
                server.serve_connection(stream, service).await
            });
        }
    });
    let client = client.pem() + &client_key.serialize_pem();
    let authority = authority.pem();
    Ok((address, Papers { authority, client }))
}
