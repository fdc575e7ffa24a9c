//! Whether tools can be sandboxed on this machine, and what to do where they cannot.

use oc_sandbox::{Report, Sandbox, SandboxError};

/// Why there is no sandbox, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoSandbox {
    /// What was tried and what bubblewrap said.
    pub(crate) why: String,
    pub(crate) advice: &'static str,
}

/// What this machine has: the report, or why there is no sandbox.
pub(crate) fn look() -> Result<Report, NoSandbox> {
    match Sandbox::find() {
        Ok(sandbox) => Ok(sandbox.report().clone()),
        Err(error) => Err(NoSandbox::because(&error)),
    }
}

impl NoSandbox {
    fn because(error: &SandboxError) -> Self {
        let advice = match error {
            SandboxError::Missing { .. } => {
                "install bubblewrap (apt-get install bubblewrap); partners' fragments are refused without it"
            }
            _ => {
                "bubblewrap needs user namespaces: `sysctl kernel.unprivileged_userns_clone=1` on Debian, `sysctl \
                 kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu; in a container, start it with leave to \
                 make them, and never below a plain chroot"
            }
        };
        let why = error.to_string();
        Self { why, advice }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_bubblewrap_is_not_told_to_install_it() {
        let why = "bwrap: No permissions to create new namespace".to_owned();
        let advice = |error: SandboxError| NoSandbox::because(&error).advice;
        let missing = SandboxError::Missing { why: why.clone() };
        assert!(advice(missing).contains("apt-get install"));
        let denied = SandboxError::Unavailable { why };
        assert!(advice(denied).contains("user namespaces"));
    }
}
