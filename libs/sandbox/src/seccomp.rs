//! A filter of system calls: a second lock behind the namespaces, for what they do not cover.
//!
//! It refuses the calls that reach parts of the kernel which are not divided by namespaces (keys, BPF,
//! performance counters, io_uring, clocks, modules) or that only serve to change mounts and namespaces,
//! and sockets of families that ignore the network namespace, such as the one between a virtual machine
//! and its host. Everything else a tool may call.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use nix::libc;

/// The filter in the form `bwrap --seccomp` reads; none where this crate does not know the machine's
/// numbers.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn filter() -> Option<Vec<u8>> {
    None
}

/// The filter in the form `bwrap --seccomp` reads: `struct sock_filter[]` in native byte order.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) fn filter() -> Option<Vec<u8>> {
    let program = program();
    let bytes = program.iter().flat_map(|step| {
        let [code_0, code_1] = step.code.to_ne_bytes();
        let [k_0, k_1, k_2, k_3] = step.k.to_ne_bytes();
        [code_0, code_1, step.jt, step.jf, k_0, k_1, k_2, k_3]
    });
    Some(bytes.collect())
}

/// One instruction of classic BPF (`struct sock_filter` of linux/filter.h).
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[derive(Debug, Clone, Copy)]
struct Step {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod number {
    use super::libc;

    /// `AUDIT_ARCH_*` of linux/audit.h.
    #[cfg(target_arch = "x86_64")]
    pub(super) const ARCHITECTURE: u32 = 0xC000_003E;
    /// `AUDIT_ARCH_*` of linux/audit.h.
    #[cfg(target_arch = "aarch64")]
    pub(super) const ARCHITECTURE: u32 = 0xC000_00B7;

    /// Offsets in `struct seccomp_data` of linux/seccomp.h; both machines are little-endian.
    pub(super) const AT_CALL: u32 = 0;
    pub(super) const AT_ARCHITECTURE: u32 = 4;
    pub(super) const AT_FIRST_ARGUMENT: u32 = 16;

    /// Calls of the x32 kind carry this bit beside the same architecture.
    pub(super) const X32: u32 = 0x4000_0000;

    /// AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK: all four are empty in a new network namespace.
    pub(super) const FAMILIES: [i32; 4] = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ];

    pub(super) const REFUSED: [libc::c_long; 43] = [
        libc::SYS_acct,
        libc::SYS_add_key,
        libc::SYS_adjtimex,
        libc::SYS_bpf,
        libc::SYS_clock_adjtime,
        libc::SYS_clock_settime,
        libc::SYS_delete_module,
        libc::SYS_fanotify_init,
        libc::SYS_finit_module,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fsopen,
        libc::SYS_fspick,
        libc::SYS_init_module,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_io_uring_setup,
        libc::SYS_kcmp,
        libc::SYS_kexec_file_load,
        libc::SYS_kexec_load,
        libc::SYS_keyctl,
        libc::SYS_mount,
        libc::SYS_mount_setattr,
        libc::SYS_move_mount,
        libc::SYS_name_to_handle_at,
        libc::SYS_open_by_handle_at,
        libc::SYS_open_tree,
        libc::SYS_perf_event_open,
        libc::SYS_pivot_root,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_ptrace,
        libc::SYS_quotactl,
        libc::SYS_reboot,
        libc::SYS_request_key,
        libc::SYS_setns,
        libc::SYS_settimeofday,
        libc::SYS_swapoff,
        libc::SYS_swapon,
        libc::SYS_syslog,
        libc::SYS_umount2,
        libc::SYS_unshare,
        libc::SYS_userfaultfd,
    ];
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn program() -> Vec<Step> {
    use number::{
        ARCHITECTURE, AT_ARCHITECTURE, AT_CALL, AT_FIRST_ARGUMENT, FAMILIES, REFUSED, X32,
    };

    let load = |offset| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let equal = |k, jt, jf| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jt, jf, k);
    let at_least = |k, jt, jf| step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, jt, jf, k);
    let answer = |action| step(libc::BPF_RET | libc::BPF_K, 0, 0, action);
    let refuse = answer(libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned());
    let allow = answer(libc::SECCOMP_RET_ALLOW);

    let mut program = vec![
        load(AT_ARCHITECTURE),
        equal(ARCHITECTURE, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(AT_CALL),
        at_least(X32, 0, 1),
        refuse,
    ];
    for call in REFUSED {
        program.extend([equal(low(call), 0, 1), refuse]);
    }
    for call in [libc::SYS_socket, libc::SYS_socketpair] {
        // Over the load, a check for each family, the refusal and the permission.
        program.push(equal(low(call), 0, FAMILIES.len() as u8 + 3));
        program.push(load(AT_FIRST_ARGUMENT));
        for (family, to_allow) in FAMILIES.into_iter().zip((1..=FAMILIES.len() as u8).rev()) {
            program.push(equal(family.cast_unsigned(), to_allow, 0));
        }
        program.extend([refuse, allow]);
    }
    program.push(allow);
    program
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn step(code: u32, jt: u8, jf: u8, k: u32) -> Step {
    Step {
        code: u16::try_from(code).unwrap_or(0),
        jt,
        jf,
        k,
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn low(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;

    /// Runs the program as the kernel would, for the instructions it uses.
    fn answer(architecture: u32, call: libc::c_long, first_argument: u32) -> u32 {
        let program = program();
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let Step { code, jt, jf, k } = program[at];
            at += 1;
            let skip = |yes: bool| usize::from(if yes { jt } else { jf });
            match u32::from(code) {
                c if c == libc::BPF_RET | libc::BPF_K => return k,
                c if c == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    accumulator = match k {
                        number::AT_CALL => low(call),
                        number::AT_ARCHITECTURE => architecture,
                        _ => first_argument,
                    };
                }
                c if c == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => {
                    at += skip(accumulator == k)
                }
                _ => at += skip(accumulator >= k),
            }
        }
    }

    const REFUSAL: u32 = libc::SECCOMP_RET_ERRNO | 1;

    #[test]
    fn dangerous_calls_are_refused_and_ordinary_ones_allowed() {
        let ours = number::ARCHITECTURE;
        for call in number::REFUSED {
            assert_eq!(answer(ours, call, 0), REFUSAL, "{call}");
        }
        for call in [
            libc::SYS_read,
            libc::SYS_openat,
            libc::SYS_clone,
            libc::SYS_execve,
        ] {
            assert_eq!(answer(ours, call, 0), libc::SECCOMP_RET_ALLOW, "{call}");
        }
    }

    #[test]
    fn sockets_stay_within_families_that_the_namespace_divides() {
        for call in [libc::SYS_socket, libc::SYS_socketpair] {
            for family in number::FAMILIES {
                let answer = answer(number::ARCHITECTURE, call, family.cast_unsigned());
                assert_eq!(answer, libc::SECCOMP_RET_ALLOW, "{family}");
            }
            for family in [libc::AF_VSOCK, libc::AF_ALG, libc::AF_PACKET] {
                let answer = answer(number::ARCHITECTURE, call, family.cast_unsigned());
                assert_eq!(answer, REFUSAL, "{family}");
            }
        }
    }

    #[test]
    fn another_architecture_ends_the_process() {
        let answer = answer(0x4000_0003, libc::SYS_read, 0);
        assert_eq!(answer, libc::SECCOMP_RET_KILL_PROCESS);
    }
}
