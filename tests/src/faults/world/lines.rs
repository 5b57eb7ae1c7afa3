//! Lines of the access log on their way through the reconciler and its queue.

use super::super::log;
use super::super::random::Random;
use super::super::task::Task;
use super::{MESSAGES, World};

impl World {
    /// The subscription delivers some lines, and the queue some messages.
    pub(super) fn begin_lines(&mut self, random: &mut Random) {
        if random.once_in(4) {
            let lines = self.log.some(random);
            self.forward(lines, true);
        }
        if random.once_in(3) {
            let most = 1 + random.place(MESSAGES);
            self.append_messages(most);
        }
    }

    pub(super) fn forward(&mut self, lines: Vec<usize>, again: bool) {
        if lines.is_empty() {
            return;
        }
        let at = self.now_of(1);
        self.oracle.lines_offered(&self.log.lines, &lines, at);
        let data = self.log.data(&lines);
        let task = Task::forward(&self.reconciler, data, at, (lines, again));
        self.tasks.push(task);
    }

    pub(super) fn append_messages(&mut self, most: usize) {
        let messages = self.log.due(self.now(), most);
        if messages.is_empty() {
            return;
        }
        let at = self.now_of(1);
        for message in &messages {
            let lines = log::lines_of(&message.body);
            self.oracle.lines_offered(&self.log.lines, &lines, at);
        }
        let task = Task::append(&self.reconciler, messages, at);
        self.tasks.push(task);
    }

    pub(super) fn end_messages(&mut self, messages: &[log::Message], failed: Option<&[String]>) {
        for message in messages {
            let id = message.id.to_string();
            let is_failed = failed.as_ref().is_none_or(|failed| failed.contains(&id));
            // The queue redelivers one in eight although it was finished.
            let repeated = message.body.len() % 8 == 0 && message.first();
            if is_failed || repeated {
                let now = self.now();
                self.log.hand_out_again(message.clone(), now, !is_failed);
            }
        }
    }
}
