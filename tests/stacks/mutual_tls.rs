//! A client that authenticates with a certificate, over real TLS.

#![cfg(feature = "reqwest")]

#[path = "../../examples/keys/tls.rs"]
mod tls;

use std::error::Error;

use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant};
use tower_bearer::testing::TokenServer;
use tower_bearer::transport::DefaultTransport;
use tower_bearer::{TokenErrorKind, TokenSource};

#[tokio::test]
async fn the_transport_presents_the_certificate_and_trusts_the_authority()
-> Result<(), Box<dyn Error>> {
    let server = TokenServer::builder().client_certificate().in_process();
    let (address, papers) = tls::serve(server.service()).await?;
    let (_, of_others) = tls::serve(server.service()).await?;
    let endpoint = format!("https://localhost:{}/token", address.port());
    let transport = DefaultTransport::new;
    for (transport, fine) in [
        (
            transport()
                .client_certificate(&papers.client)?
                .root_certificates(&papers.authority)?,
            true,
        ),
        (transport().root_certificates(&papers.authority)?, false),
        (transport().client_certificate(&papers.client)?, false),
        (
            transport()
                .client_certificate(&of_others.client)?
                .root_certificates(&papers.authority)?,
            false,
        ),
        (
            transport()
                .client_certificate(&papers.client)?
                .root_certificates(&of_others.authority)?,
            false,
        ),
    ] {
        let grant = ClientCredentialsGrant::new(&endpoint, "api")?
            .client_auth(ClientAuth::tls_client_auth())
            .transport(transport);
        match grant.fetch().await {
            Ok(_) => assert!(fine),
            Err(error) => {
                assert!(!fine, "{error:?}");
                assert_eq!(error.kind(), TokenErrorKind::Connect);
            }
        }
    }
    assert_eq!(server.counts().client_credentials_grants, 1);
    assert_eq!(server.token_requests(), 1);
    Ok(())
}

#[tokio::test]
async fn what_is_not_a_certificate_is_refused_by_name_and_not_quoted() -> Result<(), Box<dyn Error>>
{
    let server = TokenServer::builder().in_process();
    let (_, papers) = tls::serve(server.service()).await?;
    for pem in ["", "hunter2", &papers.authority] {
        let error = DefaultTransport::new().client_certificate(pem);
        let error = error.expect_err("no certificate with a key");
        assert_eq!(error.field(), "client_certificate");
        assert!(!error.to_string().contains("hunter2"));
    }
    for pem in ["", "hunter2"] {
        let error = DefaultTransport::new().root_certificates(pem);
        assert_eq!(error.expect_err("none").field(), "root_certificates");
    }
    Ok(())
}
