//! Environment files.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use stacks::environment::Environment;

fuzz_target!(|text: &str| {
    // A file may name an `OpenAPI` document, which the fuzzer has none of.
    if let Err(error) = Environment::parse("test", Path::new("test.yaml"), text) {
        let _ = error.to_string();
    }
});
