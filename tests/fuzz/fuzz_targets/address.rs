//! Addresses of webhooks, and which of them are public.
#![no_main]

use std::net::IpAddr;

use domain::webhook::is_public;
use libfuzzer_sys::fuzz_target;
use stacks::environment::Address;

fuzz_target!(|text: &str| {
    if let Ok(address) = text.parse::<IpAddr>() {
        assert_eq!(is_public(address.to_canonical()), is_public(address));
        assert!(!(address.is_loopback() && is_public(address)));
    }
    let url = serde_json::Value::String(text.to_owned());
    if let Ok(url) = serde_json::from_value::<Address>(url) {
        let shown = url.as_str();
        assert!(shown.starts_with("https://") || shown.starts_with("http://"));
        assert!(!shown.contains(['?', '#']));
        // A path may have one; an authority with one has credentials.
        let authority = shown.split('/').nth(2).unwrap_or_default();
        assert!(!authority.contains('@'));
    }
});
