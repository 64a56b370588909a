//! A token endpoint (RFC 6749, section 3.2): who asks there, and how.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::Uri;

use crate::error::{ConfigError, TokenError, TokenErrorKind};
use crate::grant::client::Client;
use crate::grant::endpoint::endpoint::{Endpoint, Location};
use crate::grant::endpoint::metadata::Metadata;
use crate::grant::endpoint::revocation::{self, RevocationMethod};
use crate::grant::params::Form;
use crate::grant::response::token;
use crate::token::{AccessToken, RefreshToken, TokenResponse};
use crate::transport::{
    DefaultTransport, EndpointRequest, EndpointResponse, Limits, Transport, send_request,
};

/// An endpoint, who asks there, and how.
pub(in crate::grant) struct TokenEndpoint<T> {
    place: Endpoint,
    pub(in crate::grant) client: Client,
    limits: Limits,
    pub(in crate::grant) revocation: Option<RevocationMethod>,
    /// In a mutex, for a service need not be `Sync`. Held for a clone only.
    transport: Mutex<T>,
}

impl TokenEndpoint<DefaultTransport> {
    pub(in crate::grant) fn new(place: Endpoint, client: Client) -> Self {
        Self {
            place,
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
            place: self.place,
            client: self.client,
            limits: self.limits,
            revocation: self.revocation,
            transport: Mutex::new(transport),
        }
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
    /// Of the address and the client.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.place, &self.client).hash(hasher);
    }
}

impl<T: Transport> TokenEndpoint<T> {
    /// Asks for a token with this form. `finish` adds what comes after the
    /// proof of the client, `accepts_token_type` judges the answer's `issued_token_type`.
    pub(in crate::grant) async fn ask<'a>(
        &'a self,
        form: Form<'a>,
        finish: impl FnOnce(Form<'a>) -> Form<'a> + Send,
        accepts_token_type: impl Fn(Option<&str>) -> bool + Send,
    ) -> Result<TokenResponse, TokenError> {
        let uri = self.token_uri().await?;
        let form = finish(self.client.authenticate(form, &uri).await?);
        let read = |answer: &EndpointResponse, request: &EndpointRequest<'_>| {
            let echoes = |text: &str| request.echoes(text);
            token::read(answer, echoes, accepts_token_type, SystemTime::now())
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
            Some(revocation) => Some(revocation.clone()),
            None => self.metadata().await?.and_then(|known| {
                let by_certificate = self.client.auth.is_tls();
                RevocationMethod::known(&known, by_certificate)
            }),
        };
        let Some(revocation) = revocation else {
            let what = "the grant has no logout or revocation endpoint";
            return Err(TokenError::new(TokenErrorKind::Config, what));
        };
        let form = self.client.form()?;
        let Some((uri, form)) = revocation.request(form, access_token, refresh_token)? else {
            return Ok(());
        };
        // An assertion is for the server, which the token endpoint stands for.
        let form = self
            .client
            .authenticate(form, &self.token_uri().await?)
            .await?;
        self.post(uri, revocation.endpoint_name(), form, revocation::read)
            .await
    }

    /// Posts a whole form to an endpoint of the same server and reads the
    /// answer.
    pub(in crate::grant) async fn post<R>(
        &self,
        uri: &Uri,
        endpoint_name: &'static str,
        form: Form<'_>,
        read: impl FnOnce(&EndpointResponse, &EndpointRequest<'_>) -> Result<R, TokenError>,
    ) -> Result<R, TokenError> {
        let request = EndpointRequest {
            uri,
            endpoint_name,
            authorization: form.authorization(),
            body: Some(form.to_bytes()),
            secrets: &form.secrets(),
        };
        let answer = send_request(self.transport(), &request, self.limits).await?;
        read(&answer, &request)
    }

    /// Where tokens are, and who a client's assertion is for.
    pub(in crate::grant) async fn token_uri(&self) -> Result<Uri, TokenError> {
        if let Location::Known(uri) = &self.place.0 {
            return Ok(uri.clone());
        }
        let metadata = self.metadata().await?;
        Ok(metadata.map_or_else(Uri::default, |known| {
            let by_certificate = known.mtls_token.as_ref();
            let by_certificate = by_certificate.filter(|_| self.client.auth.is_tls());
            by_certificate.unwrap_or(&known.token).clone()
        }))
    }

    /// What the issuer says of itself, if an issuer was named.
    pub(super) async fn metadata(&self) -> Result<Option<Arc<Metadata>>, TokenError> {
        match &self.place.0 {
            Location::Known(_) => Ok(None),
            Location::Issuer(issuer) => {
                let metadata = issuer.metadata(|| self.transport(), self.limits);
                metadata.await.map(Some)
            }
        }
    }

    fn transport(&self) -> T {
        let transport = self.transport.lock();
        transport.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<T> fmt::Debug for TokenEndpoint<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpoint")
            .field("at", &self.place)
            .field("client", &self.client)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
