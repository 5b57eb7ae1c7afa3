//! Faults on demand: the fate of each call of a store.

use domain::table::ItemKey;

/// The fate of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None: it succeeds or fails by itself.
    None,
    /// It is refused before it takes effect.
    Refused,
    /// The partition throttles it.
    Throttled,
    /// The table does not exist.
    Missing,
    /// What it would write is larger than an item may be.
    TooLarge,
    /// It takes effect, and its response is lost.
    AnswerLost,
    /// It has no effect and never returns: the caller dies waiting.
    Hangs,
    /// It takes effect and never returns.
    DoneAndHangs,
}

impl Fault {
    pub(super) const fn lets_do(self) -> bool {
        matches!(self, Self::None | Self::AnswerLost | Self::DoneAndHangs)
    }
}

/// The kind of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A read.
    Read,
    /// A write.
    Write,
}

/// Decides the fate of each call.
pub(super) type Faults = Box<dyn FnMut(Call, &ItemKey) -> Fault + Send>;

/// Faults of a caller whose call number `number`, from zero, ends it: an odd one takes no effect, an
/// even one takes effect and its response is lost.
pub fn dies_at(number: u32) -> impl FnMut(Call, &ItemKey) -> Fault + Send + 'static {
    let mut calls = 0;
    move |_, _| {
        let fault = match (calls == number, calls % 2) {
            (false, _) => Fault::None,
            (true, 0) => Fault::AnswerLost,
            (true, _) => Fault::Refused,
        };
        calls += 1;
        fault
    }
}
