//! How long a macaroon takes: mint, three caveats, verify. Prints JSON; run with `cargo bench -p oc-auth`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures and ends when it cannot go on"
)]

use std::hint::black_box;
use std::time::Instant;

use oc_auth::{Access, Ask, Caveat, Macaroon, RootKey};
use oc_kernel::ObjectKey;

const ROUNDS: u32 = 20_000;

fn main() {
    let key = RootKey::generate();
    let object: ObjectKey = "images/2020/a.tif".parse().unwrap();
    let caveats = [
        Caveat::Input(vec![object.clone()]),
        Caveat::Time(1_700_000_000_000),
        Caveat::Generation(3),
    ];
    let ask = Ask {
        now_ms: 1_600_000_000_000,
        generation: 3,
        work: None,
        access: Access::Read(&object),
    };
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let minted = Macaroon::mint(&key, "step");
        let macaroon = caveats.iter().fold(minted, Macaroon::with);
        black_box(&macaroon).verify(&key, &ask).unwrap();
    }
    let each = start.elapsed() / ROUNDS;
    println!(
        "{{\"mint_three_caveats_verify_us\":{}}}",
        each.as_nanos() as f64 / 1e3
    );
}
