//! Lets libFuzzer search one target, the one that `OC_FUZZ_TARGET` names.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use oc_fuzz::Target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("OC_FUZZ_TARGET").unwrap_or_default();
    oc_fuzz::target(&name).unwrap_or_else(|| panic!("OC_FUZZ_TARGET names no target: {name}"))
});

fuzz_target!(|data: &[u8]| {
    (TARGET.take)(data);
});
