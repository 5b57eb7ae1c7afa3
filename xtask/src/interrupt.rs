//! Ctrl-C: it ends a command wherever it is, but at a question it is an answer.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::stop::{Exit, Stop};

/// Whether the command waits for an answer.
static IS_ASKING: AtomicBool = AtomicBool::new(false);

/// Ends when the user presses Ctrl-C, or something asks the process to end.
pub(crate) async fn interruption() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Whether an interrupt answers a question: then the verb ends by itself, and can first remove what
/// it prepared.
pub(crate) fn answers_a_question() -> bool {
    IS_ASKING.load(Ordering::SeqCst)
}

/// Waits for an answer; an interrupt is one, too.
pub(crate) async fn asking<T>(answer: impl Future<Output = T>) -> Result<T, Stop> {
    let _question = Question::open();
    tokio::select! {
        biased;
        () = interruption() => Err(Stop::new(Exit::Interrupted, "interrupted")),
        answer = answer => Ok(answer),
    }
}

/// The time during which a question is open.
#[derive(Debug)]
struct Question;

impl Question {
    fn open() -> Self {
        IS_ASKING.store(true, Ordering::SeqCst);
        Self
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        IS_ASKING.store(false, Ordering::SeqCst);
    }
}
