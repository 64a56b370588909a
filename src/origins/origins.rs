//! The origins of a layer.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use http::uri::Authority;
#[cfg(feature = "reqwest")]
use url::Url;

use super::origin::{FIELD, Origin, OriginId, OriginUrl, port, same_host};
use crate::error::ConfigError;

/// The hosts of voipex.io that accept the token, according to its documentation.
const VOIPEX: [&str; 3] = [
    "https://ipbxapi.voipex.io",
    "https://ipbxapiv2.voipex.io",
    "https://sms-api.voipex.io",
];

/// The origins that a token may be sent to: scheme, host and port (RFC 6454,
/// section 4). A request to any other origin is sent without a token.
///
/// ```
/// use tower_bearer::Origins;
///
/// let origins = Origins::only(["https://api.example.com", "http://localhost:8080"])?;
/// assert!(origins.permit(&"https://API.example.com:443/v1/calls".parse()?));
/// assert!(!origins.permit(&"https://example.com/".parse()?));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Origins {
    allowed: Allowed,
    /// The origin of requests whose URI has only a path.
    relative: Option<OriginId>,
}

#[derive(Clone)]
enum Allowed {
    Only(Arc<[Origin]>),
    AnyHttps,
}

impl Origins {
    /// Permits only these origins, each written as `https://host` or
    /// `https://host:port`. Plain `http` is accepted for loopback (`localhost`,
    /// 127.0.0.0/8, `[::1]`), and elsewhere for an origin that is marked by
    /// [`allow_plain_http`](crate::allow_plain_http).
    ///
    /// # Errors
    ///
    /// Fails if the list is empty, or if an origin has no scheme, another scheme,
    /// plain `http` off loopback, a user name, a path, a query, a fragment, or a
    /// host that no request can have: a wildcard, a placeholder, `a..example`.
    pub fn only<I>(origins: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator,
        I::Item: OriginUrl,
    {
        let origins = origins
            .into_iter()
            .map(Origin::parse)
            .collect::<Result<Arc<[_]>, _>>()?;
        if origins.is_empty() {
            return Err(ConfigError::new(
                FIELD,
                "is empty: name at least one origin, like `https://api.example.com`",
            ));
        }
        Ok(Self::new(Allowed::Only(origins)))
    }

    /// Permits the hosts that VoIPex documents for its tokens:
    /// `https://ipbxapi.voipex.io` and `https://ipbxapiv2.voipex.io` (PBX and call
    /// centre) and `https://sms-api.voipex.io`. Add others with [`and`](Self::and).
    pub fn voipex() -> Self {
        match Self::only(VOIPEX) {
            Ok(origins) => origins,
            Err(error) => unreachable!("the documented origins are valid: {error}"),
        }
    }

    /// Permits these origins as well, written as for [`only`](Self::only).
    ///
    /// ```
    /// use tower_bearer::{Origins, allow_plain_http};
    ///
    /// let origins = Origins::voipex()
    ///     .and(["https://restapi.ipex.cz"])?
    ///     .and([allow_plain_http("http://calls:8080")])?;
    /// assert!(origins.permit(&"https://restapi.ipex.cz/v1/sms".parse()?));
    /// assert!(origins.permit(&"https://sms-api.voipex.io/SMS".parse()?));
    /// assert!(origins.permit(&"http://calls:8080/v1".parse()?));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails as [`only`](Self::only) does, and if every https host is permitted
    /// already ([`any_https`](Self::any_https)).
    pub fn and<I>(self, origins: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator,
        I::Item: OriginUrl,
    {
        let Allowed::Only(mine) = &self.allowed else {
            let reason = "cannot be added to `any_https`: name all of them with `only`";
            return Err(ConfigError::new(FIELD, reason));
        };
        let Allowed::Only(others) = Self::only(origins)?.allowed else {
            return Ok(self);
        };
        let all = mine.iter().chain(others.iter()).cloned();
        Ok(Self {
            allowed: Allowed::Only(all.collect()),
            relative: self.relative,
        })
    }

    /// Permits every host if the request is https. Use this only in programs whose
    /// requests all go to servers that may see the token: a redirect, or a URL from
    /// a user, gets the token as well.
    pub fn any_https() -> Self {
        Self::new(Allowed::AnyHttps)
    }

    fn new(allowed: Allowed) -> Self {
        Self {
            allowed,
            relative: None,
        }
    }

    /// Sets which of these origins receives the requests whose URI has neither
    /// scheme nor host. Use it for a client that is bound to one server, such as a
    /// tonic `Channel`, whose generated clients send only the path. Without it such
    /// a request fails, because its destination is unknown.
    ///
    /// The client below the layer must send to that server and to no other.
    ///
    /// ```
    /// use tower_bearer::Origins;
    ///
    /// let origins = Origins::only(["https://grpc.example.com"])?
    ///     .for_relative_uris("https://grpc.example.com")?;
    /// assert!(origins.permit(&"/grpc.health.v1.Health/Check".parse()?));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if it is not an origin as for [`only`](Self::only), or not one of
    /// these.
    pub fn for_relative_uris(mut self, origin: impl OriginUrl) -> Result<Self, ConfigError> {
        let Origin {
            https, host, port, ..
        } = Origin::parse(origin)?;
        self.relative = self.find(https, &host, port);
        match self.relative {
            Some(_) => Ok(self),
            None => Err(ConfigError::new(
                FIELD,
                "the origin for relative URIs is not among them: name it there too",
            )),
        }
    }

    /// Returns whether a request to this URI may carry the token.
    pub fn permit(&self, uri: &Uri) -> bool {
        self.origin_of(uri).is_some()
    }

    /// Returns the origin of a URI, if a token may go there.
    #[inline(always)]
    pub(crate) fn origin_of(&self, uri: &Uri) -> Option<OriginId> {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return self.origin_of_relative(uri);
        };
        // Nearly every request spells its origin as here, and most caches have only
        // one.
        if let Allowed::Only(origins) = &self.allowed
            && let Some(first) = origins.first()
            && first.is_spelled(scheme, authority)
        {
            return Some(first.id);
        }
        self.origin_of_another(scheme, authority)
    }

    #[inline(never)]
    fn origin_of_another(&self, scheme: &str, authority: &Authority) -> Option<OriginId> {
        if let Allowed::Only(origins) = &self.allowed {
            let mut spelled = origins.iter().skip(1);
            if let Some(origin) = spelled.find(|it| it.is_spelled(scheme, authority)) {
                return Some(origin.id);
            }
        }
        self.origin_otherwise_spelled(scheme, authority)
    }

    #[cold]
    #[inline(never)]
    fn origin_of_relative(&self, uri: &Uri) -> Option<OriginId> {
        let is_relative = uri.scheme().is_none() && uri.authority().is_none();
        self.relative.filter(|_| is_relative)
    }

    #[cold]
    fn origin_otherwise_spelled(&self, scheme: &str, authority: &Authority) -> Option<OriginId> {
        let (https, default_port) = match scheme {
            "https" => (true, 443),
            "http" => (false, 80),
            _ => return None,
        };
        let port = port(authority, default_port)?;
        self.find(https, authority.host(), port)
    }

    #[cfg(feature = "reqwest")]
    pub(crate) fn origin_of_url(&self, url: &Url) -> Option<OriginId> {
        match (url.scheme(), url.host_str(), url.port_or_known_default()) {
            (scheme @ ("https" | "http"), Some(host), Some(port)) => {
                self.find(scheme == "https", host, port)
            }
            _ => None,
        }
    }

    fn find(&self, https: bool, host: &str, port: u16) -> Option<OriginId> {
        match &self.allowed {
            Allowed::AnyHttps => https.then(|| OriginId::of(https, host, port)),
            Allowed::Only(origins) => origins
                .iter()
                .find(|o| o.https == https && o.port == port && same_host(&o.host, host))
                .map(|origin| origin.id),
        }
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.allowed {
            Allowed::AnyHttps => f.write_str("Origins(any https)"),
            Allowed::Only(origins) => {
                f.write_str("Origins")?;
                f.debug_list().entries(origins.iter()).finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(origin: &str, uri: &str) -> bool {
        let origins = Origins::only([origin]).expect(origin);
        origins.permit(&uri.parse().expect(uri))
    }

    #[test]
    fn other_spellings_of_an_origin_are_the_same_origin() {
        for (origin, uri) in [
            ("https://api.example.com", "https://api.example.com/v1"),
            ("https://api.example.com", "https://API.Example.COM:443/v1"),
            ("https://api.example.com:443", "HTTPS://api.example.com"),
            ("https://API.example.com/", "https://api.example.com"),
            ("https://bücher.example", "https://xn--bcher-kva.example/"),
            ("https://BÜCHER.example", "https://XN--BCHER-KVA.example/"),
            ("https://[2001:db8::1]", "https://[2001:DB8:0:0::1]/"),
            ("http://localhost:80", "http://localhost/"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("http://127.1:8080", "http://127.1:8080/"),
            ("http://127.1:8080", "http://127.0.0.1:8080/"),
            ("http://127.0.0.1", "http://0x7f.0.0.1/"),
            ("http://[::1]:8080", "http://[0:0::1]:8080/"),
            ("https://a.example", "https://user:password@a.example/"),
            ("https://a.example", "https://a.example:/"),
            ("https://8.example:8", "https://8.example:0008/"),
        ] {
            assert!(permit(origin, uri), "{origin} {uri}");
        }
    }

    #[test]
    fn another_scheme_host_or_port_is_elsewhere() {
        for (origin, uri) in [
            ("https://api.example.com", "http://api.example.com/"),
            ("https://api.example.com", "https://api.example.com:444/"),
            ("https://api.example.com", "https://example.com/"),
            (
                "https://api.example.com",
                "https://api.example.com.evil.test/",
            ),
            (
                "https://api.example.com",
                "https://evil.test/api.example.com",
            ),
            (
                "https://api.example.com",
                "https://api.example.com@evil.test/",
            ),
            ("https://api.example.com", "https://api.example.com.:443/"),
            ("https://api.example.com", "ftp://api.example.com:443/"),
            ("http://localhost:80", "https://localhost:80/"),
            ("http://127.0.0.1", "http://127.0.0.2/"),
            ("http://127.0.0.1", "http://127.2/"),
            ("http://127.0.0.1", "http://127.0.0.1.evil.test/"),
            // Not valid ports, though `http` parses them.
            ("https://api.example.com", "https://api.example.com:65979/"),
            ("https://api.example.com", "https://api.example.com:+443/"),
        ] {
            assert!(!permit(origin, uri), "{origin} {uri}");
        }
    }

    #[test]
    fn a_uri_without_scheme_or_host_is_not_permitted() {
        for uri in ["/v1/calls", "*", "api.example.com:443"] {
            assert!(!permit("https://api.example.com", uri), "{uri}");
            assert!(!Origins::any_https().permit(&uri.parse().expect(uri)));
        }
    }

    #[test]
    fn a_relative_uri_goes_to_the_one_server_that_was_named_for_it() {
        let only = || Origins::only(["https://a.example", "http://localhost:80"]).expect("two");
        let uri = |text: &str| -> Uri { text.parse().expect(text) };
        let bound = only()
            .for_relative_uris("https://A.example:443")
            .expect("a");
        assert_eq!(
            bound.origin_of(&uri("/v1")),
            bound.origin_of(&uri("https://a.example/"))
        );
        assert!(bound.permit(&uri("*")));
        assert!(!bound.permit(&uri("a.example:443")), "a host and no path");
        assert!(!bound.permit(&uri("https://b.example/v1")));
        let any = Origins::any_https().for_relative_uris("https://b.example");
        assert!(any.expect("https").permit(&uri("/v1")));
        for (origin, reason) in [
            ("https://b.example", "not among them"),
            ("https://a.example:8443", "not among them"),
            ("a.example", "no scheme"),
            ("https://a.example/v1", "a path"),
            ("http://a.example", "plain http"),
        ] {
            let error = only()
                .for_relative_uris(origin)
                .expect_err(origin)
                .to_string();
            assert!(error.contains(reason), "{origin}: {error}");
        }
        let any = Origins::any_https().for_relative_uris("http://localhost");
        assert!(any.is_err(), "never plain http");
    }

    #[test]
    fn any_https_is_never_plain_http() {
        let any = Origins::any_https();
        assert!(any.permit(&"https://anything.test:8443/".parse().expect("uri")));
        assert!(!any.permit(&"http://localhost/".parse().expect("uri")));
        assert!(!any.permit(&"https://anything.test:65979/".parse().expect("uri")));
    }

    #[test]
    fn origins_can_be_added_and_the_first_ones_stay() {
        let (api, files) = ("https://api.example.com", "https://files.example.com");
        let only = Origins::only([api]).expect(api);
        let both = only.clone().and([files]).expect(files);
        let permit = |origins: &Origins, uri: &str| origins.permit(&uri.parse().expect(uri));
        assert!(permit(&both, api) && permit(&both, files) && !permit(&only, files));
        assert!(both.clone().and([] as [&str; 0]).is_err());
        assert!(both.and(["https://*"]).is_err());
    }

    #[test]
    fn plain_http_off_loopback_is_permitted_only_where_it_is_spelled_out() {
        let plain = |url: &str| Origins::only([crate::allow_plain_http(url)]);
        let origins = plain("http://calls:8080").expect("allowed");
        for (uri, permitted) in [
            ("http://calls:8080/v1", true),
            ("http://CALLS:8080/v1", true),
            ("http://calls/v1", false),
            ("https://calls:8080/v1", false),
            ("http://other:8080/v1", false),
        ] {
            assert_eq!(origins.permit(&uri.parse().expect(uri)), permitted, "{uri}");
        }
        assert!(plain("http://*.mesh").is_err() && plain("ftp://calls").is_err());
        assert!(plain("http://me:hunter2@calls").is_err());
        let error = Origins::only(["http://calls:8080"]).expect_err("not allowed");
        assert!(error.to_string().contains("allow_plain_http"), "{error}");
    }

    #[test]
    fn a_token_of_voipex_goes_to_its_documented_hosts_and_to_those_that_are_added() {
        let voipex = Origins::voipex();
        let permits = |origins: &Origins, uri: &str| origins.permit(&uri.parse().expect(uri));
        for uri in [
            "https://ipbxapi.voipex.io/calls",
            "https://ipbxapiv2.voipex.io/calls",
            "https://sms-api.voipex.io/SMS",
        ] {
            assert!(permits(&voipex, uri), "{uri}");
        }
        for uri in [
            "http://ipbxapi.voipex.io/calls",
            "https://auth.voipex.io/token",
            "https://voipex.io/",
            "https://restapi.ipex.cz/v1/sms",
        ] {
            assert!(!permits(&voipex, uri), "{uri}");
        }
        let more = voipex.clone().and(["https://restapi.ipex.cz"]);
        let more = more.expect("an origin");
        assert!(permits(&more, "https://restapi.ipex.cz/v1/sms"));
        assert!(permits(&more, "https://ipbxapi.voipex.io/calls"));
        for (origins, added) in [
            (voipex.clone(), vec!["http://restapi.ipex.cz"]),
            (voipex.clone(), vec!["https://*.ipex.cz"]),
            (voipex, vec![]),
            (Origins::any_https(), vec!["https://restapi.ipex.cz"]),
        ] {
            let error = origins.and(&added).expect_err("refused");
            assert_eq!(error.field(), "origins", "{added:?}");
        }
    }

    #[test]
    fn hosts_that_match_nothing_are_refused() {
        for (origin, reason) in [
            ("https://*.example.com", "a wildcard"),
            ("https://*", "a wildcard"),
            ("https://$HOST", "a placeholder"),
            ("https://api.${ZONE}", "a placeholder"),
            ("https://{host}", "a placeholder"),
            ("https://.example.com", "an empty part"),
            ("https://api..example.com", "an empty part"),
            ("https://api.example.com..", "an empty part"),
        ] {
            let error = Origins::only([origin]).expect_err(origin).to_string();
            assert!(error.contains(reason), "{origin}: {error}");
        }
        for origin in [
            "https://api.example.com.",
            "https://a_b.example",
            "https://bücher.example",
        ] {
            assert!(Origins::only([origin]).is_ok(), "{origin}");
        }
    }

    #[test]
    fn bad_origins_are_refused_with_the_reason() {
        for (origin, reason) in [
            ("api.example.com", "no scheme"),
            ("", "no scheme"),
            ("//api.example.com", "no scheme"),
            ("https:api.example.com", "no scheme"),
            ("https://api.example.com/v1", "a path"),
            ("https://api.example.com?x=1", "a query"),
            ("https://api.example.com#x", "a query or a fragment"),
            ("https://me:hunter2@api.example.com", "user name"),
            ("https://me@api.example.com", "user name"),
            ("me:hunter2@api.example.com", "user name"),
            ("https:me:hunter2@api.example.com", "user name"),
            ("me:hunter2@https://api.example.com", "user name"),
            ("http://api.example.com", "plain http"),
            ("http://localhost.evil.test", "plain http"),
            ("ftp://api.example.com", "scheme other"),
            ("https://", "not an origin"),
            ("https://a b", "a space"),
            ("https://a\\b", "backslash"),
            ("https://a:99999", "not an origin"),
            ("https://a:0", "port 0"),
        ] {
            let error = Origins::only([origin]).expect_err(origin).to_string();
            assert!(error.contains(reason), "{origin}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(Origins::only([] as [&str; 0]).is_err());
    }
}
