//! How much of the disk one attempt may fill. What others have written since counts at the next attempt's start.

use std::path::Path;

use crate::domain::runtime::RuntimeError;

/// Stays free whatever attempts write: the node's stores lie on the same disk as a rule.
const RESERVE: u64 = 1 << 30;

/// Bytes that the tools of one attempt may write in `folder`: what an operator allows, and no more than a share of
/// what is free beyond the reserve, one for each core.
///
/// # Errors
/// When nothing is free beyond the reserve, or the disk cannot be asked.
pub(super) fn allowance(folder: &Path, most: u64, cores: u32) -> Result<u64, RuntimeError> {
    let disk = rustix::fs::statvfs(folder)
        .map_err(|error| RuntimeError::Failed(format!("the disk cannot be asked: {error}")))?;
    share(disk.f_bavail.saturating_mul(disk.f_frsize), most, cores)
}

fn share(free: u64, most: u64, cores: u32) -> Result<u64, RuntimeError> {
    let room = free.saturating_sub(RESERVE);
    if room == 0 {
        return Err(RuntimeError::DiskFull {
            free,
            reserve: RESERVE,
        });
    }
    Ok(most.min(room / u64::from(cores.max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn an_attempt_may_fill_no_more_than_its_share_of_what_is_free_beyond_the_reserve() {
        assert_eq!(share(100 * GIB, 20 * GIB, 2).unwrap(), 20 * GIB);
        assert_eq!(share(11 * GIB, 20 * GIB, 2).unwrap(), 5 * GIB);
        assert_eq!(share(11 * GIB, 20 * GIB, 0).unwrap(), 10 * GIB);
        assert_eq!(share(GIB + 10, 20 * GIB, 1).unwrap(), 10);
    }

    #[test]
    fn on_a_full_disk_nothing_starts_and_both_figures_are_told() {
        let refused = share(GIB / 2, 20 * GIB, 2).unwrap_err().to_string();
        assert_eq!(
            refused,
            "the disk of this machine is full: 512 MiB are free and 1 GiB stays free"
        );
        assert!(share(GIB, 20 * GIB, 2).is_err());
    }

    #[test]
    fn the_disk_of_a_folder_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(allowance(folder.path(), 1, 1).unwrap(), 1);
        assert!(allowance(&folder.path().join("none"), 1, 1).is_err());
    }
}
