//! Tokens: what a source returns and what a request carries.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::HeaderValue;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::error::{TokenError, TokenErrorKind};

const SCHEME: &str = "Bearer ";

/// An access token (RFC 6749, section 1.4), ready to be sent.
///
/// Cheap to clone. Its bytes are absent from `Debug`, and wiped when the last
/// clone of the token and of its header value is dropped.
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::AccessToken;
///
/// let token = AccessToken::new("eyJhbGciOi")?.with_lifetime(Duration::from_secs(300));
/// assert_eq!(token.header(), "Bearer eyJhbGciOi");
/// # Ok::<_, tower_bearer::TokenError>(())
/// ```
#[derive(Clone)]
pub struct AccessToken {
    header: HeaderValue,
    lifetime: Option<Duration>,
    generation: u64,
    expires_at: Option<SystemTime>,
    lifetime_set_at: Option<(Instant, SystemTime)>,
}

impl AccessToken {
    /// Creates a token from its string, without a lifetime.
    ///
    /// # Errors
    ///
    /// Fails with [`TokenErrorKind::InvalidResponse`] if the string is empty or
    /// has a character that no access token has: printable ASCII without the space
    /// is allowed (RFC 6749, appendix A.12).
    pub fn new(token: impl AsRef<str>) -> Result<Self, TokenError> {
        let token = token.as_ref();
        if !is_access_token(token) {
            let what = if token.is_empty() {
                "the access token is empty"
            } else {
                "the access token has a space, a control character or one that is not ASCII"
            };
            return Err(TokenError::new(TokenErrorKind::InvalidResponse, what));
        }
        let bytes = Zeroizing::new([SCHEME, token].concat().into_bytes().into_boxed_slice());
        let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(bytes)).map_err(|e| {
            TokenError::new(
                TokenErrorKind::InvalidResponse,
                "the access token cannot be a header value",
            )
            .with_source(e)
        })?;
        header.set_sensitive(true);
        Ok(Self {
            header,
            lifetime: None,
            generation: 0,
            expires_at: None,
            lifetime_set_at: None,
        })
    }

    /// Sets how long the token is valid, counted from when its request was sent, or
    /// from now for a fixed token that is its own [source](crate::TokenSource).
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self.lifetime_set_at = Some((Instant::now(), SystemTime::now()));
        self
    }

    /// Returns the token with the rest of the lifetime that was set.
    ///
    /// # Errors
    ///
    /// Fails with [`TokenErrorKind::Expired`] if nothing of it is left.
    pub(crate) fn aged(&self) -> Result<Self, TokenError> {
        let (Some(lifetime), Some((monotonic, wall))) = (self.lifetime, self.lifetime_set_at)
        else {
            return Ok(self.clone());
        };
        // The longer of the two: a machine may have been suspended.
        let age = monotonic.elapsed().max(wall.elapsed().unwrap_or_default());
        match lifetime.checked_sub(age) {
            Some(left) if !left.is_zero() => Ok(Self {
                lifetime: Some(left),
                ..self.clone()
            }),
            _ => {
                let what = "the fixed token has expired";
                Err(TokenError::new(TokenErrorKind::Expired, what))
            }
        }
    }

    /// Returns a copy of the header value that shares no memory with it.
    pub(crate) fn copied_header(&self) -> HeaderValue {
        let bytes = Zeroizing::new(Box::<[u8]>::from(self.header.as_bytes()));
        HeaderValue::from_maybe_shared(Bytes::from_owner(bytes)).map_or_else(
            |_| self.header.clone(),
            |mut header| {
                header.set_sensitive(true);
                header
            },
        )
    }

    /// Returns the token with the generation and the expiry that a cache gives it;
    /// `age` is how old it was at `requested_at`.
    pub(crate) fn cached(
        mut self,
        generation: u64,
        requested_at: SystemTime,
        age: Duration,
    ) -> Self {
        self.generation = generation;
        self.expires_at = self
            .lifetime
            .and_then(|lifetime| requested_at.checked_add(lifetime.saturating_sub(age)));
        self
    }

    /// Returns the value of the `Authorization` header that carries this token
    /// (RFC 6750, section 2.1), marked sensitive.
    pub fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// Returns the token itself, for protocols that do not carry it in the
    /// `Authorization` header.
    pub fn secret(&self) -> &str {
        self.header
            .to_str()
            .ok()
            .and_then(|value| value.strip_prefix(SCHEME))
            .unwrap_or_default()
    }

    /// Returns how long the token is valid (`expires_in`), or `None` if the issuer
    /// did not say.
    pub fn lifetime(&self) -> Option<Duration> {
        self.lifetime
    }

    /// Returns when the token expires according to its issuer, by the wall clock.
    /// `None` if the issuer did not say, and for a token that is in no cache.
    ///
    /// The [cache](crate::TokenCache) stops sending it earlier, by its
    /// [expiry margin](crate::TokenCacheBuilder::expiry_margin).
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// Returns the token's number in its [`TokenCache`](crate::TokenCache): 1 for
    /// the first token, one more for each new one, and 0 for a token that is in no
    /// cache.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("lifetime", &self.lifetime)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// A refresh token (RFC 6749, section 1.5).
///
/// Cheap to clone. Absent from `Debug`, wiped when the last clone is dropped.
#[derive(Clone)]
pub struct RefreshToken {
    secret: Arc<Zeroizing<String>>,
    lifetime: Option<Duration>,
}

impl RefreshToken {
    /// Creates a refresh token from its string, without a lifetime.
    ///
    /// # Errors
    ///
    /// Fails with [`TokenErrorKind::InvalidResponse`] if the string is empty or
    /// has a character that is not printable ASCII (RFC 6749, appendix A.17).
    pub fn new(token: impl Into<String>) -> Result<Self, TokenError> {
        Self::of(Zeroizing::new(token.into()))
    }

    pub(crate) fn of(secret: Zeroizing<String>) -> Result<Self, TokenError> {
        if secret.is_empty() || !secret.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
            return Err(TokenError::new(
                TokenErrorKind::InvalidResponse,
                "the refresh token is empty or has a character that is not printable ASCII",
            ));
        }
        Ok(Self {
            secret: Arc::new(secret),
            lifetime: None,
        })
    }

    /// Sets how long the token is valid, counted from when its request was sent.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Returns the token itself.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Returns how long the token is valid (Keycloak's `refresh_expires_in`), or
    /// `None` if it has no fixed end.
    pub fn lifetime(&self) -> Option<Duration> {
        self.lifetime
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshToken")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// Successful response of a token endpoint (RFC 6749, section 5.1), returned by a
/// [`TokenSource`](crate::TokenSource).
///
/// ```
/// use tower_bearer::{AccessToken, RefreshToken, TokenResponse};
///
/// let response = TokenResponse::new(AccessToken::new("t0ken")?)
///     .with_refresh_token(RefreshToken::new("r3fresh")?);
/// assert!(response.refresh_token().is_some());
/// # Ok::<_, tower_bearer::TokenError>(())
/// ```
#[derive(Clone)]
pub struct TokenResponse {
    access_token: AccessToken,
    refresh_token: Option<RefreshToken>,
    members: Option<Arc<ResponseMembers>>,
    has_unreadable_lifetime: bool,
}

/// The members of a response, by name. A value is wiped when dropped.
pub(crate) type ResponseMembers = BTreeMap<String, Zeroizing<String>>;

impl TokenResponse {
    /// Creates a response without a refresh token.
    pub fn new(access_token: AccessToken) -> Self {
        Self {
            access_token,
            refresh_token: None,
            members: None,
            has_unreadable_lifetime: false,
        }
    }

    /// Adds the members of the token endpoint's response.
    pub(crate) fn with_members(mut self, members: ResponseMembers) -> Self {
        self.members = Some(Arc::new(members));
        self
    }

    /// Changes the access token's lifetime.
    pub(crate) fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.access_token = self.access_token.with_lifetime(lifetime);
        self
    }

    /// Marks a response whose `expires_in` cannot be read as a lifetime.
    pub(crate) fn with_unreadable_lifetime(mut self, is_unreadable: bool) -> Self {
        self.has_unreadable_lifetime = is_unreadable;
        self
    }

    pub(crate) fn has_unreadable_lifetime(&self) -> bool {
        self.has_unreadable_lifetime
    }

    /// Adds a refresh token.
    #[must_use]
    pub fn with_refresh_token(mut self, refresh_token: RefreshToken) -> Self {
        self.refresh_token = Some(refresh_token);
        self
    }

    /// Returns the access token.
    pub fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    /// Returns the refresh token, if there is one.
    pub fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    /// Returns another member of the token endpoint's response: `scope`, `id_token`,
    /// Salesforce's `instance_url`. A string is returned as it is, any other value
    /// as its JSON (`["a","b"]` for a `scope` that is an array).
    ///
    /// Returns `None` if the member is missing or `null`, if it occurs twice with
    /// different values, and for a response that no grant has read. The members are
    /// absent from `Debug`, and wiped when the last clone is dropped.
    ///
    /// ```
    /// # async fn example(grant: tower_bearer::PasswordGrant) -> Result<(), tower_bearer::TokenError> {
    /// # #[cfg(feature = "reqwest")] {
    /// use tower_bearer::TokenSource;
    ///
    /// let response = grant.fetch().await?;
    /// let instance = response.get("instance_url").unwrap_or("https://login.salesforce.com");
    /// # let _ = instance; }
    /// # Ok(()) }
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.members.as_ref()?.get(name)?;
        Some(value)
    }

    pub(crate) fn take_refresh_token(&mut self) -> Option<RefreshToken> {
        self.refresh_token.take()
    }

    pub(crate) fn into_parts(self) -> (AccessToken, Option<RefreshToken>) {
        (self.access_token, self.refresh_token)
    }
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenResponse")
            .field("access_token", &self.access_token)
            .field("refresh_token", &self.refresh_token)
            .finish_non_exhaustive()
    }
}

impl From<AccessToken> for TokenResponse {
    fn from(token: AccessToken) -> Self {
        Self::new(token)
    }
}

/// Returns whether a string is an access token (RFC 6749, appendix A.12). RFC 6750,
/// section 2.1, allows fewer characters in the header, but issuers use more.
fn is_access_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_token_is_opaque_and_what_a_header_cannot_carry_is_refused() {
        let all: String = ('!'..='~').collect();
        for good in [
            "a",
            "abc==",
            "eyJhbGciOi.J9",
            "00D50000000IZ3Z!AQ0AQDpEDKYsn7ioKug2aSmgCjgrPjG",
            "1|laravel_sanctum",
            "v^1.1#i^1#p^3#r^0#f^0",
            "Atza|IwEBI",
            "=",
            "\"a,b\"",
            &all,
        ] {
            let token = AccessToken::new(good).expect(good);
            assert_eq!(token.secret(), good);
            assert_eq!(
                token.header().as_bytes(),
                format!("Bearer {good}").as_bytes()
            );
        }
        for bad in [
            "", " ", "a b", " a", "a\n", "a\r\nb", "ü", "a\0", "a\t", "a\u{7f}",
        ] {
            let error = AccessToken::new(bad).expect_err(bad);
            assert_eq!(error.kind(), TokenErrorKind::InvalidResponse);
        }
    }

    #[test]
    fn header_is_sensitive_and_debug_is_silent() {
        let token = AccessToken::new("s3cret").expect("valid");
        assert!(token.header().is_sensitive());
        assert_eq!(token.header().as_bytes(), b"Bearer s3cret");
        assert_eq!(token.secret(), "s3cret");
        let refresh = RefreshToken::new("r3fresh").expect("valid");
        let shown = format!("{token:?} {refresh:?} {:?}", token.header());
        assert!(!shown.contains("s3cret") && !shown.contains("r3fresh"));
    }

    #[test]
    fn refresh_tokens_are_printable_ascii() {
        for bad in ["", "a\n", "ü"] {
            assert!(RefreshToken::new(bad).is_err(), "{bad:?}");
        }
    }
}
