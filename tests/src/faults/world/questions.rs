//! Questions to the analytics API during the run, and once the system is at rest.

use super::super::questions::{Answer, Question};
use super::super::task::{Doing, Task};
use super::World;

impl World {
    pub(super) fn ask(&mut self, choice: u64) {
        let is_asking = |task: &Task| matches!(task.doing, Doing::Ask { .. });
        if !self.tasks.iter().any(is_asking) {
            let question = Question::choose(choice);
            let tables = (self.usage.clone(), self.analytics.clone());
            self.tasks.push(Task::ask(tables, question, self.now()));
        }
    }

    /// A response never returns more calls than any fact supports, and, unless something disturbs
    /// it, never fewer than an earlier response with the same or an earlier time.
    pub(super) fn answered(&mut self, question: Question, answer: &Answer) {
        let most = (
            self.oracle.most_calls(question.user()),
            self.oracle.most_tokens(question.user()),
        );
        if answer.calls > most.0 || answer.tokens > most.1 {
            let wrong = format!("{question:?}: {answer:?}, of at most {most:?}");
            self.wrong.get_or_insert(wrong);
        }
        let steady = self.is_steady && !self.oracle.disagrees();
        let before = self.answers.insert(question, answer.clone());
        if let Some(before) = before
            && steady
            && answer.forgets(&before)
        {
            let wrong = format!("{question:?}: first {before:?}, then {answer:?}");
            self.wrong.get_or_insert(wrong);
        }
    }

    /// What the API answers when nothing goes on.
    pub(super) async fn answers_at_rest(&self) -> Result<Vec<(Question, Answer)>, String> {
        let tables = (self.usage.clone(), self.analytics.clone());
        let mut answers = Vec::new();
        for question in Question::AT_REST {
            let answer = question.ask(&tables, self.now()).await;
            let answer = answer.ok_or_else(|| format!("no answer to {question:?}"))?;
            answers.push((question, answer));
        }
        Ok(answers)
    }
}
