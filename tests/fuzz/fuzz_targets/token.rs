//! Bearer tokens: none is accepted, because the fuzzer does not have the private key.
#![no_main]

use std::sync::LazyLock;

use bearer::Verifier;
use bearer::signing::{Signer, verifier};
use domain::time::UnixMillis;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| verifier(&[Signer::es256("one").jwk()]));
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().unwrap());

fuzz_target!(|text: &str| {
    let now = UnixMillis(1_795_363_445_678);
    let values = [text];
    assert!(RUNTIME.block_on(VERIFIER.caller(&values, now)).is_err());
});
