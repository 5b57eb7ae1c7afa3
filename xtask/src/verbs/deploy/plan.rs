//! The changes of a deploy, for people and programs: the source of both the text and the JSON.

use deployer::{Adoption, Deployed, LeftOver, Line, Review, Tone};
use serde::Serialize;
use stacks::environment::Environment;

use crate::context::Context;
use crate::output::counted;

/// All changes of a deploy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::verbs) struct Plan {
    environment: String,
    mode: Mode,
    differs: bool,
    stacks: Vec<StackPlan>,
}

/// The deployed mode, if anything is deployed, and the new one.
#[derive(Debug, Serialize)]
struct Mode {
    before: Option<&'static str>,
    after: &'static str,
}

/// The changes of a stack.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StackPlan {
    action: StackAction,
    /// The reasons for a confirmation.
    concerns: Vec<String>,
    /// The status of what is left of a first deploy that failed, which is deleted first.
    remains: Option<String>,
    /// The tables that the stack adopts although they differ from their declaration.
    adoptions: Vec<AdoptedTable>,
    /// The log groups of a stack that is gone, which are removed.
    removed_log_groups: Vec<RemovedLogGroup>,
    #[serde(flatten)]
    review: Review,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum StackAction {
    Nothing,
    Create,
    Update,
    Delete,
}

/// A table, and how it differs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct AdoptedTable {
    table: String,
    /// Differences that are corrected before the adoption.
    corrected: Vec<String>,
    /// Differences that no change of the table can remove.
    obstacles: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct RemovedLogGroup {
    name: String,
    bytes: i64,
}

impl Plan {
    pub(super) fn new(
        environment: &Environment,
        before: Option<&'static str>,
        stacks: Vec<StackPlan>,
    ) -> Self {
        Self {
            environment: environment.name.clone(),
            mode: Mode {
                before,
                after: environment.mode().as_str(),
            },
            differs: stacks.iter().any(StackPlan::differs),
            stacks,
        }
    }

    /// Whether a deploy would change anything.
    pub(in crate::verbs) const fn differs(&self) -> bool {
        self.differs
    }

    /// Prints the plan.
    pub(in crate::verbs) fn show(&self, context: &Context) -> anyhow::Result<()> {
        let out = context.out;
        out.answer(self, |plan| {
            let lines = plan.lines();
            let lines = lines.iter().map(|line| out.review_data(line));
            lines.collect::<Vec<_>>().join("\n")
        })
    }

    /// The plan as lines; a stack that is deleted comes first.
    pub(super) fn lines(&self) -> Vec<Line> {
        if !self.differs {
            return vec![plain(format!("nothing differs in `{}`", self.environment))];
        }
        let mut lines = Vec::new();
        let Mode { before, after } = self.mode;
        if let Some(before) = before.filter(|before| *before != after) {
            lines.push(plain(format!(
                "the mode changes from `{before}` to `{after}`"
            )));
        }
        let (deleted, others): (Vec<_>, Vec<_>) = self
            .stacks
            .iter()
            .partition(|stack| stack.action == StackAction::Delete);
        lines.extend(deleted.into_iter().chain(others).flat_map(StackPlan::lines));
        lines
    }

    /// The stacks that change.
    pub(super) fn names(&self) -> Vec<&str> {
        let stacks = self.stacks.iter().filter(|stack| stack.differs());
        stacks.map(|stack| stack.review.stack.as_str()).collect()
    }

    /// The reasons for a confirmation.
    pub(super) fn concerns(&self) -> Vec<String> {
        let stacks = self.stacks.iter();
        stacks.flat_map(|stack| stack.concerns.clone()).collect()
    }
}

fn plain(text: String) -> Line {
    Line {
        tone: Tone::Plain,
        text,
    }
}

fn danger(text: String) -> Line {
    Line {
        tone: Tone::Danger,
        text,
    }
}

impl StackPlan {
    /// The plan of a stack with these changes.
    pub(super) fn of(review: &Review) -> Self {
        // A change of outputs or tags alone changes no resource.
        let action = if review.exists {
            StackAction::Update
        } else {
            StackAction::Create
        };
        Self::new(action, review.concerns(), review.clone())
    }

    /// The plan of a stack that stays as it is.
    pub(super) fn unchanged(name: &str) -> Self {
        Self::new(StackAction::Nothing, Vec::new(), Review::of_nothing(name))
    }

    /// The plan of a stack that is deleted.
    pub(super) fn deleted(name: &str, concerns: Vec<String>) -> Self {
        Self::new(StackAction::Delete, concerns, Review::of_nothing(name))
    }

    const fn new(action: StackAction, concerns: Vec<String>, review: Review) -> Self {
        Self {
            action,
            concerns,
            remains: None,
            adoptions: Vec::new(),
            removed_log_groups: Vec::new(),
            review,
        }
    }

    /// The same, with the tables that the stack adopts.
    pub(super) fn adopting(self, adoptions: &[Adoption]) -> Self {
        let tables = adoptions.iter().map(|adoption| {
            let said = |obstacles: bool| {
                let differences = adoption.differences.iter();
                let these = differences.filter(|one| one.is_obstacle() == obstacles);
                these.map(ToString::to_string).collect()
            };
            AdoptedTable {
                table: adoption.table.clone(),
                corrected: said(false),
                obstacles: said(true),
            }
        });
        Self {
            adoptions: tables.collect(),
            ..self
        }
    }

    /// The same, with the log groups that are removed.
    pub(super) fn clearing(self, left: Vec<LeftOver>) -> Self {
        let groups = left.into_iter().map(|left| RemovedLogGroup {
            name: left.group,
            bytes: left.bytes,
        });
        Self {
            removed_log_groups: groups.collect(),
            ..self
        }
    }

    /// The same, after what is left of a first deploy is deleted.
    pub(super) fn replacing(self, remains: Option<&Deployed>) -> Self {
        Self {
            remains: remains.map(|stack| stack.status.clone()),
            ..self
        }
    }

    /// Whether a deploy changes anything.
    pub(super) fn differs(&self) -> bool {
        self.action != StackAction::Nothing || !self.removed_log_groups.is_empty()
    }

    fn lines(&self) -> Vec<Line> {
        if !self.differs() {
            return Vec::new();
        }
        let mut lines = vec![self.head()];
        if self.action == StackAction::Delete {
            lines.extend(self.concerns.iter().cloned().map(danger));
        }
        lines.extend(self.removed_log_groups.iter().map(|group| {
            danger(format!(
                "- log group `{}` of a stack that is gone: removed with the {} of lines written after it",
                group.name,
                counted(group.bytes, "byte")
            ))
        }));
        lines.extend(self.adoptions.iter().flat_map(AdoptedTable::lines));
        lines.extend(self.review.lines());
        if lines.len() == 1 && self.action == StackAction::Update {
            lines.push(plain("its outputs or its tags".to_owned()));
        }
        let inner = lines.iter_mut().skip(1);
        inner.for_each(|line| line.text.insert_str(0, "  "));
        lines
    }

    fn head(&self) -> Line {
        let name = &self.review.stack;
        match (self.action, &self.remains) {
            (StackAction::Delete, _) => danger(format!(
                "stack `{name}` is deleted, once the processor has emptied the stream; the tables and all counts stay"
            )),
            (StackAction::Create, Some(status)) => danger(format!(
                "stack `{name}` is `{status}`: what is left of it is deleted, and it is created again:"
            )),
            (StackAction::Create, None) => plain(format!("stack `{name}` is created:")),
            (StackAction::Update | StackAction::Nothing, _) => {
                plain(format!("stack `{name}` is changed:"))
            }
        }
    }
}

impl AdoptedTable {
    fn lines(&self) -> Vec<Line> {
        let table = &self.table;
        let obstacles = self.obstacles.iter().map(|obstacle| {
            danger(format!(
                "! table `{table}`: {obstacle}; which no change of the table can remove"
            ))
        });
        let corrected = self.corrected.iter().map(|difference| {
            plain(format!(
                "! table `{table}`: {difference}; which is corrected first"
            ))
        });
        obstacles.chain(corrected).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> Environment {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        Environment::load(&root.join("../stacks/environments/local.yaml")).unwrap()
    }

    fn texts(plan: &Plan) -> Vec<String> {
        plan.lines().into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_plan_without_a_difference_is_one_line() {
        let stacks = vec![StackPlan::unchanged("S")];
        let plan = Plan::new(&local(), Some("stream"), stacks);
        assert!(!plan.differs());
        assert_eq!(texts(&plan), ["nothing differs in `local`"]);
    }

    #[test]
    fn a_change_set_without_a_resource_is_still_a_change() {
        let outputs = StackPlan::of(&Review::of_nothing("S"));
        let plan = Plan::new(&local(), Some("stream"), vec![outputs]);
        assert!(plan.differs());
        assert_eq!(
            texts(&plan),
            ["stack `S` is changed:", "  its outputs or its tags"]
        );
    }

    #[test]
    fn text_and_json_say_the_same() {
        let template = serde_json::json!({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}});
        let made = StackPlan::of(&Review::of_new_stack("S", &template, &[]));
        let gone = StackPlan::deleted("K", vec!["3 dead letters in `q` are lost".into()]);
        let plan = Plan::new(&local(), Some("synchronous"), vec![made, gone]);
        assert_eq!(
            texts(&plan),
            [
                "the mode changes from `synchronous` to `stream`",
                "stack `K` is deleted, once the processor has emptied the stream; the tables and all counts stay",
                "  3 dead letters in `q` are lost",
                "stack `S` is created:",
                "  + Queue (AWS::SQS::Queue)",
            ]
        );
        assert_eq!(plan.lines()[1].tone, Tone::Danger);
        assert_eq!(plan.names(), ["S", "K"]);
        assert_eq!(plan.concerns(), ["3 dead letters in `q` are lost"]);
        let json = serde_json::to_value(&plan).unwrap();
        assert_eq!(json["differs"], true);
        assert_eq!(
            json["mode"],
            serde_json::json!({"before": "synchronous", "after": "stream"})
        );
        let [made, gone] = &json["stacks"].as_array().unwrap()[..] else {
            panic!("{json}");
        };
        assert_eq!(
            (&made["action"], &made["stack"]),
            (&"create".into(), &"S".into())
        );
        assert_eq!(made["changes"][0]["logicalId"], "Queue");
        assert_eq!(made["changes"][0]["type"], "AWS::SQS::Queue");
        assert_eq!(gone["action"], "delete");
    }

    #[test]
    fn what_happens_besides_the_template_is_in_text_and_json() {
        let template =
            serde_json::json!({"Resources": {"Table": {"Type": "AWS::DynamoDB::Table"}}});
        let remains = Deployed {
            name: "S".into(),
            status: "ROLLBACK_COMPLETE".into(),
            ..Deployed::default()
        };
        let left = LeftOver {
            group: "/g".into(),
            bytes: 7,
        };
        let review = Review::of_new_stack("S", &template, &["Table".to_owned()]);
        let plan = StackPlan::of(&review)
            .clearing(vec![left])
            .replacing(Some(&remains));
        let plan = Plan::new(&local(), None, vec![plan]);
        assert_eq!(
            texts(&plan),
            [
                "stack `S` is `ROLLBACK_COMPLETE`: what is left of it is deleted, and it is created again:",
                "  - log group `/g` of a stack that is gone: removed with the 7 bytes of lines written after it",
                "  > Table (AWS::DynamoDB::Table) adopted",
            ]
        );
        assert_eq!(plan.lines()[0].tone, Tone::Danger);
        let json = serde_json::to_value(&plan).unwrap();
        let stack = &json["stacks"][0];
        assert_eq!(stack["remains"], "ROLLBACK_COMPLETE");
        assert_eq!(
            stack["removedLogGroups"],
            serde_json::json!([{"name": "/g", "bytes": 7}])
        );
        assert_eq!(stack["changes"][0]["action"], "adopt");
    }
}
