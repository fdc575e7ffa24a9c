//! What a backup holds, what is refused, and what a restore leaves.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oc_store::{SqliteOptions, SqliteStore};
use oc_trust::OrgKeys;

use super::*;

const OBJECT: &str = "storage/run/picture.png";

/// A folder with what a node keeps.
async fn node(place: &Path) -> NodeFolder {
    let node = NodeFolder::new(place.join("data"));
    for folder in [node.keys(), node.stores(), node.objects("compute-provider")] {
        fs::create_dir_all(folder).unwrap();
    }
    let first = OrgKeys::generate().found().unwrap();
    let key_sets = serde_json::to_vec(&[STANDARD.encode(first.bytes())]).unwrap();
    fs::write(node.keys().join("keysets.json"), key_sets).unwrap();
    let secret = node.keys().join("node.json");
    fs::write(&secret, "{}").unwrap();
    fs::set_permissions(secret, Permissions::from_mode(0o644)).unwrap();
    fs::write(node.admin_token(), "token").unwrap();
    fs::write(node.path().join("address"), "http://127.0.0.1:1").unwrap();
    for key in [OBJECT, ".incoming/half", "storage/run/unnamed#1"] {
        let object = node.objects("compute-provider").join(key);
        fs::create_dir_all(object.parent().unwrap()).unwrap();
        fs::write(object, "pixels").unwrap();
    }
    let store = SqliteStore::open(node.store("catalog"), SqliteOptions::default()).await;
    drop(store.unwrap());
    node
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[tokio::test]
async fn a_backup_holds_what_a_node_keeps_and_is_closed_to_others() {
    let place = tempfile::tempdir().unwrap();
    let node = node(place.path()).await;
    let settings = place.path().join("north.toml");
    fs::write(&settings, "[discovery]").unwrap();
    let target = place.path().join("backup");
    let made = make(&node, Some(&settings), &target).unwrap();
    let paths: Vec<_> = made.files.iter().map(|it| it.path.as_str()).collect();
    let object = format!("objects/compute-provider/{OBJECT}");
    assert_eq!(
        paths,
        [
            "admin.token",
            "keys/keysets.json",
            "keys/node.json",
            "node.toml",
            &object,
            "store/catalog.db",
        ]
    );
    for folder in ["", "keys", "store", "objects"] {
        assert_eq!(mode(&target.join(folder)), 0o700, "{folder}");
    }
    for file in ["keys/node.json", "store/catalog.db"] {
        assert_eq!(mode(&target.join(file)), 0o600, "{file}");
    }
    let kept = node.objects("compute-provider").join(OBJECT);
    assert_eq!(inode(&kept), inode(&target.join(&object)), "not copied");
    assert_eq!(Manifest::check(&target).unwrap(), made);
    let again = make(&node, None, &target).unwrap_err().to_string();
    assert!(again.contains("is not empty"), "{again}");
}

#[tokio::test]
async fn a_backup_that_is_not_whole_is_not_put_back() {
    let place = tempfile::tempdir().unwrap();
    let node = node(place.path()).await;
    let target = place.path().join("backup");
    make(&node, None, &target).unwrap();
    let store = target.join("store/catalog.db");
    let whole = fs::read(&store).unwrap();
    fs::write(&store, &whole[..whole.len() - 1]).unwrap();
    let cut = Manifest::check(&target).unwrap_err().to_string();
    assert!(cut.contains("catalog.db is not the file"), "{cut}");
    fs::remove_file(&store).unwrap();
    let gone = Manifest::check(&target).unwrap_err().to_string();
    assert!(
        gone.contains("catalog.db is no file of the backup"),
        "{gone}"
    );
    fs::write(&store, whole).unwrap();
    Manifest::check(&target).unwrap();

    let manifest = target.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("admin.token", "../admin.token")).unwrap();
    let outside = Manifest::check(&target).unwrap_err().to_string();
    assert!(outside.contains("no path in a backup"), "{outside}");
    fs::write(&manifest, text.replace("backup-v1", "backup-v2")).unwrap();
    let newer = Manifest::check(&target).unwrap_err().to_string();
    assert!(newer.contains("use the newer program"), "{newer}");
    fs::remove_file(&manifest).unwrap();
    let half = Manifest::check(&target).unwrap_err().to_string();
    assert!(half.contains("no whole backup"), "{half}");
}

#[tokio::test]
async fn each_restore_raises_the_epoch_and_nothing_that_was_there_is_lost() {
    let place = tempfile::tempdir().unwrap();
    let node = node(place.path()).await;
    let target = place.path().join("backup");
    let manifest = make(&node, None, &target).unwrap();
    fs::write(node.path().join("later"), "made since").unwrap();
    assert_eq!(node.epoch().unwrap(), 0);

    let mut epoch = 0;
    for name in ["first", "second"] {
        let (aside, lock) = aside_of(&node).unwrap().expect("a node is there");
        let shown = aside.display().to_string();
        assert!(shown.contains("data.replaced-2"), "{shown}");
        let aside = place.path().join(name);
        let restored = put_back(&target, &manifest, &node, Some(&aside)).unwrap();
        drop(lock);
        assert!(restored.epoch > epoch, "{restored:?}");
        assert_eq!(node.epoch().unwrap(), restored.epoch);
        epoch = restored.epoch;
        assert_eq!(mode(node.path()), 0o700);
        assert_eq!(mode(&node.keys().join("node.json")), 0o600);
        let object = node.objects("compute-provider").join(OBJECT);
        assert_eq!(fs::read_to_string(object).unwrap(), "pixels");
        // What changes in place is no second name of what lies in the backup.
        let store = inode(&node.store("catalog"));
        assert_ne!(store, inode(&target.join("store/catalog.db")));
    }
    let later = place.path().join("first/later");
    assert_eq!(fs::read_to_string(later).unwrap(), "made since");
}

#[tokio::test]
async fn a_folder_that_is_in_use_or_holds_something_else_is_not_replaced() {
    let place = tempfile::tempdir().unwrap();
    let node = node(place.path()).await;
    let lock = node.lock().unwrap();
    let running = aside_of(&node).unwrap_err().to_string();
    assert!(running.contains("a node runs on"), "{running}");
    drop(lock);
    let home = NodeFolder::new(place.path().join("home"));
    fs::create_dir(home.path()).unwrap();
    assert!(aside_of(&home).unwrap().is_none(), "it is empty");
    fs::write(home.path().join("letters.txt"), "").unwrap();
    let other = aside_of(&home).unwrap_err().to_string();
    assert!(other.contains("something else than a node"), "{other}");
}

#[tokio::test]
async fn a_link_or_a_pipe_in_a_backup_is_refused_unread() {
    let place = tempfile::tempdir().unwrap();
    let node = node(place.path()).await;
    let target = place.path().join("backup");
    make(&node, None, &target).unwrap();
    let token = target.join("admin.token");
    let refused = || {
        let refused = Manifest::check(&target).unwrap_err().to_string();
        assert!(refused.contains("admin.token is no file"), "{refused}");
        fs::remove_file(&token).unwrap();
    };
    fs::remove_file(&token).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &token).unwrap();
    refused();
    nix::unistd::mkfifo(&token, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused();
    fs::write(&token, "token").unwrap();
    Manifest::check(&target).unwrap();
    let keys = place.path().join("keys");
    fs::rename(target.join("keys"), &keys).unwrap();
    std::os::unix::fs::symlink(&keys, target.join("keys")).unwrap();
    let linked = Manifest::check(&target).unwrap_err().to_string();
    assert!(linked.contains("is no file of the backup"), "{linked}");
}

#[tokio::test]
async fn a_folder_that_is_refused_stays_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let node = node(place.path()).await;
    let shared = place.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("letters.txt"), "").unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
    let taken = make(&node, None, &shared).unwrap_err().to_string();
    assert!(taken.contains("is not empty"), "{taken}");
    assert_eq!(mode(&shared), 0o777);
    let within = make(&node, None, &node.path().join("backup"));
    let within = within.unwrap_err().to_string();
    assert!(within.contains("lie in each other"), "{within}");
    assert!(!node.path().join("backup").exists());
}

#[tokio::test]
async fn an_epoch_that_is_no_moment_and_a_backup_in_the_way_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let node = node(place.path()).await;
    let target = place.path().join("backup");
    let manifest = make(&node, None, &target).unwrap();
    let inside = NodeFolder::new(target.join("node"));
    let within = put_back(&target, &manifest, &inside, None).unwrap_err();
    assert!(within.to_string().contains("lie in each other"), "{within}");
    let told = format!(
        r#"{{"epoch":{},"made_at":"2026-01-01T00:00:00Z"}}"#,
        u64::MAX
    );
    fs::write(target.join("restored"), told).unwrap();
    let empty = NodeFolder::new(place.path().join("empty"));
    let late = put_back(&target, &manifest, &empty, None).unwrap_err();
    assert!(late.to_string().contains("is no moment"), "{late}");
    assert!(!empty.path().exists());
}
