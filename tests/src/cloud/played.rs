//! States of a deployment that the embedded AWS cannot be brought into.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::elements;

/// What the proxy says instead of the embedded AWS.
#[derive(Debug, Default)]
pub(super) struct Played {
    statuses: BTreeMap<String, String>,
    protected: BTreeSet<String>,
    /// Code and message, by action.
    refused: BTreeMap<String, (String, String)>,
}

impl Played {
    pub(super) fn set_status(&mut self, stack: &str, status: &str) {
        self.statuses.insert(stack.to_owned(), status.to_owned());
    }

    pub(super) fn protect(&mut self, stack: &str) {
        self.protected.insert(stack.to_owned());
    }

    pub(super) fn refuse(&mut self, action: &str, code: &str, message: &str) {
        let refusal = (code.to_owned(), message.to_owned());
        self.refused.insert(action.to_owned(), refusal);
    }

    /// The response to a refused action.
    pub(super) fn refusal(&self, action: &str) -> Option<String> {
        let (code, message) = self.refused.get(action)?;
        Some(format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error></ErrorResponse>"
        ))
    }

    /// The description of one stack.
    pub(super) fn described(&self, answer: &str) -> String {
        let mut answer = answer.to_owned();
        let name = elements(&answer, "StackName").next().unwrap_or_default();
        let (status, protected) = (self.statuses.get(name), self.protected.contains(name));
        if let Some(status) = status {
            answer = with(&answer, "StackStatus", status);
        }
        if protected {
            answer = with(&answer, "EnableTerminationProtection", "true");
        }
        answer
    }
}

/// The answer with another text in an element, which goes before the stack's status if it is not
/// there.
fn with(answer: &str, element: &str, text: &str) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let replaced = format!("{open}{text}{close}");
    match (answer.split_once(&open), answer.split_once(&close)) {
        (Some((before, _)), Some((_, after))) => format!("{before}{replaced}{after}"),
        _ => answer.replacen("<StackStatus>", &format!("{replaced}<StackStatus>"), 1),
    }
}
