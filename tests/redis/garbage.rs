//! Entries that a store did not write, or can no longer read.

use std::time::Duration;

use redis::Cmd;
use tower_bearer::store::{Acquired, RedisStore, Stored, TokenStore};

use crate::conformance::{
    acquire, acquire_lease, acquire_token, complete, completion_with_tokens, fail, failure_of,
    fetch, payload, refresh_payload, remembered_failure_of, request,
};
use crate::server::{Server, key};

const ACCOUNT: &str = "me";
const KINDS: [&str; 5] = ["token", "refresh", "failures", "lease", "meta"];
const MINUTE: Duration = Duration::from_secs(60);

fn key_of(account: &str, kind: &str) -> String {
    format!("tower-bearer:{{{account}}}:{kind}")
}

async fn write_entry(server: &Server, kind: &str, value: &[u8], millis: u64) {
    let mut command = redis::cmd("SET");
    command.arg(key_of(ACCOUNT, kind)).arg(value);
    if millis > 0 {
        command.arg("PX").arg(millis);
    }
    server.run::<()>(&command).await;
}

async fn read_entry(server: &Server, account: &str, kind: &str) -> Vec<u8> {
    server
        .run(redis::cmd("GET").arg(key_of(account, kind)))
        .await
}

/// The field of the failure of these credentials, and its value.
async fn read_failure(server: &Server, store: &RedisStore, credentials: u64) -> (String, Vec<u8>) {
    fail(store, ACCOUNT, credentials, MINUTE).await;
    let key = key_of(ACCOUNT, "failures");
    let [name] = server
        .ask::<Vec<String>>(&format!("HKEYS {key}"))
        .await
        .try_into()
        .expect("one failure");
    let value = server.run(redis::cmd("HGET").arg(&key).arg(&name)).await;
    server.ask::<()>("FLUSHALL").await;
    (name, value)
}

async fn write_failure(server: &Server, name: &str, value: &[u8]) {
    let key = key_of(ACCOUNT, "failures");
    server
        .run::<()>(redis::cmd("HSET").arg(&key).arg(name).arg(value))
        .await;
}

/// Returns the parts of a failure's value: its generation, its end and the sealed
/// part.
fn parts(value: &[u8]) -> (u64, u64, &[u8]) {
    let mut parts = value.splitn(3, |byte| *byte == b':');
    let mut number = || {
        let digits = std::str::from_utf8(parts.next().expect("a part")).expect("digits");
        digits.parse().expect("a number")
    };
    let numbers = (number(), number());
    (numbers.0, numbers.1, parts.next().expect("a part"))
}

fn value_of((generation, ends, sealed): (u64, u64, &[u8])) -> Vec<u8> {
    [format!("{generation}:{ends}:").as_bytes(), sealed].concat()
}

/// Writes tokens of the account, and returns their generation.
async fn write_tokens(store: &RedisStore, account: &str) -> u64 {
    let lease = acquire_lease(store, account, request(0)).await;
    assert!(
        complete(
            store,
            account,
            completion_with_tokens(lease.generation, "t1", "r1")
        )
        .await
    );
    lease.generation
}

/// The entry counts as absent: a lease follows at once, and the account works.
async fn counts_as_absent(server: &Server, store: &RedisStore, what: &str) {
    let lease = match acquire(store, ACCOUNT, request(0)).await {
        Acquired::Lease(lease) => lease,
        other => panic!("{what}: {other:?}"),
    };
    assert_eq!(refresh_payload(&lease), None, "{what}");
    assert!(
        complete(
            store,
            ACCOUNT,
            completion_with_tokens(lease.generation, "t9", "r9")
        )
        .await
    );
    assert_eq!(
        acquire_token(store, ACCOUNT, 0).await.payload,
        payload("t9"),
        "{what}"
    );
    let next = acquire_lease(store, ACCOUNT, request(lease.generation)).await;
    assert_eq!(refresh_payload(&next), Some(payload("r9")), "{what}");
    server.ask::<()>("FLUSHALL").await;
}

#[tokio::test]
async fn garbage_in_any_place_is_as_absent() {
    let server = Server::start().await;
    let store = server.store();
    let long = vec![b'7'; 300 * 1024];
    let sealed_with_no_key = [b"5:".as_slice(), &[1; 80]].concat();
    let values: [&[u8]; 12] = [
        b"",
        b"garbage",
        b":",
        b"7",
        b"7:",
        b"7:x",
        b"-1:x",
        b"1e300:x",
        b"99999999999999999999:x",
        b"\xff\xfe\x00:\n",
        &sealed_with_no_key,
        &long,
    ];
    for value in values {
        for kind in ["token", "refresh", "lease"] {
            if kind == "lease" && value == b"7" {
                continue; // That is one.
            }
            for millis in [0, 60_000] {
                write_entry(&server, kind, value, millis).await;
                let shown = String::from_utf8_lossy(&value[..value.len().min(20)]).into_owned();
                counts_as_absent(&server, &store, &format!("{kind} {shown:?} {millis}")).await;
            }
        }
        for field in ["generation", "written"] {
            let meta = key_of(ACCOUNT, "meta");
            server
                .run::<()>(redis::cmd("HSET").arg(meta).arg(field).arg(value))
                .await;
            counts_as_absent(&server, &store, "meta").await;
        }
    }
}

#[tokio::test]
async fn garbage_in_the_place_of_a_failure_is_as_absent() {
    let server = Server::start().await;
    let store = server.store();
    let (name, value) = read_failure(&server, &store, 0).await;
    let (generation, ends, sealed) = parts(&value);
    let (day, long) = (86_400_000, vec![b'7'; 300 * 1024]);
    let (_, of_others) = read_failure(&server, &store, 1).await;
    let mut changed = value.clone();
    *changed.last_mut().expect("a byte") ^= 1;
    let values: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("a word", b"garbage".to_vec()),
        ("one number", b"7:".to_vec()),
        ("no end", [b"7:".as_slice(), sealed].concat()),
        ("no payload", value_of((generation, ends, b""))),
        ("other bytes", b"\xff\xfe\x00:\n".to_vec()),
        ("too long", long.clone()),
        ("too long a payload", value_of((generation, ends, &long))),
        ("not sealed", value_of((generation, ends, b"x"))),
        ("a changed byte", changed),
        ("cut short", value[..value.len() - 1].to_vec()),
        (
            "another generation",
            value_of((generation + 1, ends, sealed)),
        ),
        ("too many digits", value_of((u64::MAX, ends, sealed))),
        (
            "no end in sight",
            value_of((generation, ends + 61 * day, sealed)),
        ),
        (
            "over for more than a day",
            value_of((generation, ends - day - 60_000, sealed)),
        ),
        ("of other credentials", of_others),
    ];
    for (what, value) in values {
        write_failure(&server, &name, &value).await;
        let failure = remembered_failure_of(&store, ACCOUNT, 0).await;
        assert_eq!(failure, None, "{what}");
        counts_as_absent(&server, &store, what).await;
    }
    // As it was, and over for less than a day.
    write_failure(&server, &name, &value).await;
    let failure = Some("failure of 0".to_owned());
    assert_eq!(failure_of(&store, ACCOUNT, 0).await, failure);
    let over = value_of((generation, ends - day, sealed));
    write_failure(&server, &name, &over).await;
    assert_eq!(remembered_failure_of(&store, ACCOUNT, 0).await, failure);
}

#[tokio::test]
async fn garbage_among_the_failures_gives_way_and_the_key_ends_again() {
    let server = Server::start().await;
    let store = server.store();
    let key = key_of(ACCOUNT, "failures");
    for garbage in [7, 8, 100] {
        for n in 0..garbage {
            write_failure(&server, &format!("garbage {n}"), b"garbage").await;
        }
        for credentials in 0..8 {
            fail(&store, ACCOUNT, credentials, MINUTE).await;
        }
        for credentials in 0..8 {
            let failure = failure_of(&store, ACCOUNT, credentials).await;
            assert!(failure.is_some(), "{garbage} {credentials}");
        }
        let count: usize = server.ask(&format!("HLEN {key}")).await;
        let left: i64 = server.ask(&format!("PTTL {key}")).await;
        assert!(count == 8 && left > 0, "{garbage}: {count} {left}");
        server.ask::<()>("FLUSHALL").await;
    }
}

#[tokio::test]
async fn a_lease_that_would_stay_for_ever_is_none() {
    let server = Server::start().await;
    write_entry(&server, "lease", b"7", 0).await;
    counts_as_absent(&server, &server.store(), "lease").await;
}

#[tokio::test]
async fn an_entry_that_would_stay_for_ever_is_as_absent() {
    let server = Server::start().await;
    let store = server.store();
    for kind in ["token", "refresh"] {
        write_tokens(&store, ACCOUNT).await;
        server
            .ask::<()>(&format!("PERSIST {}", key_of(ACCOUNT, kind)))
            .await;
        let others = KINDS.iter().filter(|it| **it != kind && **it != "meta");
        for other in others {
            server
                .ask::<()>(&format!("DEL {}", key_of(ACCOUNT, other)))
                .await;
        }
        counts_as_absent(&server, &store, kind).await;
    }
}

#[tokio::test]
async fn a_key_of_another_type_is_an_error_that_shows_no_payload() {
    let server = Server::start().await;
    let store = server.store();
    for kind in KINDS {
        let other = if kind == "meta" { "SET" } else { "LPUSH" };
        let mut command = redis::cmd(other);
        server
            .run::<()>(command.arg(key_of(ACCOUNT, kind)).arg("s3cret"))
            .await;
        let mut wanted = request(0);
        wanted.rejected = true;
        let acquired = store.acquire(&ACCOUNT.into(), &wanted).await;
        let error = format!("{:?}", acquired.expect_err(kind));
        assert!(
            error.contains("WRONGTYPE") && !error.contains("s3cret"),
            "{error}"
        );
        server.ask::<()>("FLUSHALL").await;
        counts_as_absent(&server, &store, kind).await;
    }
}

#[tokio::test]
async fn what_was_cut_short_or_changed_is_as_absent() {
    let server = Server::start().await;
    let store = server.store();
    for kind in ["token", "refresh"] {
        write_tokens(&store, ACCOUNT).await;
        let whole = read_entry(&server, ACCOUNT, kind).await;
        for at in [20, whole.len() / 2, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            for value in [&whole[..at], &changed] {
                server.ask::<()>("FLUSHALL").await;
                write_entry(&server, kind, value, 60_000).await;
                counts_as_absent(&server, &store, &format!("{kind} at {at}")).await;
            }
        }
        server.ask::<()>("FLUSHALL").await;
    }
}

#[tokio::test]
async fn an_entry_in_another_ones_place_is_as_absent() {
    let server = Server::start().await;
    let store = server.store();
    let generation = write_tokens(&store, "other").await;
    let token = read_entry(&server, "other", "token").await;
    let refresh = read_entry(&server, "other", "refresh").await;
    write_entry(&server, "token", &token, 60_000).await;
    write_entry(&server, "refresh", &refresh, 60_000).await;
    counts_as_absent(&server, &store, "another account's").await;

    write_tokens(&store, ACCOUNT).await;
    let token = read_entry(&server, ACCOUNT, "token").await;
    server.ask::<()>("FLUSHALL").await;
    let (name, failure) = read_failure(&server, &store, 0).await;
    let (_, ends, _) = parts(&failure);
    let colon = token
        .iter()
        .position(|byte| *byte == b':')
        .expect("a colon");
    let as_failure = [
        &token[..colon],
        format!(":{ends}").as_bytes(),
        &token[colon..],
    ]
    .concat();
    write_failure(&server, &name, &as_failure).await;
    counts_as_absent(&server, &store, "a token as a failure").await;

    // An older one that is called newer.
    write_tokens(&store, ACCOUNT).await;
    let token = read_entry(&server, ACCOUNT, "token").await;
    server.ask::<()>("FLUSHALL").await;
    let colon = token
        .iter()
        .position(|byte| *byte == b':')
        .expect("a colon");
    let newer = [
        (generation + 1_000_000).to_string().as_bytes(),
        &token[colon..],
    ]
    .concat();
    write_entry(&server, "token", &newer, 60_000).await;
    counts_as_absent(&server, &store, "another generation").await;
}

#[tokio::test]
async fn keys_rotate_and_what_another_key_sealed_is_as_absent() {
    let server = Server::start().await;
    let [old, both, new] = [vec![1], vec![2, 1], vec![2]].map(|keys| {
        let builder = tower_bearer::store::RedisStore::builder(server.url());
        let keyed = keys
            .into_iter()
            .fold(builder, |builder, it| builder.key(key(it)));
        keyed.build().expect("a store")
    });
    let generation = write_tokens(&old, ACCOUNT).await;
    assert_eq!(
        acquire_token(&both, ACCOUNT, 0).await.payload,
        payload("t1")
    );
    let renewal = acquire_lease(&both, ACCOUNT, request(generation)).await;
    assert_eq!(refresh_payload(&renewal), Some(payload("r1")));
    complete(
        &both,
        ACCOUNT,
        completion_with_tokens(renewal.generation, "t2", "r2"),
    )
    .await;
    assert_eq!(acquire_token(&new, ACCOUNT, 0).await.payload, payload("t2"));
    counts_as_absent(&server, &old, "another key's").await;
}

#[tokio::test]
async fn while_keys_rotate_step_by_step_a_failure_is_found_by_all() {
    let server = Server::start().await;
    let [old, second, first, new] = [vec![1], vec![1, 2], vec![2, 1], vec![2]].map(|keys| {
        let builder = tower_bearer::store::RedisStore::builder(server.url());
        let keyed = keys
            .into_iter()
            .fold(builder, |builder, it| builder.key(key(it)));
        keyed.build().expect("a store")
    });
    let failure = Some("failure of 1".to_owned());
    // Writer, and a reader that runs at the same time.
    for (writer, reader) in [
        (&old, &second),
        (&second, &old),
        (&second, &first),
        (&first, &second),
        (&first, &new),
        (&new, &first),
    ] {
        fail(writer, ACCOUNT, 1, MINUTE).await;
        assert_eq!(failure_of(reader, ACCOUNT, 1).await, failure);
        let mut ignored = crate::conformance::request_by(1);
        ignored.ignore_failure = true;
        let lease = acquire_lease(reader, ACCOUNT, ignored).await;
        complete(reader, ACCOUNT, tower_bearer::store::Completion::of(&lease)).await;
        assert_eq!(
            failure_of(writer, ACCOUNT, 1).await,
            None,
            "deleted by the reader"
        );
    }
    // Written under the new key's name, it replaces the one under the old key's.
    fail(&second, ACCOUNT, 1, Duration::from_millis(1)).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    fail(&first, ACCOUNT, 1, MINUTE).await;
    let fields: Vec<String> = server
        .ask(&format!("HKEYS {}", key_of(ACCOUNT, "failures")))
        .await;
    assert_eq!(fields.len(), 1);
    assert_eq!(failure_of(&second, ACCOUNT, 1).await, failure);
}

#[tokio::test]
async fn nothing_in_redis_shows_a_token_or_outlives_it() {
    let server = Server::start().await;
    let store = server.store();
    let lease = acquire_lease(&store, ACCOUNT, request(0)).await;
    let mut it = completion_with_tokens(lease.generation, "s3cret-token", "s3cret-refresh");
    it.failure = Some(Stored::new(
        payload("s3cret-failure"),
        Duration::from_secs(5),
    ));
    it.credentials = u64::from_be_bytes(*b"s3cret12");
    complete(&store, ACCOUNT, it).await;
    let lease = fetch(&store, "other", ("t", "r")).await;
    acquire_lease(&store, "other", request(lease.generation)).await;

    let keys: Vec<String> = server.ask("KEYS *").await;
    assert_eq!(keys.len(), 7, "{keys:?}");
    for key in keys {
        let dump: Vec<u8> = server.run(redis::cmd("DUMP").arg(&key)).await;
        let credentials = u64::from_be_bytes(*b"s3cret12");
        let shown = [credentials.to_string(), format!("{credentials:x}")];
        for secret in ["s3cret", "21terc3s", &shown[0], &shown[1]] {
            let secret = secret.as_bytes();
            assert!(
                !dump.windows(secret.len()).any(|bytes| bytes == secret),
                "{key}"
            );
        }
        let left: i64 = server.run(redis::cmd("PTTL").arg(&key)).await;
        let most = match key.rsplit(':').next() {
            Some("meta") => 60 * 86_400_000,
            Some("failures") => 86_405_000,
            _ => 60_000,
        };
        assert!((1..=most).contains(&left), "{key}: {left}");
    }
}

#[tokio::test]
async fn stores_with_other_prefixes_have_nothing_in_common() {
    let server = Server::start().await;
    let [one, other] =
        ["one", "other"].map(|it| server.builder().prefix(it).build().expect("a store"));
    write_tokens(&one, ACCOUNT).await;
    let lease = acquire_lease(&other, ACCOUNT, request(0)).await;
    assert_eq!(refresh_payload(&lease), None);
    let keys: Vec<String> = server.ask("KEYS *").await;
    assert!(
        keys.iter()
            .all(|key| key.starts_with("one:") || key.starts_with("other:"))
    );

    // Nor can it read what was copied from the other.
    let mut copy = Cmd::new();
    copy.arg("COPY")
        .arg("one:{me}:token")
        .arg("other:{me}:token")
        .arg("REPLACE");
    server.run::<()>(&copy).await;
    complete(&other, ACCOUNT, tower_bearer::store::Completion::of(&lease)).await;
    acquire_lease(&other, ACCOUNT, request(0)).await;
}
