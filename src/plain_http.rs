//! Where plain http is accepted: on loopback, and where a program marks a URL.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use url::{Host, Url};

/// Accepts a URL whose scheme is plain `http` and whose host is not loopback,
/// wherever this crate takes the URL of an endpoint, an issuer, or an origin.
///
/// Passwords and tokens then cross the network unencrypted. Use it only if something
/// else encrypts them or the network is private: a service mesh, the network of a
/// compose file. Each endpoint and each origin is marked separately, so none becomes
/// plain by accident; an `https` URL is not affected.
///
/// ```
/// # fn set_up() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer::grant::{ClientCredentialsGrant, Endpoint};
/// use tower_bearer::{Origins, allow_plain_http};
///
/// let endpoint = allow_plain_http("http://keycloak:8080/realms/calls/token");
/// let grant = ClientCredentialsGrant::new(endpoint, "billing")?.client_secret("s3cret");
///
/// let issuer = Endpoint::issuer(allow_plain_http("http://keycloak:8080/realms/calls"))?;
/// let grant = ClientCredentialsGrant::new(issuer, "billing")?.client_secret("s3cret");
///
/// let origins = Origins::only(["https://api.example.com"])?
///     .and([allow_plain_http("http://calls:8080")])?;
/// # let _ = (grant, origins); Ok(()) }
/// # set_up().unwrap();
/// ```
///
/// The metadata of an issuer marked this way may name endpoints in plain http on the
/// issuer's own origin, and on no other.
#[must_use]
pub fn allow_plain_http(url: impl Into<String>) -> PlainHttp {
    PlainHttp(url.into())
}

/// URL that may be plain http, made by [`allow_plain_http`].
#[derive(Clone)]
pub struct PlainHttp(String);

impl PlainHttp {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Does not show the URL, which may hold a key.
impl fmt::Debug for PlainHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainHttp").finish_non_exhaustive()
    }
}

/// Returns whether the host is `localhost` or a loopback address.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_localhost(name),
        Some(Host::Ipv4(address)) => is_loopback_address(address.into()),
        Some(Host::Ipv6(address)) => is_loopback_address(address.into()),
        None => false,
    }
}

/// Compares without the dot of the root of all names.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
}

/// Reads an IPv4-mapped address (`::ffff:127.0.0.1`) as the IPv4 address that it is.
fn is_loopback_address(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Returns whether a request to this URI needs no TLS.
#[cfg_attr(not(feature = "reqwest"), allow(dead_code))]
pub(crate) fn is_plain(uri: &Uri) -> bool {
    uri.scheme_str() == Some("http")
}

/// Returns whether a request to this URI stays on this machine.
#[cfg_attr(not(feature = "reqwest"), allow(dead_code))]
pub(crate) fn stays_here(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    is_localhost(host) || address.parse().is_ok_and(is_loopback_address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_localhost_and_the_addresses_of_rfc_1122_and_4291() {
        for (url, here) in [
            ("http://localhost:8080/t", true),
            ("http://LOCALHOST/", true),
            ("http://127.0.0.1/", true),
            ("http://127.9.8.7:1/", true),
            ("http://[::1]:80/", true),
            ("http://localhost./", true),
            ("http://LocalHost.:8080/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://[::ffff:7f00:1]/", true),
            ("http://128.0.0.1/", false),
            ("http://0.0.0.0/", false),
            ("http://[::2]/", false),
            ("http://[::ffff:128.0.0.1]/", false),
            ("http://[::127.0.0.1]/", false),
            ("http://localhost../", false),
            ("http://x.localhost/", false),
            ("http://localhost.evil.test/", false),
            ("http://127.0.0.1.evil.test/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).expect(url)), here, "{url}");
            assert_eq!(stays_here(&url.parse().expect(url)), here, "{url}");
        }
    }
}
