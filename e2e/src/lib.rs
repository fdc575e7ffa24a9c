//! Tests of the whole: real `opencloud` processes, driven through their public API and command line only.
//!
//! The library is what several of them share: images to offer, a stranger that speaks libp2p, and the play under fire (`chaos`), which
//! `cargo xtask chaos` and the tests in `tests/it` both run. It knows no code of a service.

pub mod chaos;
pub mod images;
pub mod stranger;
