//! What a REST API and an HTTP API send the authorizer.
#![no_main]

use authorizer::request::Request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<Request>(input) {
        let _ = request.credential("complical");
        let _ = (request.ip(), request.user_agent(), request.request_id());
        let _ = (request.stage(), request.brings_any(&["x-user".to_owned()]));
        let _ = format!("{request:?}");
    }
});
