//! The program; all of it lies in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    oc_benches::main()
}
