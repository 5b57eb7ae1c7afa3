//! Entries of the journal, in every format.
#![no_main]

use domain::entry::{Facts, events};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(facts) = Facts::read(input) else {
        return;
    };
    let _ = (facts.contents().count(), facts.labels().count());
    let _ = (facts.iter().count(), facts.amounts().count());
    let _ = events(&facts, input);
});
