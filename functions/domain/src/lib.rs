//! The rules of metering, pure: events, API keys, journal entries, folds, counts, plans, and the
//! names that the functions and the stacks share.
//!
//! Nothing here reads a clock, the environment or the network, and nothing here knows AWS: every
//! decision follows from the arguments alone. That lets the fault model drive the same code through
//! millions of schedules.
//!
//! # The path of a call
//!
//! | step | module | rule |
//! |---|---|---|
//! | Who calls? | [`key`], [`gateway`] | A key is checked by its checksum first and stored as a SHA-256. |
//! | May they? | [`plan`], [`limit`] | Rates and quotas are decided from what the instance knows. |
//! | Under which name? | [`route`], [`dimension`] | Callers cannot invent endpoints or groups. |
//! | The decision | [`event`], [`id`] | The authorizer mints the id; the client never does. |
//! | What is stored | [`entry`] | Facts of one minute, packed; a repeat is the same item again. |
//! | What counts | [`fold`] | Each id once, however many entries name it. |
//! | Where it is summed | [`counts`], [`bill`] | Hours, days, months and all time, from the same slots. |
//! | What follows | [`alert`], [`webhook`] | Each threshold is announced once in a period. |
//!
//! [`names`] has the names that code and templates share, [`table`] the keys of the tables, and
//! [`endpoint`] the endpoints of the analytics API.
//!
//! # A call that is reported twice counts once
//!
//! The stream delivers the event twice, and the access log names the same call. The minute's fold
//! takes their union by id:
//!
//! ```
//! use domain::entry::Packer;
//! use domain::event::{EventData, EventType, Subject, UsageEvent};
//! use domain::fold::MinuteFold;
//! use domain::id::EventId;
//! use domain::names::TrackingMode;
//! use domain::time::Window;
//!
//! # fn main() -> Result<(), domain::entry::EntryError> {
//! let id = EventId::mint(1_795_363_445_000, [7; 10]);
//! let event = UsageEvent {
//!     id,
//!     source: "/complical/test/api".to_owned(),
//!     event_type: EventType::ApiCall,
//!     time: id.minted_at(),
//!     subject: Subject::user("ada@example.com"),
//!     data: EventData {
//!         key_id: Some("key_1".to_owned()),
//!         plan: Some("free".to_owned()),
//!         method: "GET".to_owned(),
//!         endpoint: "/v1/deadlines".to_owned(),
//!         units: 1,
//!         dimensions: Vec::new(),
//!         ip: "192.0.2.1".to_owned(),
//!         user_agent: None,
//!         request_id: None,
//!         stage: None,
//!         mode: TrackingMode::Stream,
//!         reason: None,
//!     },
//! };
//! let event = event.borrowed();
//!
//! let mut stream = Packer::default();
//! stream.report(&event);
//! stream.report(&event);
//! let mut access_log = Packer::default();
//! access_log.line(&event, None);
//!
//! let mut fold = MinuteFold::new(Window::Minute.start(id.minted_at()));
//! for entry in stream.pack().iter().chain(&access_log.pack()) {
//!     fold.add(&entry.facts, true)?;
//! }
//! let minute = fold.finish();
//! assert_eq!(minute.users["ada@example.com"].slot.counts.tally.calls, 1);
//! # Ok(())
//! # }
//! ```

pub mod access_log;
pub mod address;
pub mod alert;
pub mod bill;
pub mod calendar;
pub mod counts;
pub mod delivery;
pub mod dimension;
pub mod duration;
pub mod endpoint;
pub mod entry;
pub mod event;
pub mod fold;
pub mod gateway;
pub mod id;
pub mod key;
pub mod key_calls;
pub mod limit;
pub mod log_size;
pub mod mark;
pub mod meter;
pub mod names;
pub mod notice;
mod pack;
pub mod plan;
pub mod problem;
pub mod report;
pub mod response;
pub mod route;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
pub mod seen;
pub mod sign_in;
pub mod state;
pub mod table;
pub mod tally;
pub mod time;
pub mod usage;
pub mod webhook;
mod wire;
