//! The notifier: delivers each alert to the alarm topic and to every webhook endpoint.
//!
//! An alert comes as a message that names it, and becomes one message an endpoint. A delivery that
//! fails comes again through the queue, later each time, for more than a day; then it is given up, and
//! listed. What is delivered is noted, so that a message that comes twice is delivered once. Where the
//! function dies between a delivery and its note, the same event comes again under the same id.

pub mod handler;
pub mod mail;
pub mod post;
pub mod secrets;
pub mod settings;
