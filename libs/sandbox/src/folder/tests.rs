//! What a tool leaves behind in its folder leads nobody out of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn temporary() -> (tempfile::TempDir, Folder) {
    let outer = tempfile::tempdir().unwrap();
    let inner = outer.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(outer.path().join("secret"), "secret").unwrap();
    let folder = Folder::open(&inner).unwrap();
    (outer, folder)
}

#[test]
fn a_planted_link_is_not_followed_out_of_the_folder() {
    let (outer, folder) = temporary();
    let inside = |name: &str| folder.path().join(name);
    symlink("../secret", inside("relative")).unwrap();
    symlink(outer.path().join("secret"), inside("absolute")).unwrap();
    symlink("..", inside("up")).unwrap();
    for path in ["relative", "absolute", "up/secret", "../secret"] {
        let answer = folder.open_file(Path::new(path));
        assert!(
            matches!(answer, Err(SandboxError::Escapes { .. })),
            "{path}: {answer:?}"
        );
    }
}

#[test]
fn a_link_within_the_folder_is_followed() {
    let (_outer, folder) = temporary();
    fs::write(folder.path().join("real"), "content").unwrap();
    symlink("real", folder.path().join("link")).unwrap();
    let file = folder.open_file(Path::new("link")).unwrap();
    assert_eq!(io::read_to_string(file).unwrap(), "content");
}

#[test]
fn a_pipe_is_not_waited_for() {
    let (_outer, folder) = temporary();
    let path = folder.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let answer = folder.open_file(Path::new("pipe"));
    assert!(
        matches!(answer, Err(SandboxError::NotAFile { .. })),
        "{answer:?}"
    );
}

#[test]
fn tidying_takes_away_what_leads_out_and_keeps_the_rest() {
    let (_outer, folder) = temporary();
    let inside = |name: &str| folder.path().join(name);
    fs::create_dir(inside("sub")).unwrap();
    fs::write(inside("sub/real"), "content").unwrap();
    symlink("sub/real", inside("good")).unwrap();
    symlink("../../secret", inside("sub/bad")).unwrap();
    symlink("nothing", inside("dangling")).unwrap();
    nix::unistd::mkfifo(&inside("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::set_permissions(inside("sub/real"), fs::Permissions::from_mode(0o4755)).unwrap();

    let mut removed = folder.tidy(&[]).unwrap();
    removed.sort_by(|a, b| a.path.cmp(&b.path));
    let named = removed.iter().map(|r| r.path.to_str().unwrap());
    assert_eq!(named.collect::<Vec<_>>(), ["dangling", "pipe", "sub/bad"]);
    assert_eq!(removed[2].target, Some("../../secret".into()));
    assert!(inside("good").exists());
    let mode = fs::metadata(inside("sub/real"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn links_to_what_was_readable_stay() {
    let (outer, folder) = temporary();
    let secret = outer.path().join("secret");
    symlink(&secret, folder.path().join("link")).unwrap();
    symlink(folder.path(), folder.path().join("own")).unwrap();
    assert_eq!(folder.tidy(std::slice::from_ref(&secret)).unwrap(), []);
    assert_eq!(folder.tidy(&[]).unwrap().len(), 1);
    assert!(secret.exists() && folder.path().join("own").exists());
}

#[test]
fn a_file_is_not_created_through_a_link() {
    let (outer, folder) = temporary();
    let secret = outer.path().join("secret");
    symlink("../secret", folder.path().join("out")).unwrap();
    symlink("..", folder.path().join("up")).unwrap();
    for path in ["out", "up/new", "../new"] {
        let answer = folder.create_file(Path::new(path));
        assert!(
            matches!(answer, Err(SandboxError::Escapes { .. })),
            "{path}: {answer:?}"
        );
    }
    assert_eq!(fs::read_to_string(secret).unwrap(), "secret");
    fs::write(folder.path().join("old"), "old").unwrap();
    let mut file = folder.create_file(Path::new("old")).unwrap();
    io::Write::write_all(&mut file, b"new").unwrap();
    assert_eq!(
        fs::read_to_string(folder.path().join("old")).unwrap(),
        "new"
    );
}

#[test]
fn the_size_counts_blocks_and_a_file_with_two_names_once() {
    let (_outer, folder) = temporary();
    let inside = |name: &str| folder.path().join(name);
    fs::write(inside("a"), vec![1; 1 << 20]).unwrap();
    fs::hard_link(inside("a"), inside("b")).unwrap();
    File::create(inside("sparse"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    File::open(inside("a")).unwrap().sync_all().unwrap();
    let size = folder.size(100).unwrap();
    assert_eq!(size.entries, 3);
    assert!((1 << 20..2 << 20).contains(&size.bytes), "{size:?}");
    assert_eq!(folder.size(1).unwrap().entries, 2);
}

#[test]
fn a_tree_that_is_too_deep_is_named_and_still_removed() {
    let (outer, folder) = temporary();
    let mut at = rustix::fs::open(folder.path(), OPEN_FOLDER, Mode::empty()).unwrap();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
        at = open_child(at.as_fd(), OsStr::new("d")).unwrap();
    }
    let answer = folder.size(10_000);
    assert!(
        matches!(answer, Err(SandboxError::TooDeep { .. })),
        "{answer:?}"
    );
    remove_tree(folder.path()).unwrap();
    assert!(!outer.path().join("inner").exists());
}
