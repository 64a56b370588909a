//! A tonic `Channel` with the layer: a unary call whose token was revoked succeeds.
//!
//! The server is the embedded one, which answers gRPC calls with an empty message
//! and rejects tokens as tonic's interceptors do.

use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{BoxError, ServiceBuilder};
use tower_bearer::testing::{ApiRejection, TokenServer};
use tower_bearer::{BearerAuthLayer, BufferBody, Origins, PasswordGrant, Rejection, TokenCache};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let server = TokenServer::builder().api_rejection(ApiRejection::GrpcStatus);
    let s = server.start().await?;
    let api = s.api_url();
    let account = PasswordGrant::new(s.token_url(), s.client_id(), s.username(), s.password())?;

    // tonic's client sends only the path; the channel knows the server.
    let origins = Origins::only([api])?.for_relative_uris(api)?;
    let layer = BearerAuthLayer::new(TokenCache::new(account), origins)
        // `grpc-status: 16` is a rejection, whatever the HTTP status.
        .reject_on(Rejection::grpc())
        // tonic's body is not `Clone`: messages up to 64 KiB are kept for a replay.
        .replay(BufferBody::up_to(64 * 1024).boxed_by(tonic::body::Body::new));
    let channel = Channel::from_shared(api.to_owned())?.connect_lazy();
    let service = ServiceBuilder::new().layer(layer).service(channel);

    let mut client = HealthClient::new(service);
    for call in 1..=2 {
        let answer = client.check(HealthCheckRequest::default()).await?;
        println!("call {call}: {:?}", answer.into_inner().status());
        s.revoke_access_tokens(); // the second call is rejected, and sent again
    }
    let seen = s.counts();
    let (ok, bad, fetched) = (seen.api_ok, seen.api_unauthorized, seen.token_requests);
    println!("api: {ok} ok, {bad} unauthorized  token requests: {fetched}");
    Ok(())
}
