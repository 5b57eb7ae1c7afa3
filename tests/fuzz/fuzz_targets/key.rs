//! Keys as callers present them: what parses is written back as it was, and hashes alike.
#![no_main]

use domain::key::{ApiKey, hash, normal_email};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(key) = ApiKey::parse(text) {
        assert_eq!(key.reveal(), text);
        assert_eq!(key.hash(), hash(text));
        assert!(text.starts_with(key.shown()));
    }
    if let Ok(email) = normal_email(text) {
        assert_eq!(normal_email(&email).ok(), Some(email));
    }
});
