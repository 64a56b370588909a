//! Users, passwords and TLS.

use std::fs;
use std::process::Command;

use tower_bearer::store::{RedisStore, RedisStoreBuilder, TokenStore};

use crate::conformance::{self, acquire_lease, request};
use crate::server::{Server, key};

/// The rights that a user needs, as in the guide in `store`.
pub(crate) const RIGHTS: &str = "resetchannels &tower-bearer:changes ~tower-bearer:* -@all \
    +eval +evalsha +subscribe +publish +ping +time +info \
    +get +set +del +exists +strlen +pttl +pexpire \
    +hget +hset +hmget +hstrlen +hlen +hgetall +hdel";

fn builder_as(server: &Server, user: &str) -> RedisStoreBuilder {
    let url = format!("redis://{user}@127.0.0.1:{}", server.port());
    RedisStore::builder(url).key(key(1))
}

/// The store cannot be used, and its error does not show the secret.
pub(crate) async fn fails(store: RedisStoreBuilder, secret: &str) {
    let store = store.build().expect("a store");
    let error = store
        .acquire(&"me".into(), &request(0))
        .await
        .expect_err("refused");
    let mut shown = format!("{error} {error:?} {store:?}");
    let mut next = error.source();
    while let Some(source) = next {
        shown += &format!(" {source} {source:?}");
        next = source.source();
    }
    assert!(secret.is_empty() || !shown.contains(secret), "{shown}");
}

#[tokio::test]
async fn a_password_is_enough_or_wrong_and_never_shown() {
    let server = Server::with("requirepass s3cret%\n").await;
    conformance::all(&builder_as(&server, ":s3cret%25").build().expect("a store")).await;
    fails(builder_as(&server, ":wr0ng"), "wr0ng").await;
    fails(builder_as(&server, "who:wr0ng"), "wr0ng").await;
    fails(server.builder(), "").await;
}

#[tokio::test]
async fn a_user_with_the_rights_of_the_guide_can_do_all() {
    let server = Server::with(&format!("user default off\nuser app on >s3cret {RIGHTS}\n")).await;
    conformance::all(&builder_as(&server, "app:s3cret").build().expect("a store")).await;
    fails(builder_as(&server, "app:wr0ng"), "wr0ng").await;
    fails(
        builder_as(&server, "app:s3cret").prefix("elsewhere"),
        "s3cret",
    )
    .await;
}

/// Without this right the run of the server is unknown.
#[tokio::test]
async fn without_the_right_to_info_no_refresh_token_is_kept() {
    let rights = RIGHTS.replace("+info", "");
    let server = Server::with(&format!("user default on nopass {rights}\n")).await;
    let store = server.store();
    let lease = acquire_lease(&store, "me", request(0)).await;
    conformance::complete(
        &store,
        "me",
        conformance::completion_with_tokens(lease.generation, "t", "r"),
    )
    .await;
    let lease = acquire_lease(&store, "me", request(lease.generation)).await;
    assert_eq!(lease.refresh_token, None);
}

/// Makes a root certificate, and a certificate for 127.0.0.1 that it signed.
fn make_certificates(folder: &std::path::Path) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .output();
        let output = output.expect("openssl runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let new = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!(
        "{new} -x509 -days 2 -subj /CN=root -keyout root.key -out root.pem"
    ));
    openssl(&format!(
        "{new} -subj /CN=redis -keyout redis.key -out redis.csr"
    ));
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").expect("written");
    openssl(
        "x509 -req -days 2 -in redis.csr -CA root.pem -CAkey root.key -CAcreateserial \
         -extfile names -out redis.pem"
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .as_str(),
    );
}

#[tokio::test]
async fn over_tls_it_works_with_the_servers_root_and_not_without() {
    let folder = std::env::temp_dir().join(format!("tower-bearer-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    make_certificates(&folder);
    let root = fs::read(folder.join("root.pem")).expect("a certificate");
    let path = folder.display();
    let server = Server::with(&format!(
        "tls-port PORT\ntls-auth-clients no\ntls-ca-cert-file {path}/root.pem\n\
         tls-cert-file {path}/redis.pem\ntls-key-file {path}/redis.key\nrequirepass s3cret\n"
    ))
    .await;
    let url = format!("rediss://:s3cret@127.0.0.1:{}", server.port());
    let builder = RedisStore::builder(url).key(key(1));
    let store = builder
        .clone()
        .root_certificates(root)
        .build()
        .expect("a store");
    conformance::all(&store).await;
    fails(builder, "s3cret").await;
    fails(builder_as(&server, ":s3cret"), "s3cret").await;
    let _ = fs::remove_dir_all(&folder);
}
