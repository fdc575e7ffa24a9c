//! Nodes that must not outlive the process that started them, however it ends.

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

/// Has the kernel send SIGTERM to this process when the thread that started it ends (prctl(2),
/// `PR_SET_PDEATHSIG`). False where `parent` is gone already: nothing would be sent any more.
pub(crate) fn end_with(parent: i32) -> nix::Result<bool> {
    prctl::set_pdeathsig(Signal::SIGTERM)?;
    Ok(getppid() == Pid::from_raw(parent))
}
