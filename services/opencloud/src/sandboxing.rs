//! Whether tools can be sandboxed on this machine, and what to do where they cannot.

use oc_sandbox::{Report, Sandbox};

/// Why there is no sandbox, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoSandbox {
    /// What was tried and what bubblewrap said.
    pub(crate) why: String,
    pub(crate) advice: &'static str,
}

/// What this machine has: the report, or why there is no sandbox.
pub(crate) fn look() -> Result<Report, NoSandbox> {
    let report = Sandbox::detect();
    match report.bubblewrap {
        Some(_) => Ok(report),
        None => Err(NoSandbox::because(report.why.join("; "))),
    }
}

impl NoSandbox {
    fn because(why: String) -> Self {
        let missing = why.contains("not on the PATH") || why.contains("is older than");
        let advice = if missing {
            "install bubblewrap (apt-get install bubblewrap); partners' fragments are refused without it"
        } else {
            "bubblewrap needs user namespaces: `sysctl kernel.unprivileged_userns_clone=1` on Debian, `sysctl \
             kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu; in a container, start it with leave to make \
             them, and never below a plain chroot"
        };
        Self { why, advice }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_bubblewrap_is_not_told_to_install_it() {
        let advice = |why: &str| NoSandbox::because(why.to_owned()).advice;
        assert!(advice("`bwrap` is not on the PATH").contains("apt-get install"));
        assert!(advice("bubblewrap 0.4.1 is older than 0.8").contains("apt-get install"));
        let denied = "bubblewrap says: bwrap: No permissions to create new namespace";
        assert!(advice(denied).contains("user namespaces"));
    }
}
