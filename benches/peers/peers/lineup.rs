//! Who takes part, and by which rules each has to be measured.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Bare,
    Constant,
    Wrapper,
    TowerBearer,
    Gears,
    AzureBare,
    Azure,
    Google,
    Middle,
    ReqwestBare,
    ReqwestAuth,
    Aws,
    Moka,
    Mutex,
    RwLock,
    OnceCell,
}

use Peer::*;

pub(crate) const ALL: [Peer; 16] = [
    Bare,
    Constant,
    Wrapper,
    TowerBearer,
    Gears,
    AzureBare,
    Azure,
    Google,
    Middle,
    ReqwestBare,
    ReqwestAuth,
    Aws,
    Moka,
    Mutex,
    RwLock,
    OnceCell,
];

/// Those that fetch tokens.
pub(crate) fn live() -> impl Iterator<Item = Peer> {
    let without = [Bare, Constant, Wrapper, AzureBare, ReqwestBare];
    ALL.into_iter().filter(move |peer| !without.contains(peer))
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Bare => "no layer",
            Constant => "tower-http, constant header",
            Wrapper => "the wrapper alone, constant header",
            TowerBearer => "tower-bearer",
            Gears => "cf-gears-toolkit-auth",
            AzureBare => "azure_core pipeline without it",
            Azure => "azure_core bearer policy",
            Google => "google-cloud-auth",
            Middle => "middle",
            ReqwestBare => "reqwest-middleware without it",
            ReqwestAuth => "reqwest-auth, tokens of gcloud-auth",
            Aws => "aws-smithy-runtime lazy cache",
            Moka => "moka try_get_with",
            Mutex => "tokio Mutex by hand",
            RwLock => "tokio RwLock by hand",
            OnceCell => "tokio OnceCell",
        }
    }

    /// How it is put on a request.
    pub(crate) fn wrapping(self) -> &'static str {
        match self {
            Bare | AzureBare | ReqwestBare => "",
            Constant | TowerBearer | Gears => "its own layer",
            Azure => "its own pipeline, over that pipeline",
            ReqwestAuth => "reqwest-middleware, over that stack",
            Middle => "`authorization_header()` in tower's `filter_async`",
            Google => "`headers()` in tower's `filter_async`",
            Aws => "`format!` in tower's `filter_async`",
            Mutex | RwLock => "`format!` in tower's `filter_async`",
            Wrapper | Moka | OnceCell => "header value in tower's `filter_async`",
        }
    }

    /// The stack over which its cost counts.
    pub(crate) fn base(self) -> Self {
        match self {
            Azure | AzureBare => AzureBare,
            ReqwestAuth | ReqwestBare => ReqwestBare,
            _ => Bare,
        }
    }

    /// A lifetime that makes it renew several seconds from the start, by its
    /// own rules.
    pub(crate) fn rotating_lifetime(self) -> Duration {
        Duration::from_secs(match self {
            // Renews when less than 5 minutes are left.
            Azure => 305,
            // Renews when 4 minutes are left; under that, every 10 s.
            Google => 246,
            // Renews 30 s early.
            Middle => 36,
            // Gives up a token 10 s early.
            ReqwestAuth => 16,
            // Gives up a token 10 s early, give or take 5 s.
            Aws => 14,
            TowerBearer | Gears => 8,
            _ => 6,
        })
    }

    /// How many callers can find it without a live token.
    pub(crate) fn cold(self) -> Cold {
        match self {
            Middle => Cold::Never,
            ReqwestAuth => Cold::Expired,
            _ => Cold::New,
        }
    }
}

/// How a herd of callers finds a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cold {
    /// Just built, before its first token.
    New,
    /// It fetches a token when it is built, and that one has expired.
    Expired,
    /// The same, but it sends an expired token, so no caller ever waits for one.
    Never,
}
