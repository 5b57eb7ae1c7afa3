//! The notifier: delivers each alert to the alarm topic and to every webhook endpoint.
//!
//! An alert arrives as a message that names it, and becomes one message per endpoint. The queue
//! retries a delivery that fails, later each time, for more than a day. Then the notifier gives it up
//! and lists it. The notifier notes each delivery, so it delivers a repeated message once. If the
//! function dies between a delivery and its note, it sends the same event again under the same id.

pub mod handler;
pub mod mail;
pub mod post;
pub mod secrets;
pub mod settings;
