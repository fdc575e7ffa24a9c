# The menu. Everything is done by ./run and cargo xtask; this only names it.

_default:
    @just --list

# Play the main job with two organisations
demo *options:
    ./run demo {{options}}

# Start one node
up *options:
    ./run up {{options}}

# Everything that has to pass
test:
    ./run test

# Format, lints and the rules of the workspace
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo xtask check-workspace

# The CWL suite, where it lies beside the repository
conformance *options:
    cargo xtask conformance {{options}}
