//! Folders that something untrusted has written: walking, tidying, opening and removing them without
//! being led elsewhere.
//!
//! Nothing here follows a link out of its folder, blocks on a pipe, or recurses as deep as a hostile
//! tree does. Lookups go through `openat2` with `RESOLVE_BENEATH`, so the kernel keeps them inside even
//! while somebody renames.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::SandboxError;

mod remove;
#[cfg(test)]
mod tests;

pub use remove::remove_tree;

/// Deepest nesting that is walked.
pub(crate) const MAX_DEPTH: usize = 128;

/// Longest path that is walked, in bytes: a little less than the kernel's `PATH_MAX`.
const MAX_PATH: usize = 4000;

const OPEN_FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// What a folder holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FolderSize {
    /// Bytes on disk; a file with several names counts once.
    pub bytes: u64,
    /// Entries of every kind, the folder itself not counted.
    pub entries: u64,
}

/// Something that [`Folder::tidy`] took away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Where it was, relative to the folder.
    pub path: PathBuf,
    /// Where a link pointed; none for a pipe, socket or device.
    pub target: Option<PathBuf>,
}

/// A folder whose content is not trusted.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// One entry met on a walk.
struct Entry<'a> {
    parent: BorrowedFd<'a>,
    name: &'a OsStr,
    /// Relative to the folder.
    path: &'a Path,
    kind: FileType,
}

impl Folder {
    /// Opens a folder of the node.
    ///
    /// # Errors
    /// When it is missing, or is a link.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, SandboxError> {
        let path = path.into();
        let fd = rustix::fs::open(&path, OPEN_FOLDER, Mode::empty())
            .map_err(|errno| io_error("open the folder", &path, errno))?;
        Ok(Self { fd, path })
    }

    /// Where it lies on the node.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file below the folder for reading. Links are followed as long as they stay below it.
    ///
    /// # Errors
    /// [`SandboxError::Escapes`] when the path leads out of the folder, [`SandboxError::NotAFile`] when
    /// it names something else, and what the system says.
    pub fn open_file(&self, path: &Path) -> Result<File, SandboxError> {
        // Without NONBLOCK, opening a pipe that nobody writes to would wait for ever.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.open_beneath(path, flags).map(File::from);
        let file = file.map_err(|errno| match errno {
            Errno::XDEV | Errno::LOOP => SandboxError::Escapes { path: path.into() },
            errno => io_error("open", &self.path.join(path), errno),
        })?;
        let metadata = file
            .metadata()
            .map_err(SandboxError::io("read a file's kind"))?;
        if !metadata.is_file() {
            return Err(SandboxError::NotAFile { path: path.into() });
        }
        Ok(file)
    }

    /// Creates a file below the folder, or empties the one that is there, for writing at its end. No link
    /// is followed on the way.
    ///
    /// # Errors
    /// [`SandboxError::Escapes`] when a part of the path is a link, [`SandboxError::NotAFile`] when it
    /// names something else, and what the system says.
    pub fn create_file(&self, path: &Path) -> Result<File, SandboxError> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::TRUNC;
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let mode = Mode::from_raw_mode(0o644);
        let file = rustix::fs::openat2(&self.fd, path, flags, mode, resolve);
        let file = file.map(File::from).map_err(|errno| match errno {
            Errno::XDEV | Errno::LOOP => SandboxError::Escapes { path: path.into() },
            Errno::NXIO | Errno::ISDIR => SandboxError::NotAFile { path: path.into() },
            errno => io_error("create", &self.path.join(path), errno),
        })?;
        let metadata = file
            .metadata()
            .map_err(SandboxError::io("read a file's kind"))?;
        if !metadata.is_file() {
            return Err(SandboxError::NotAFile { path: path.into() });
        }
        Ok(file)
    }

    /// Its size as far as `max_entries`; counting ends there.
    ///
    /// # Errors
    /// [`SandboxError::TooDeep`], and what the system says.
    pub fn size(&self, max_entries: u64) -> Result<FolderSize, SandboxError> {
        let mut size = FolderSize::default();
        let mut several_names = BTreeSet::new();
        self.walk(|entry| {
            let Ok(stat) = rustix::fs::statat(entry.parent, entry.name, AtFlags::SYMLINK_NOFOLLOW)
            else {
                return Ok(true); // removed meanwhile
            };
            size.entries += 1;
            let counted_before = stat.st_nlink > 1
                && entry.kind != FileType::Directory
                && !several_names.insert(stat.st_ino);
            if !counted_before {
                size.bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
            }
            Ok(size.entries <= max_entries)
        })?;
        Ok(size)
    }

    /// Makes the folder safe to read by path: takes away every link that does not lead to something
    /// below the folder or below one of `readable`, every pipe, socket and device, and the set-user-id
    /// and set-group-id bits of files. Only for a folder in which nothing runs any more.
    ///
    /// # Errors
    /// [`SandboxError::TooDeep`], and what the system says.
    pub fn tidy(&self, readable: &[PathBuf]) -> Result<Vec<Removed>, SandboxError> {
        let places = readable.iter().chain([&self.path]);
        let places: Vec<PathBuf> = places
            .filter_map(|place| place.canonicalize().ok())
            .collect();
        let mut removed = Vec::new();
        self.walk(|entry| {
            let target = match entry.kind {
                FileType::Directory => return Ok(true),
                FileType::RegularFile => {
                    clear_set_id(&entry)?;
                    return Ok(true);
                }
                FileType::Symlink if self.leads_to(entry.path, &places) => return Ok(true),
                FileType::Symlink => rustix::fs::readlinkat(entry.parent, entry.name, Vec::new())
                    .ok()
                    .map(|target| PathBuf::from(OsStr::from_bytes(target.as_bytes()))),
                _ => None,
            };
            rustix::fs::unlinkat(entry.parent, entry.name, AtFlags::empty())?;
            removed.push(Removed {
                path: entry.path.to_owned(),
                target,
            });
            Ok(true)
        })?;
        Ok(removed)
    }

    pub(crate) fn device(&self) -> Option<u64> {
        rustix::fs::fstat(&self.fd).ok().map(|stat| stat.st_dev)
    }

    fn leads_to(&self, path: &Path, places: &[PathBuf]) -> bool {
        let target = self.path.join(path).canonicalize();
        target.is_ok_and(|target| places.iter().any(|place| target.starts_with(place)))
    }

    fn open_beneath(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        loop {
            // EAGAIN says that somebody renamed on the way and the kernel could not be sure.
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                answer => return answer,
            }
        }
    }

    /// Calls `visit` for every entry, parents first, until it answers false.
    fn walk(
        &self,
        mut visit: impl FnMut(Entry<'_>) -> rustix::io::Result<bool>,
    ) -> Result<(), SandboxError> {
        let too_deep = || SandboxError::TooDeep {
            path: self.path.clone(),
            limit: MAX_DEPTH,
        };
        let failed = |errno| io_error("walk the folder", &self.path, errno);
        let mut ahead = vec![(PathBuf::new(), 0)];
        while let Some((path, depth)) = ahead.pop() {
            if depth > MAX_DEPTH || path.as_os_str().len() > MAX_PATH {
                return Err(too_deep());
            }
            let folder = match self.open_folder(&path) {
                Ok(folder) => folder,
                // Removed, or replaced by something else, since its parent was read.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => return Err(failed(errno)),
            };
            for (name, kind) in entries(&folder).map_err(failed)? {
                let path = path.join(&name);
                let entry = Entry {
                    parent: folder.as_fd(),
                    name: &name,
                    path: &path,
                    kind,
                };
                if !visit(entry).map_err(failed)? {
                    return Ok(());
                }
                if kind == FileType::Directory {
                    ahead.push((path, depth + 1));
                }
            }
        }
        Ok(())
    }

    fn open_folder(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return open_child(self.fd.as_fd(), OsStr::new("."));
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let open = |flags| rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve);
        match open(OPEN_FOLDER) {
            Err(Errno::ACCESS) => {
                let handle = open(OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)?;
                make_accessible(&handle)?;
                open(OPEN_FOLDER)
            }
            answer => answer,
        }
    }
}

/// Opens a folder in `parent`; where its owner took the permission away, gives it back first.
fn open_child(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::openat(parent, name, OPEN_FOLDER, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let path_only = OPEN_FOLDER.union(OFlags::PATH);
            let handle = rustix::fs::openat(parent, name, path_only, Mode::empty())?;
            make_accessible(&handle)?;
            rustix::fs::openat(parent, name, OPEN_FOLDER, Mode::empty())
        }
        answer => answer,
    }
}

fn make_accessible(handle: &OwnedFd) -> rustix::io::Result<()> {
    // A handle opened with O_PATH cannot be changed itself; its name in /proc can.
    let name = format!("/proc/self/fd/{}", handle.as_raw_fd());
    rustix::fs::chmod(name, Mode::RWXU)
}

fn clear_set_id(entry: &Entry<'_>) -> rustix::io::Result<()> {
    let stat = rustix::fs::statat(entry.parent, entry.name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(Mode::SUID | Mode::SGID) {
        // The entry is no link and nothing runs that could replace it.
        let plain = mode.difference(Mode::SUID | Mode::SGID);
        rustix::fs::chmodat(entry.parent, entry.name, plain, AtFlags::empty())?;
    }
    Ok(())
}

fn entries(folder: &OwnedFd) -> rustix::io::Result<Vec<(OsString, FileType)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not say it in the listing.
            FileType::Unknown => {
                match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(_) => continue,
                }
            }
            kind => kind,
        };
        found.push((name.to_owned(), kind));
    }
    Ok(found)
}

fn io_error(action: &str, path: &Path, errno: Errno) -> SandboxError {
    SandboxError::Io {
        action: format!("{action} `{}`", path.display()),
        source: io::Error::from(errno),
    }
}
