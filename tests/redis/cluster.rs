//! A cluster of three masters.

use redis::Cmd;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};
use tower_bearer::store::{RedisStore, RedisStoreBuilder, TokenStore};

use crate::caches::Caches;
use crate::conformance::{
    self, acquire_lease, acquire_token, complete, completion, fetch, payload, refresh_payload,
    request,
};
use crate::fleet::{nothing_failed, secs, token_server};
use crate::outages::wait_for_connections;
use crate::server::{Server, free_port, key, until};

/// Enough accounts that each node has some.
const ACCOUNTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    async fn start(size: usize, config: &str) -> Self {
        let mut nodes = Vec::new();
        for n in 0..size {
            let bus = free_port();
            let node = Server::with(&format!(
                "save \"\"\ncluster-enabled yes\ncluster-port {bus}\n{config}"
            ))
            .await;
            let slots = (n * 16384 / size, (n + 1) * 16384 / size - 1);
            let words = format!("CLUSTER ADDSLOTSRANGE {} {}", slots.0, slots.1);
            node.ask::<()>(&words).await;
            let words = format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port());
            if let Some(first) = nodes.first() {
                Server::ask::<()>(first, &words).await;
            }
            nodes.push(node);
        }
        let cluster = Self { nodes };
        let know = [
            "cluster_state:ok".to_owned(),
            "cluster_slots_ok:16384".to_owned(),
            format!("cluster_known_nodes:{size}"),
        ];
        for node in &cluster.nodes {
            until("a cluster", async || {
                let info: String = node.ask("CLUSTER INFO").await;
                know.iter().all(|line| info.contains(line))
            })
            .await;
        }
        cluster
    }

    fn builder(&self) -> RedisStoreBuilder {
        RedisStore::cluster(self.nodes.iter().map(Server::url)).key(key(1))
    }

    fn store(&self) -> RedisStore {
        self.builder().build().expect("a store")
    }

    /// Returns the node that has the slot, and the others.
    async fn node_of(&self, slot: u16) -> (&Server, Vec<&Server>) {
        let home = usize::from(slot) * self.nodes.len() / 16384;
        let (mut homes, mut others) = (Vec::new(), Vec::new());
        for (n, node) in self.nodes.iter().enumerate() {
            if n == home { &mut homes } else { &mut others }.push(node);
        }
        (homes.pop().expect("one"), others)
    }
}

#[tokio::test]
async fn a_cluster_does_what_every_store_has_to_do() {
    let cluster = Cluster::start(3, "").await;
    conformance::all(&cluster.store()).await;
    for node in &cluster.nodes {
        let keys: u64 = node.ask("DBSIZE").await;
        assert!(keys > 0, "a node has nothing");
    }
    // One node that answers is enough.
    let nowhere = format!("redis://127.0.0.1:{}", free_port());
    let seeds = [nowhere, cluster.nodes[1].url()];
    let store = RedisStore::cluster(seeds).key(key(1)).prefix("other");
    let store = store.build().expect("a store");
    for account in ACCOUNTS {
        acquire_lease(&store, account, request(0)).await;
    }
}

#[tokio::test]
async fn in_a_cluster_a_user_needs_to_ask_for_the_slots_as_well() {
    let rights = crate::access::RIGHTS;
    let user = format!("user app on >s3cret {rights}");
    let cluster = Cluster::start(1, &format!("{user} +cluster|slots\n")).await;
    let url = format!("redis://app:s3cret@127.0.0.1:{}", cluster.nodes[0].port());
    let store = RedisStore::cluster([url]).key(key(1));
    conformance::all(&store.build().expect("a store")).await;

    let cluster = Cluster::start(1, &format!("{user}\n")).await;
    let url = format!("redis://app:s3cret@127.0.0.1:{}", cluster.nodes[0].port());
    crate::access::fails(RedisStore::cluster([url]).key(key(1)), "s3cret").await;
}

#[tokio::test]
async fn a_change_is_notified_whichever_node_has_the_account() {
    let cluster = Cluster::start(3, "").await;
    let (one, other) = (cluster.store(), cluster.store());
    let mut watchers: Vec<_> = ACCOUNTS.map(|account| one.changes(&account.into())).into();
    sleep(secs(1)).await;
    for (account, changes) in ACCOUNTS.iter().zip(&mut watchers) {
        changes.mark_unchanged();
        let lease = acquire_lease(&other, account, request(0)).await;
        complete(&other, account, completion(lease.generation)).await;
        let notified = timeout(secs(1), changes.changed()).await;
        notified.expect("notified").expect("there");
    }
    drop((one, other));
    for node in &cluster.nodes {
        wait_for_connections(node, 0).await;
    }
}

#[tokio::test]
async fn an_account_whose_slot_moves_is_found_again() {
    let cluster = Cluster::start(3, "").await;
    let store = cluster.store();
    let lease = fetch(&store, "me", ("t1", "r1")).await;
    let first = &cluster.nodes[0];
    let slot: u16 = first.ask("CLUSTER KEYSLOT tower-bearer:{me}:token").await;
    let (from, others) = cluster.node_of(slot).await;
    let to = others[0];
    let ids: [String; 2] = [from.ask("CLUSTER MYID").await, to.ask("CLUSTER MYID").await];
    let words = format!("CLUSTER SETSLOT {slot} IMPORTING {}", ids[0]);
    to.ask::<()>(&words).await;
    let words = format!("CLUSTER SETSLOT {slot} MIGRATING {}", ids[1]);
    from.ask::<()>(&words).await;
    // Redis runs no script over keys that are not all there meanwhile.
    let moving = store.acquire(&"me".into(), &request(0)).await;
    moving.expect_err("neither here nor there");
    let keys: Vec<String> = from.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 100")).await;
    let mut migrate = Cmd::new();
    migrate.arg("MIGRATE").arg("127.0.0.1").arg(to.port());
    migrate.arg("").arg(0).arg(5000).arg("KEYS").arg(&keys);
    from.run::<()>(&migrate).await;
    // Its connection does not know of the move.
    acquire_lease(&store, "another", request(0)).await;
    for node in [to, from].into_iter().chain(others[1..].iter().copied()) {
        let words = format!("CLUSTER SETSLOT {slot} NODE {}", ids[1]);
        node.ask::<()>(&words).await;
    }
    assert_eq!(acquire_token(&store, "me", 0).await.payload, payload("t1"));
    // The other node is another run of the server.
    let next = acquire_lease(&store, "me", request(lease.generation)).await;
    assert_eq!(refresh_payload(&next), None);
}

#[tokio::test]
async fn a_restarted_node_works_again_at_once() {
    let mut cluster = Cluster::start(3, "cluster-require-full-coverage no\n").await;
    let store = cluster.builder().connect_timeout(secs(1));
    let store = store.build().expect("a store");
    for account in ACCOUNTS {
        acquire_lease(&store, account, request(0)).await;
    }
    cluster.nodes[0].kill();
    let mut failed = 0;
    for account in ACCOUNTS {
        failed += u8::from(store.acquire(&account.into(), &request(0)).await.is_err());
    }
    println!("one of three nodes away: {failed} of 6 accounts without the store");
    assert!((1..6).contains(&failed), "{failed}");
    cluster.nodes[0].restart().await;
    let node = &cluster.nodes[0];
    until("a cluster", async || {
        let info: String = node.ask("CLUSTER INFO").await;
        info.contains("cluster_state:ok")
    })
    .await;
    for account in ACCOUNTS {
        store
            .acquire(&account.into(), &request(0))
            .await
            .expect("an answer");
    }
}

#[test]
fn a_store_in_a_cluster_outlives_the_runtime_that_used_it_first() {
    let first = Runtime::new().expect("a runtime");
    let (cluster, store) = first.block_on(async {
        let cluster = Cluster::start(3, "").await;
        let store = cluster.store();
        acquire_lease(&store, "me", request(0)).await;
        (cluster, store)
    });
    drop(first);
    let second = Runtime::new().expect("a runtime");
    second.block_on(async {
        for account in ACCOUNTS {
            acquire_lease(&store, account, request(0)).await;
        }
    });
    drop(cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caches_fetch_as_one_in_a_cluster() {
    let (cluster, server) = (Cluster::start(3, "").await, token_server().await);
    let stores = (0..3).map(|_| cluster.store());
    let report = Caches::start(&server, stores, secs(20)).report().await;
    let counts = server.counts();
    nothing_failed("three caches in a cluster", &report, &counts);
    assert_eq!(report.tokens.len() as u64, counts.token_requests);
    assert_eq!(counts.max_concurrent_token_requests, 1);
    assert_eq!((report.alone, counts.password_grants), (0, 1));
    assert!(counts.refresh_grants >= 2, "too short to tell");
}
