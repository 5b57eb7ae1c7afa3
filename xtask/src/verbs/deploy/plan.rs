//! The changes that a deploy would make, for `diff` and `deploy --dry-run`: computed by
//! CloudFormation, shown, and discarded.

use std::collections::BTreeMap;

use anyhow::Context as _;
use deployer::{Bucket, Deployed, Line, Prepared, Request, Review, Stacks, Template, Tone};
use domain::names::StackKind;
use serde::Serialize;
use stacks::environment::Environment;
use stacks::{Assembly, StackArtifact};

use super::{Deployment, Manner, account, leftovers, order, review, start};
use crate::aws::{Reached, deployed_mode, reach};
use crate::consent::Consent;
use crate::context::Context;
use crate::context::is_embedded;
use crate::functions::{self, Flavour};
use crate::options::ArchOption;
use crate::stop::Stop;

/// All changes of a deploy: the source of both the text and the JSON.
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
#[derive(Debug, Serialize)]
struct StackPlan {
    action: StackAction,
    /// The reasons for a confirmation.
    concerns: Vec<String>,
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

/// Determines the changes of a deploy of `environment`, without making any.
pub(in crate::verbs) async fn plan(
    context: &Context,
    environment: Environment,
    stacks: &[String],
    arch: ArchOption,
) -> anyhow::Result<Plan> {
    let selection = super::selected(&environment, stacks)?;
    let flavour = Flavour::of(&environment, arch.arch)?;
    let outside = if is_embedded(&environment) {
        None
    } else {
        Some(account::reach(context, environment.clone()).await?)
    };
    let environment = outside
        .as_ref()
        .map_or(environment, |reached| reached.environment.clone());
    let assets = functions::build(context, flavour).await?;
    let environment = context.trusting_this_machine(environment)?;
    let assembly =
        ::stacks::synthesise(&environment, &assets).context("synthesising the stacks")?;
    let reached = match outside {
        Some(reached) => reached,
        None if context.local().running().await?.is_none() => {
            let stacks = new_locally(context, &environment, &assembly, &selection)?;
            return Ok(Plan::new(&environment, None, stacks));
        }
        // The deployed environment in the mode that it would get.
        None => Reached {
            environment,
            ..reach(context).await?
        },
    };
    let manner = Manner {
        consent: Consent {
            dry_run: true,
            yes: false,
        },
        outside_local: !reached.environment.is_local(),
    };
    let deployment = Deployment {
        context,
        reached,
        assembly,
        manner,
        stacks: selection,
    };
    deployment.plan().await
}

/// The stacks that would be created on an embedded AWS that is not running yet.
fn new_locally(
    context: &Context,
    environment: &Environment,
    assembly: &Assembly,
    selection: &[StackKind],
) -> anyhow::Result<Vec<StackPlan>> {
    let names = environment.names();
    let wanted = |artifact: &&StackArtifact| {
        let mut kinds = selection.iter();
        kinds.any(|kind| names.stack(*kind) == artifact.name)
    };
    let artifacts = assembly.stacks.iter().filter(wanted);
    let stacks = artifacts.map(|artifact| {
        review::show_unsupported(context, artifact);
        let template = start::parsed(artifact)?;
        let template = deployer::without_refused(template, &review::refused(artifact));
        let review = Review::of_new_stack(&artifact.name, &template);
        Ok(StackPlan::of(review))
    });
    stacks.collect()
}

impl Deployment<'_> {
    async fn plan(&self) -> anyhow::Result<Plan> {
        let environment = &self.reached.environment;
        let before = self.reached.stacks().await?;
        let bucket = self.reached.assets_bucket();
        let mut stacks = Vec::new();
        for artifact in self.stacks.iter().filter_map(|kind| self.artifact(*kind)) {
            self.context
                .out
                .step(&format!("comparing stack `{}`", artifact.name));
            stacks.push(self.planned(artifact, &bucket).await?);
        }
        if let Some(stack) = order::retired(environment, &before, &self.stacks) {
            let concerns = order::concerns_of_retiring(&self.reached).await?;
            stacks.push(StackPlan::deleted(&stack, concerns));
        }
        let mode = (!before.is_empty()).then(|| deployed_mode(&before).as_str());
        Ok(Plan::new(environment, mode, stacks))
    }

    async fn planned(
        &self,
        artifact: &StackArtifact,
        bucket: &Bucket,
    ) -> anyhow::Result<StackPlan> {
        let name = &artifact.name;
        let parsed = self.template(artifact)?;
        let stacks = Stacks::new(&self.reached.session);
        let current = stacks.find(name).await?;
        // A dry run only shows them.
        leftovers::cleared(self, current.as_ref(), &parsed, name).await?;
        let Some(current) = current.filter(|stack| !stack.never_came_up()) else {
            return Ok(StackPlan::of(Review::of_new_stack(name, &parsed)));
        };
        comparable(&current)?;
        let template = Template::new(name, parsed, bucket).await?;
        let request = Request {
            stack: name,
            template: &template,
            parameters: &BTreeMap::new(),
            tags: &artifact.tags,
        };
        Ok(match stacks.prepare(&request, Some(&current)).await? {
            Prepared::Nothing => StackPlan::unchanged(name),
            Prepared::Changes { change_set, review } => {
                stacks.discard(&change_set).await?;
                StackPlan::of(self.believed(review))
            }
        })
    }
}

/// Refuses a stack for which CloudFormation creates no change set.
fn comparable(stack: &Deployed) -> Result<(), Stop> {
    let Deployed { name, status, .. } = stack;
    let hint = if !stack.is_settled() {
        "a deploy is under way: run the command again when it is done"
    } else if status == "UPDATE_ROLLBACK_FAILED" {
        "`cargo xtask deploy` finishes the rollback first, and then shows what changes"
    } else {
        return Ok(());
    };
    Err(Stop::failed(format!(
        "stack `{name}` is `{status}`: its changes are unknown"
    ))
    .hint(hint))
}

impl Plan {
    fn new(
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
            differs: stacks
                .iter()
                .any(|stack| stack.action != StackAction::Nothing),
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

    fn lines(&self) -> Vec<Line> {
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
        lines.extend(self.stacks.iter().flat_map(StackPlan::lines));
        lines
    }
}

fn plain(text: String) -> Line {
    Line {
        tone: Tone::Plain,
        text,
    }
}

impl StackPlan {
    fn of(review: Review) -> Self {
        Self {
            action: if review.exists {
                StackAction::Update
            } else {
                StackAction::Create
            },
            concerns: review.concerns(),
            review,
        }
    }

    fn unchanged(name: &str) -> Self {
        Self {
            action: StackAction::Nothing,
            concerns: Vec::new(),
            review: Review::of_nothing(name),
        }
    }

    fn deleted(stack: &Deployed, concerns: Vec<String>) -> Self {
        Self {
            action: StackAction::Delete,
            concerns,
            review: Review::of_nothing(&stack.name),
        }
    }

    fn lines(&self) -> Vec<Line> {
        let name = &self.review.stack;
        let head = match self.action {
            StackAction::Nothing => return Vec::new(),
            StackAction::Create => format!("stack `{name}` is created:"),
            StackAction::Update => format!("stack `{name}` is changed:"),
            StackAction::Delete => {
                format!("stack `{name}` is deleted, once the processor has emptied the stream")
            }
        };
        let mut lines = vec![plain(head)];
        if self.action == StackAction::Delete {
            lines.extend(self.concerns.iter().map(|concern| Line {
                tone: Tone::Danger,
                text: format!("  {concern}"),
            }));
        }
        lines.extend(self.review.lines().into_iter().map(|line| Line {
            text: format!("  {}", line.text),
            ..line
        }));
        lines
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
    fn text_and_json_say_the_same() {
        let template = serde_json::json!({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}});
        let made = StackPlan::of(Review::of_new_stack("S", &template));
        let gone = Deployed {
            name: "K".into(),
            id: "id".into(),
            status: "CREATE_COMPLETE".into(),
            outputs: std::collections::BTreeMap::default(),
            parameters: std::collections::BTreeMap::default(),
        };
        let gone = StackPlan::deleted(&gone, vec!["3 dead letters in `q` are lost".into()]);
        let plan = Plan::new(&local(), Some("synchronous"), vec![made, gone]);
        assert_eq!(
            texts(&plan),
            [
                "the mode changes from `synchronous` to `stream`",
                "stack `S` is created:",
                "  + Queue (AWS::SQS::Queue)",
                "stack `K` is deleted, once the processor has emptied the stream",
                "  3 dead letters in `q` are lost",
            ]
        );
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
    fn a_stack_that_is_being_changed_is_not_compared() {
        let stack = |status: &str| Deployed {
            name: "S".into(),
            id: "id".into(),
            status: status.into(),
            outputs: std::collections::BTreeMap::default(),
            parameters: std::collections::BTreeMap::default(),
        };
        assert!(comparable(&stack("UPDATE_COMPLETE")).is_ok());
        for status in ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"] {
            let stop = comparable(&stack(status)).unwrap_err();
            assert!(stop.to_string().contains(status), "{stop}");
        }
    }
}
