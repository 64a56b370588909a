//! Which users can read the files, and which files are refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tower_bearer::store::{Acquire, FileStore, TokenStore};

use crate::conformance::{
    acquire_lease, acquire_token, complete, completion_with_tokens, fetch, request,
};
use crate::place::{Place, mode, set_mode};

const SECRET: &str = "s3cret-t0ken-of-forty-characters-or-more";

async fn filled() -> Place {
    let place = Place::new();
    let store = place.store();
    fetch(&store, "me", (SECRET, SECRET)).await;
    place
}

/// The store's error, with its causes.
async fn error_of(store: &FileStore, acquire: &Acquire) -> String {
    let error = store.acquire(&"me".into(), acquire).await;
    let error = error.expect_err("refused");
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    format!("{error}: {cause}")
}

#[tokio::test]
async fn files_are_for_the_user_alone() {
    let place = filled().await;
    let folders = [
        place.folder(),
        place.entries().parent().expect("a folder").to_owned(),
    ];
    for folder in folders {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    let files = place.files("");
    assert!(files.len() >= 2);
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_stolen_file_shows_no_token_and_is_of_no_use_without_the_key() {
    let place = filled().await;
    let bytes = fs::read(place.entries()).expect("a file");
    let shown = |it: &str| bytes.windows(it.len()).any(|part| part == it.as_bytes());
    assert!(!shown(SECRET) && !shown(&SECRET[..8]));
    let unsealed = FileStore::folder(place.folder()).unsealed().build();
    let lease = acquire_lease(&unsealed.expect("a store"), "me", request(0)).await;
    assert_eq!(lease.refresh_token, None, "without the key");
}

#[tokio::test]
async fn what_others_can_write_to_or_read_is_refused_with_its_path() {
    let place = filled().await;
    let name_folder = place.entries().parent().expect("a folder").to_owned();
    for (path, bad, good) in [
        (place.folder(), 0o777, 0o700),
        (place.folder(), 0o770, 0o700),
        (name_folder, 0o702, 0o700),
        (place.entries(), 0o644, 0o600),
        (place.entries(), 0o660, 0o600),
    ] {
        set_mode(&path, bad);
        let error = error_of(&place.store(), &request(0)).await;
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(error.contains("other users"), "{error}");
        set_mode(&path, good);
        acquire_token(&place.store(), "me", 0).await;
    }
}

#[tokio::test]
async fn a_planted_link_is_not_followed() {
    let place = filled().await;
    let elsewhere = place.path().join("elsewhere");
    for file in [place.entries(), place.files(".lock")[0].clone()] {
        let moved = place.path().join("moved");
        fs::rename(&file, &moved).expect("moved");
        // To a file that is there, and to one that is not.
        for target in [&moved, &elsewhere] {
            symlink(target, &file).expect("a link");
            let renewal = request(u64::MAX / 2);
            let error = error_of(&place.store(), &renewal).await;
            assert!(error.contains("it is a link"), "{error}");
            assert!(error.contains(&file.display().to_string()), "{error}");
            fs::remove_file(&file).expect("removed");
        }
        assert!(!elsewhere.exists(), "written through a link");
        fs::rename(&moved, &file).expect("moved");
    }
    // A file is first written under another name, and that name may be taken.
    let temporary = place.entries().with_extension("new");
    symlink(&elsewhere, &temporary).expect("a link");
    let store = place.store();
    let lease = acquire_lease(&store, "me", request(u64::MAX / 2)).await;
    complete(
        &store,
        "me",
        completion_with_tokens(lease.generation, "t2", "r2"),
    )
    .await;
    assert!(!elsewhere.exists(), "written through a link");
    // The folder itself.
    let real = place.path().join("real");
    fs::rename(place.folder(), &real).expect("moved");
    symlink(&real, place.folder()).expect("a link");
    let error = error_of(&place.store(), &request(0)).await;
    assert!(
        error.contains(&place.folder().display().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_pipe_holds_nobody_up() {
    let place = filled().await;
    let file = place.entries();
    fs::remove_file(&file).expect("removed");
    let made = std::process::Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(&file)
        .status();
    assert!(made.expect("mkfifo runs").success());
    let error = error_of(&place.store(), &request(0)).await;
    assert!(error.contains("it is no file"), "{error}");
}

/// Needs the right to create files of another user.
#[tokio::test]
async fn another_users_folder_or_file_is_refused() {
    let place = filled().await;
    let name_folder = place.entries().parent().expect("a folder").to_owned();
    for path in [place.entries(), name_folder, place.folder()] {
        if std::os::unix::fs::chown(&path, Some(65_534), None).is_err() {
            println!("left out: files cannot be given away here");
            return;
        }
        let error = error_of(&place.store(), &request(0)).await;
        assert!(error.contains("belongs to another user"), "{error}");
        assert!(error.contains(&path.display().to_string()), "{error}");
        std::os::unix::fs::chown(&path, Some(0), None).expect("taken back");
    }
    acquire_token(&place.store(), "me", 0).await;
}

#[tokio::test]
async fn a_key_is_made_once_for_the_user_alone() {
    let place = Place::new();
    let key_file = place.path().join("keys").join("store.key");
    let store = || {
        let builder = FileStore::folder(place.folder()).key_file(&key_file);
        builder.build().expect("a store")
    };
    assert!(!key_file.exists(), "made before it is needed");
    let stores: Vec<_> = (0..20).map(|_| store()).collect();
    let mut calls = tokio::task::JoinSet::new();
    for (n, store) in stores.into_iter().enumerate() {
        calls.spawn(async move {
            let account = format!("account {n}");
            let lease = acquire_lease(&store, &account, request(0)).await;
            complete(
                &store,
                &account,
                completion_with_tokens(lease.generation, "t", "r"),
            )
            .await;
        });
    }
    calls.join_all().await;
    for n in 0..20 {
        acquire_token(&store(), &format!("account {n}"), 0).await;
    }
    assert_eq!(mode(&key_file), 0o600);
    let folder = key_file.parent().expect("a folder");
    assert_eq!(mode(folder), 0o700);
    assert_eq!(fs::read_dir(folder).expect("a folder").count(), 1);
    let key = fs::read_to_string(&key_file).expect("text");
    key.trim()
        .parse::<tower_bearer::store::StoreKey>()
        .expect("a key");
}

#[tokio::test]
async fn a_key_file_that_is_no_secret_is_refused_with_its_path() {
    let place = Place::new();
    let key_file = place.path().join("store.key");
    let text = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let check = async |why: &str| {
        let store = FileStore::folder(place.folder())
            .key_file(&key_file)
            .build();
        let error = error_of(&store.expect("a store"), &request(0)).await;
        assert!(error.contains(why), "{error}");
        assert!(!error.contains(text), "{error}");
    };
    fs::write(&key_file, text).expect("written");
    set_mode(&key_file, 0o644);
    check("store.key is not used: other users").await;
    set_mode(&key_file, 0o600);
    fs::write(&key_file, "a password").expect("written");
    check("not 32 bytes").await;
    let moved = place.path().join("moved");
    fs::rename(&key_file, &moved).expect("moved");
    symlink(&moved, &key_file).expect("a link");
    check("store.key is not used: it is a link").await;
    assert!(is_plain(&moved));
}

fn is_plain(path: &Path) -> bool {
    let metadata = fs::symlink_metadata(path).expect("a file");
    metadata.is_file() && metadata.permissions().mode() & 0o777 == 0o600
}
