//! A stream read from nowhere.
use stacks::constructs::{EventSourceSettings, Queue};

fn settings(dead_letters: &Queue) -> EventSourceSettings<'_> {
    EventSourceSettings {
        batch_size: 100,
        window_seconds: 1,
        parallelization: 1,
        dead_letters,
        filter: None,
    }
}

fn main() {
    let _ = settings;
}
