//! The programs whose start is measured: each is a separate process.

use std::io::Write;
use std::path::PathBuf;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Builder;
use tower::{Layer, ServiceExt};
use tower_bearer::store::FileStore;
use tower_bearer::{AccessToken, BearerAuthLayer, Origins, PasswordGrant, TokenCache};
use tower_http::set_header::SetRequestHeaderLayer;

/// The variable that makes a process a program, and says which.
const VARIABLE: &str = "TOWER_BEARER_START";

/// What the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Sends a request with a constant header, with a client of reqwest.
    ReqwestConstant,
    /// Sends it with the layer, which sends a token request first.
    ReqwestLayer,
    /// The same two with a hyper client without TLS, which takes next to nothing to
    /// build.
    HyperConstant,
    HyperLayer,
    /// Gets a token only: one that is fixed in the program, ...
    Fixed,
    /// ... a live one in a file, ...
    File,
    /// ... and one by a token request.
    Login,
}

use Program::{File, Fixed, HyperConstant, HyperLayer, Login, ReqwestConstant, ReqwestLayer};

pub(crate) const ALL: [Program; 7] = [
    ReqwestConstant,
    ReqwestLayer,
    HyperConstant,
    HyperLayer,
    Fixed,
    File,
    Login,
];

/// The settings of a program.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) token_url: String,
    pub(crate) api_url: String,
    pub(crate) username: String,
    pub(crate) password: String,
    /// A live token, for the constant header.
    pub(crate) token: String,
    pub(crate) folder: String,
}

impl Setup {
    /// The variable and its value that make a process this program.
    pub(crate) fn variable(&self, program: Program) -> (&'static str, String) {
        let name = format!("{program:?}");
        let parts = [
            &name,
            &self.token_url,
            &self.api_url,
            &self.username,
            &self.password,
            &self.token,
            &self.folder,
        ];
        (VARIABLE, parts.map(String::as_str).join("\n"))
    }

    fn grant(&self) -> PasswordGrant {
        PasswordGrant::new(&self.token_url, "api", &self.username, &self.password).expect("a grant")
    }

    fn layer(&self) -> BearerAuthLayer {
        let origins = Origins::only([&self.api_url]).expect("an origin");
        BearerAuthLayer::new(TokenCache::new(self.grant()), origins)
    }

    fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&format!("Bearer {}", self.token)).expect("a header value")
    }

    fn url(&self) -> String {
        format!("{}/v1/calls", self.api_url)
    }
}

/// Runs a program if this process is one. It ends with a line on standard output.
pub(crate) fn run_if_started() -> bool {
    let Ok(what) = std::env::var(VARIABLE) else {
        return false;
    };
    let parts: Vec<String> = what.split('\n').map(str::to_owned).collect();
    let [name, token_url, api_url, username, password, token, folder] =
        <[String; 7]>::try_from(parts).expect("started by the bench");
    let program = ALL.into_iter().find(|it| format!("{it:?}") == name);
    let setup = Setup {
        token_url,
        api_url,
        username,
        password,
        token,
        folder,
    };
    run(program.expect("one of all"), &setup);
    println!("done");
    std::io::stdout().flush().expect("written");
    true
}

fn run(program: Program, setup: &Setup) {
    match program {
        Fixed | File | Login => {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            let tokens = tokens(program, setup);
            runtime.block_on(tokens.token()).expect("a token");
        }
        ReqwestConstant | ReqwestLayer | HyperConstant | HyperLayer => {
            // That of `#[tokio::main]`.
            let runtime = Builder::new_multi_thread().enable_all().build();
            runtime
                .expect("a runtime")
                .block_on(request(program, setup));
        }
    }
}

fn tokens(program: Program, setup: &Setup) -> TokenCache {
    match program {
        Fixed => TokenCache::new(AccessToken::new("fixed").expect("a token")),
        File => {
            let folder = PathBuf::from(&setup.folder);
            let store = FileStore::folder(folder.join("tokens")).key_file(folder.join("key"));
            TokenCache::builder(setup.grant())
                .store(store.build().expect("a store"), &setup.username)
                .build()
                .expect("a cache")
        }
        _ => TokenCache::new(setup.grant()),
    }
}

async fn request(program: Program, setup: &Setup) {
    let status = match program {
        ReqwestConstant | ReqwestLayer => {
            let client = reqwest::Client::new();
            let request = client.get(setup.url());
            let answer = match program {
                ReqwestLayer => {
                    let request = request.build().expect("a request");
                    let service = setup.layer().layer(client);
                    service.oneshot(request).await.expect("an answer")
                }
                _ => {
                    let request = request.header(AUTHORIZATION, setup.header());
                    request.send().await.expect("an answer")
                }
            };
            let status = answer.status();
            answer.bytes().await.expect("a body");
            status
        }
        _ => {
            let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
            let request = Request::get(setup.url()).body(Empty::new());
            let request = request.expect("a request");
            let answer = match program {
                HyperLayer => {
                    let service = setup.layer().layer(client);
                    service.oneshot(request).await.expect("an answer")
                }
                _ => {
                    let header = SetRequestHeaderLayer::overriding(AUTHORIZATION, setup.header());
                    let service = header.layer(client);
                    service.oneshot(request).await.expect("an answer")
                }
            };
            let (parts, body) = answer.into_parts();
            body.collect().await.expect("a body");
            parts.status
        }
    };
    assert!(status.is_success(), "{status}");
}
