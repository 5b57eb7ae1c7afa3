//! Lines of the access log. A caller controls parts of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reconciler::line;

fuzz_target!(|text: &str| {
    let _ = line::read(text, "/complical/test/api");
});
