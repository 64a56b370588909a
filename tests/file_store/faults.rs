//! Fleets with failing processes, files and clocks.

use std::fs;
use std::fs::File;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tokio::time::{Instant, sleep};

use crate::fleet::{Fleet, Limits, nothing_failed, setup, token_server};
use crate::place::{Place, set_mode};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[tokio::test]
async fn fifty_processes_log_in_once() {
    let place = Place::new();
    let server = token_server(secs(10), Duration::from_millis(100)).await;
    let mut setup = setup(&server, &place, secs(14));
    setup.rest = Duration::from_millis(500);
    let fleet = Fleet::start(vec![setup; 50]).await;
    let report = fleet.report().await;
    let counts = server.counts();
    nothing_failed("fifty processes", &report, &counts);
    assert_eq!(report.alone, 0, "{:?}", report.errors);
    assert_eq!(counts.password_grants, 1);
    assert_eq!(counts.token_requests, report.tokens.len() as u64);
}

#[tokio::test]
async fn a_process_that_is_killed_in_mid_fetch_is_followed_at_once() {
    let place = Place::new();
    let server = token_server(secs(60), secs(2)).await;
    let mut setup = setup(&server, &place, secs(8));
    setup.lease = secs(30);
    let mut fleet = Fleet::start(vec![setup; 6]).await;
    let holder = fleet.holder().await;
    sleep(Duration::from_millis(100)).await;
    holder.child.start_kill().expect("killed");
    let killed = Instant::now();
    let dead = holder.child.wait().await.expect("a child");
    assert!(!dead.success());
    holder.wait_for("gone", |seen| !seen.fetching).await;
    fleet.holder().await;
    let followed = killed.elapsed();
    println!("followed after {followed:?}, of a lease of 30 s");
    // By the lock, not by the cache's look once a second.
    assert!(followed < Duration::from_millis(900), "{followed:?}");
    let report = fleet.report().await;
    nothing_failed("killed", &report, &server.counts());
    assert!(server.counts().password_grants <= 2);
}

#[tokio::test]
async fn a_process_that_is_stopped_is_followed_after_its_lease() {
    let place = Place::new();
    let server = token_server(secs(60), Duration::from_millis(500)).await;
    let setup = setup(&server, &place, secs(16));
    let mut fleet = Fleet::start(vec![setup; 6]).await;
    let holder = fleet.holder().await;
    sleep(Duration::from_millis(100)).await;
    holder.signal("-STOP").await;
    let (stopped, id) = (Instant::now(), holder.child.id());
    let n = fleet.members.iter().position(|it| it.child.id() == id);
    let holder = fleet.members.remove(n.expect("one of them"));
    fleet.holder().await;
    let followed = stopped.elapsed();
    println!("followed after {followed:?}, of a lease of 10 s");
    assert!(followed > secs(9), "{followed:?}");
    sleep(secs(1)).await;
    holder.signal("-CONT").await;
    fleet.members.push(holder);
    let report = fleet.report().await;
    nothing_failed("stopped", &report, &server.counts());
    assert!(server.counts().password_grants <= 2);
}

#[tokio::test]
async fn a_full_disk_leaves_each_on_its_own_and_it_joins_again() {
    let place = Place::new();
    let server = token_server(secs(6), Duration::from_millis(50)).await;
    let setup = setup(&server, &place, secs(16));
    let limits = Limits {
        no_room: true,
        ..Limits::default()
    };
    let fleet = Fleet::start_with(vec![setup; 3], &limits).await;
    for member in &fleet.members {
        member.wait_for("alone", |seen| seen.alone).await;
    }
    assert_eq!(place.files(".tokens"), Vec::<std::path::PathBuf>::new());
    for member in &fleet.members {
        member.make_room().await;
    }
    for member in &fleet.members {
        member
            .wait_for("together", |seen| seen.together_again)
            .await;
    }
    let report = fleet.report().await;
    nothing_failed("full disk", &report, &server.counts());
    assert!(
        report.errors.keys().any(|it| it.contains("failed")),
        "{:?}",
        report.errors
    );
}

#[tokio::test]
async fn a_folder_that_is_read_only_leaves_each_on_its_own_and_it_joins_again() {
    let place = Place::new();
    let server = token_server(secs(6), Duration::from_millis(50)).await;
    let mut setup = setup(&server, &place, secs(16));
    fs::create_dir(place.folder()).expect("a folder");
    // The administrator can write to everything.
    let user = rustix::process::geteuid().is_root().then_some(65_534);
    if user.is_some() {
        std::os::unix::fs::chown(place.folder(), user, None).expect("given away");
    }
    set_mode(&place.folder(), 0o500);
    setup.folder = place.folder();
    let limits = Limits {
        user,
        ..Limits::default()
    };
    let fleet = Fleet::start_with(vec![setup; 3], &limits).await;
    for member in &fleet.members {
        member.wait_for("alone", |seen| seen.alone).await;
    }
    set_mode(&place.folder(), 0o700);
    for member in &fleet.members {
        member
            .wait_for("together", |seen| seen.together_again)
            .await;
    }
    let report = fleet.report().await;
    nothing_failed("read-only folder", &report, &server.counts());
}

#[tokio::test]
async fn a_lock_that_a_stopped_process_keeps_leaves_each_on_its_own_and_it_joins_again() {
    let place = Place::new();
    let server = token_server(secs(6), Duration::from_millis(50)).await;
    let fleet = Fleet::start(vec![setup(&server, &place, secs(18)); 3]).await;
    while place.files(".lock").is_empty() {
        sleep(Duration::from_millis(20)).await;
    }
    let file = File::options()
        .write(true)
        .open(&place.files(".lock")[0])
        .expect("a file");
    flock(&file, FlockOperation::LockExclusive).expect("locked");
    for member in &fleet.members {
        member.wait_for("alone", |seen| seen.alone).await;
    }
    drop(file);
    for member in &fleet.members {
        member
            .wait_for("together", |seen| seen.together_again)
            .await;
    }
    let report = fleet.report().await;
    nothing_failed("locked", &report, &server.counts());
}

#[tokio::test]
async fn clocks_a_minute_apart_change_nothing() {
    let place = Place::new();
    let server = token_server(secs(6), Duration::from_millis(50)).await;
    let setups = [-60, 0, 60, 60].map(|ahead| {
        let mut setup = setup(&server, &place, secs(12));
        setup.ahead = ahead;
        setup
    });
    let report = Fleet::start(setups).await.report().await;
    let counts = server.counts();
    nothing_failed("clocks", &report, &counts);
    assert_eq!(counts.password_grants, 1);
}

#[tokio::test]
async fn files_that_are_cut_while_they_are_in_use_fail_nothing() {
    let place = Place::new();
    let server = token_server(secs(4), Duration::from_millis(100)).await;
    let mut setup = setup(&server, &place, secs(12));
    setup.rest = Duration::from_millis(50);
    let fleet = Fleet::start(vec![setup; 6]).await;
    let start = Instant::now();
    for n in 0.. {
        if start.elapsed() > secs(10) {
            break;
        }
        for file in place.files(".tokens") {
            match n % 3 {
                // In place, as only a broken disk would.
                0 => drop(
                    File::options()
                        .write(true)
                        .open(&file)
                        .and_then(|it| it.set_len(n)),
                ),
                1 => drop(fs::remove_file(&file)),
                _ => drop(fs::remove_dir_all(place.folder())),
            }
        }
        sleep(Duration::from_millis(700)).await;
    }
    let report = fleet.report().await;
    nothing_failed("cut files", &report, &server.counts());
}
