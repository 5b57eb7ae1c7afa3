//! The time, read here and nowhere else.

use domain::time::UnixMillis;

/// Now.
pub(crate) fn now() -> UnixMillis {
    UnixMillis::from(jiff::Timestamp::now())
}
