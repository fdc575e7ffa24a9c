//! Removing a tree that somebody hostile built.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{OPEN_FOLDER, entries, io_error, make_accessible};
use crate::SandboxError;

/// Removes a folder and all below it, however deep and whatever its permissions; a missing one counts
/// as removed. Links are removed, never followed.
///
/// # Errors
/// What the system says, for example where a part belongs to another user.
pub fn remove_tree(path: &Path) -> Result<(), SandboxError> {
    let failed = |errno| io_error("remove the folder", path, errno);
    let top = match rustix::fs::open(path, OPEN_FOLDER, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    empty(&top).map_err(failed)?;
    drop(top);
    rustix::fs::rmdir(path).map_err(failed)
}

/// Takes the tree apart level by level: grandchildren are moved up beside the children, so no path
/// grows long and only two folders are open at a time.
fn empty(top: &OwnedFd) -> rustix::io::Result<()> {
    let mut moved = 0_u64;
    loop {
        let children = entries(top)?;
        if children.is_empty() {
            return Ok(());
        }
        for (name, kind) in children {
            if kind != FileType::Directory {
                rustix::fs::unlinkat(top, &name, AtFlags::empty())?;
                continue;
            }
            let folder = take_over(top, &name)?;
            for (inner, kind) in entries(&folder)? {
                if kind == FileType::Directory {
                    move_up(&folder, &inner, top, &mut moved)?;
                } else {
                    rustix::fs::unlinkat(&folder, &inner, AtFlags::empty())?;
                }
            }
            rustix::fs::unlinkat(top, &name, AtFlags::REMOVEDIR)?;
        }
    }
}

fn move_up(from: &OwnedFd, name: &OsStr, top: &OwnedFd, moved: &mut u64) -> rustix::io::Result<()> {
    // Moving a folder rewrites its `..`, so it has to be writable itself.
    take_over(from, name)?;
    loop {
        *moved += 1;
        let free = OsString::from(format!(".removed-{moved}"));
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(from, name, top, &free, flags) {
            Err(Errno::EXIST) => {}
            answer => return answer,
        }
    }
}

/// Opens a folder after giving its owner, this process, every permission on it.
fn take_over(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let handle = rustix::fs::openat(parent, name, OPEN_FOLDER | OFlags::PATH, Mode::empty())?;
    make_accessible(&handle)?;
    rustix::fs::openat(parent, name, OPEN_FOLDER, Mode::empty())
}
