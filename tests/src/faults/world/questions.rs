//! Questions to the analytics API during the run.

use domain::event::Subject;
use domain::time::UnixMillis;

use super::super::task::{Doing, Task};
use super::super::traffic::CALLERS;
use super::World;

impl World {
    pub(super) fn ask(&mut self, caller: usize) {
        let is_asking = |task: &Task| matches!(task.doing, Doing::Ask { .. });
        if !self.tasks.iter().any(is_asking) {
            let subject = Subject::as_carried(CALLERS[caller]);
            let tables = (self.usage.clone(), self.analytics.clone());
            let task = Task::ask(tables, (caller, subject), self.now());
            self.tasks.push(task);
        }
    }

    /// A response never returns more calls than any fact supports, and, unless something disturbs
    /// it, never fewer than an earlier response with the same or an earlier time.
    pub(super) fn answered(
        &mut self,
        caller: usize,
        (calls, tokens, as_of): (u64, u64, UnixMillis),
    ) {
        let user = CALLERS[caller];
        let most = (self.oracle.most_calls(user), self.oracle.most_tokens(user));
        if calls > most.0 || tokens > most.1 {
            let wrong = format!(
                "{user} is said to have made {calls} calls of {tokens} tokens, of at most {most:?}"
            );
            self.wrong.get_or_insert(wrong);
        }
        let steady = self.is_steady && !self.oracle.disagrees();
        let before = self.answers.insert(caller, (calls, tokens, as_of));
        if let Some((fewer, less, at)) = before
            && steady
            && at <= as_of
            && (fewer > calls || less > tokens)
        {
            let wrong = format!(
                "{user} made {fewer} calls of {less} tokens as of {at}, and {calls} of {tokens} as of \
                 {as_of}"
            );
            self.wrong.get_or_insert(wrong);
        }
    }
}
