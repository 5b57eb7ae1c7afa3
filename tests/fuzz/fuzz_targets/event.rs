//! Events of the stream: both decoders agree, and what they accept is written back as it was.
#![no_main]

use domain::event::{EventRef, UsageEvent};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let owned = UsageEvent::decode(input).ok();
    let borrowed = EventRef::decode(input).ok();
    assert_eq!(borrowed.as_ref().map(EventRef::to_owned), owned);
    if let Some(event) = owned {
        assert_eq!(UsageEvent::decode(&event.to_json()).ok(), Some(event));
    }
});
