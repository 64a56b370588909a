//! A token endpoint (RFC 6749, section 3.2), and the client that uses it.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::Uri;

use crate::error::{ConfigError, TokenError};
use crate::grant::client::Client;
use crate::grant::endpoint::endpoint::{Endpoint, Location};
use crate::grant::endpoint::metadata::Metadata;
use crate::grant::endpoint::revocation::{self, RevocationMethod};
use crate::grant::params::{Form, Sent};
use crate::grant::response::token::{self, Expected};
use crate::sync::lock;
use crate::token::{AccessToken, RefreshToken, TokenResponse};
use crate::transport::{
    DefaultTransport, EndpointRequest, EndpointResponse, Limits, Transport, send_request,
};

/// An endpoint, the client that uses it, and how it is reached.
pub(in crate::grant) struct TokenEndpoint<T> {
    endpoint: Endpoint,
    pub(in crate::grant) client: Client,
    limits: Limits,
    pub(in crate::grant) revocation: Option<RevocationMethod>,
    /// In a mutex, because a service need not be `Sync`. Locked for a clone only.
    transport: Mutex<T>,
}

impl TokenEndpoint<DefaultTransport> {
    pub(in crate::grant) fn new(endpoint: Endpoint, client: Client) -> Self {
        Self {
            endpoint,
            client,
            limits: Limits::default(),
            revocation: None,
            transport: Mutex::default(),
        }
    }
}

impl<T> TokenEndpoint<T> {
    pub(in crate::grant) fn through<S>(self, transport: S) -> TokenEndpoint<S> {
        TokenEndpoint {
            endpoint: self.endpoint,
            client: self.client,
            limits: self.limits,
            revocation: self.revocation,
            transport: Mutex::new(transport),
        }
    }

    pub(in crate::grant) fn location(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(in crate::grant) fn set_location(&mut self, endpoint: Endpoint) {
        self.endpoint = endpoint;
    }

    pub(in crate::grant) fn limits(&self) -> Limits {
        self.limits
    }

    pub(in crate::grant) fn set_timeout(&mut self, timeout: Duration) -> Result<(), ConfigError> {
        if timeout.is_zero() {
            return Err(ConfigError::new("timeout", "is zero"));
        }
        self.limits.timeout = timeout;
        Ok(())
    }

    pub(in crate::grant) fn set_max_response(&mut self, bytes: usize) -> Result<(), ConfigError> {
        if bytes == 0 {
            return Err(ConfigError::new("max_response", "is zero"));
        }
        self.limits.max_response = bytes;
        Ok(())
    }
}

impl<T> Hash for TokenEndpoint<T> {
    /// Hashes the endpoint and the client.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.endpoint, &self.client).hash(hasher);
    }
}

impl<T: Transport> TokenEndpoint<T> {
    /// Returns the files of the certificate that the default transport presents.
    pub(in crate::grant) fn certificate_files(&self) -> Vec<PathBuf> {
        let transport: &dyn Any = &*lock(&self.transport);
        let default = transport.downcast_ref::<DefaultTransport>();
        default.map_or_else(Vec::new, DefaultTransport::certificate_files)
    }

    /// Requests a token with this form. `finish` adds what comes after the
    /// parameters of client authentication.
    pub(in crate::grant) async fn ask<'a>(
        &'a self,
        form: Form<'a>,
        finish: impl FnOnce(Form<'a>) -> Form<'a> + Send,
        expected: Expected<'_>,
    ) -> Result<TokenResponse, TokenError> {
        let (uri, server) = self.server().await?;
        let form = finish(self.client.authenticate(form, &server).await?);
        let read = |response: &EndpointResponse, request: &EndpointRequest<'_>, sent: &Sent<'_>| {
            token::read(response, request, sent, &expected, SystemTime::now())
        };
        self.post(&uri, "the token endpoint", form, read).await
    }

    /// Ends the session of these tokens.
    pub(in crate::grant) async fn revoke(
        &self,
        access_token: Option<&AccessToken>,
        refresh_token: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        let revocation = match &self.revocation {
            Some(revocation) => revocation.clone(),
            None => match self.metadata().await? {
                Some(metadata) => {
                    RevocationMethod::of_issuer(&metadata, self.client.auth.is_tls())?
                }
                None => {
                    let what = "the grant has no logout or revocation endpoint";
                    return Err(TokenError::unsupported(what));
                }
            },
        };
        let form = self.client.form()?;
        let Some((uri, form)) = revocation.request(form, access_token, refresh_token)? else {
            return Ok(());
        };
        let (_, server) = self.server().await?;
        let form = self.client.authenticate(form, &server).await?;
        let read = |response: &EndpointResponse, request: &EndpointRequest<'_>, sent: &Sent<'_>| {
            revocation::read(response, request, sent, self.client.hint())
        };
        self.post(uri, revocation.endpoint_name(), form, read).await
    }

    /// Posts a complete form to an endpoint of the server and reads the response.
    pub(in crate::grant) async fn post<R>(
        &self,
        uri: &Uri,
        endpoint_name: &'static str,
        form: Form<'_>,
        read: impl FnOnce(&EndpointResponse, &EndpointRequest<'_>, &Sent<'_>) -> Result<R, TokenError>,
    ) -> Result<R, TokenError> {
        let sent = form.sent();
        let request = EndpointRequest {
            uri,
            endpoint_name,
            authorization: form.authorization(),
            body: Some(form.to_bytes()),
            secrets: &sent.secrets,
        };
        let response = send_request(self.transport(), &request, self.limits).await?;
        read(&response, &request, &sent)
    }

    /// Returns the URL of the token endpoint, and the audience of an assertion that
    /// authenticates the client: the issuer if it is known
    /// (draft-ietf-oauth-rfc7523bis), otherwise the token endpoint as the user wrote
    /// it.
    async fn server(&self) -> Result<(Uri, Arc<str>), TokenError> {
        let metadata = match &self.endpoint.0 {
            Location::Known { uri, written } => return Ok((uri.clone(), written.clone())),
            Location::Issuer(issuer) => {
                let metadata = issuer.metadata(|| self.transport(), self.limits);
                metadata.await?
            }
        };
        let alias = metadata.mtls_token.as_ref();
        let alias = alias.filter(|_| self.client.auth.is_tls());
        let uri = alias.unwrap_or(&metadata.token).clone();
        Ok((uri, metadata.issuer.clone()))
    }

    /// Returns the issuer's metadata, if the endpoint is an issuer.
    pub(super) async fn metadata(&self) -> Result<Option<Arc<Metadata>>, TokenError> {
        match &self.endpoint.0 {
            Location::Known { .. } => Ok(None),
            Location::Issuer(issuer) => {
                let metadata = issuer.metadata(|| self.transport(), self.limits);
                metadata.await.map(Some)
            }
        }
    }

    pub(in crate::grant) fn transport(&self) -> T {
        lock(&self.transport).clone()
    }
}

impl<T> fmt::Debug for TokenEndpoint<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpoint")
            .field("endpoint", &self.endpoint)
            .field("client", &self.client)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
