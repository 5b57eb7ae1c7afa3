//! `/v1/keys` and `/v1/blocks`: API keys, and refused addresses and users, over HTTP, by the rules
//! of the command line ([`keyring`]).
//!
//! It authenticates the caller, reads the request, and leaves every rule to the keyring. A key's
//! plain text is in the response to its creation and nowhere else: never in logs, metrics or tables.
//!
//! # Cost
//!
//! A list reads one page; that of blocks also the list of addresses, and a thousand keys at a time
//! for their users. A change reads the keys of one user, and writes one transaction of two or
//! three items.

pub mod body;
pub mod error;
pub mod handler;
pub mod settings;
