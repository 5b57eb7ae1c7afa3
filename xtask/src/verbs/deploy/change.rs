//! Carries a deploy out: everything is worked out and shown, one question is asked, and only then is
//! anything created, uploaded, changed or deleted.

use deployer::{Action, Adoption, Bucket, Change, Prepared, Review, Stacks, Tables};
use domain::names::StackKind;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::propose::{BUCKET, Proposal, Proposals};
use super::review::{Decision, asks, consented, named};
use super::{Deployment, adoption, leftovers, order};
use crate::aws::deletable;
use crate::output::counted;

/// How many zips are uploaded at the same time.
const UPLOADS: usize = 4;

impl Deployment<'_> {
    /// Changes the stacks to match the assembly.
    pub(super) async fn change(&self) -> anyhow::Result<Decision> {
        let out = self.context.out;
        let bucket = self.reached.assets_bucket();
        if !self.make_ready(&bucket).await? {
            return Ok(self.declined());
        }
        let proposals = self.propose(&bucket).await?;
        let plan = proposals.plan(&self.reached.environment);
        if !plan.differs() {
            return Ok(Decision::Unchanged);
        }
        let shown = out.before_a_question(asks(self.manner, &plan.concerns()));
        shown.step("what changes:");
        for line in plan.lines() {
            shown.review(&line);
        }
        self.show_unsupported(&proposals.stacks);
        let what = format!("change {}", named(&plan.names()));
        let agreed = match possible(&proposals) {
            Ok(()) => consented(self.context, self.manner, &what, &plan.concerns()).await,
            Err(error) => Err(error),
        };
        if !matches!(agreed, Ok(true)) {
            self.discard(&proposals.stacks).await?;
            agreed?;
            return Ok(self.declined());
        }
        self.publish(&bucket).await?;
        self.carry_out(&proposals, &bucket).await
    }

    fn declined(&self) -> Decision {
        self.context.out.warning("declined: nothing was changed");
        Decision::Declined
    }

    /// Makes the stacks that exist ready to be compared: waits for a change under way, finishes a
    /// rollback that stopped half-way, and removes log groups that would prevent a change set.
    /// Returns whether the user agreed.
    async fn make_ready(&self, bucket: &Bucket) -> anyhow::Result<bool> {
        let (out, session) = (self.context.out, &self.reached.session);
        let stacks = Stacks::new(session);
        let (mut half_way, mut left, mut exists) = (Vec::new(), Vec::new(), false);
        for (_, artifact) in self.artifacts() {
            let found = stacks.settled(&artifact.name, &out).await?;
            let Some(stack) = found.filter(|stack| !stack.never_came_up()) else {
                continue;
            };
            exists = true;
            stacks.forget_change_sets(&stack.name).await?;
            let template = self.template(artifact)?;
            left.extend(leftovers::found(session, Some(&stack), &template).await?);
            half_way.extend(stack.is_stuck().then_some(stack));
        }
        let mut what = Vec::new();
        if !half_way.is_empty() {
            let names: Vec<_> = half_way.iter().map(|stack| stack.name.as_str()).collect();
            what.push(format!("finish the rollback of {}", named(&names)));
        }
        what.extend(left.iter().map(|left| {
            let (group, bytes) = (&left.group, counted(left.bytes, "byte"));
            format!("remove log group `{group}` of a stack that is gone, with its {bytes}")
        }));
        if !what.is_empty() {
            let shown = out.before_a_question(asks(self.manner, &[]));
            for what in &what {
                shown.detail(&format!("first: {what}"));
            }
            if !consented(self.context, self.manner, &what.join(", and "), &[]).await? {
                return Ok(false);
            }
        }
        for stack in &half_way {
            stacks.finish_rollback(stack, &out).await?;
        }
        leftovers::remove(session, &left).await?;
        // The bucket of an environment that exists holds the templates to compare.
        if exists && !bucket.exists().await? {
            bucket.ensure(&out).await?;
        }
        Ok(true)
    }

    /// Uploads every asset to where its stack expects it.
    async fn publish(&self, bucket: &Bucket) -> anyhow::Result<()> {
        let out = self.context.out;
        bucket.ensure(&out).await?;
        let assets: Vec<_> = self
            .assembly
            .stacks
            .iter()
            .flat_map(|stack| &stack.assets)
            .collect();
        let all = assets.len();
        let uploads = assets
            .into_iter()
            .map(|asset| bucket.publish(&asset.key, &asset.zip, &asset.sha256));
        let mut uploads = futures_util::stream::iter(uploads).buffer_unordered(UPLOADS);
        let (mut looked, mut published) = (0, 0);
        while let Some(uploaded) = uploads.try_next().await? {
            looked += 1;
            if uploaded {
                published += 1;
                out.aside(&format!("uploaded a function's zip, {looked} of {all}"));
            }
        }
        if published > 0 {
            out.step(&format!("published {published} of {all} function zips"));
        }
        Ok(())
    }

    async fn carry_out(
        &self,
        proposals: &Proposals<'_>,
        bucket: &Bucket,
    ) -> anyhow::Result<Decision> {
        let changing = proposals.stacks.iter().filter(|one| one.plan.differs());
        for group in together(changing.collect()) {
            let ended = join_all(group.iter().map(|one| self.carried_out(one, bucket))).await;
            let mut errors = ended.into_iter().filter_map(Result::err);
            if let Some(first) = errors.next() {
                errors.for_each(|error| self.context.out.failure(&error));
                return Err(first);
            }
        }
        if let Some(retired) = &proposals.retired {
            return order::retire(self.context, &self.reached, self.manner, retired).await;
        }
        Ok(Decision::Changed)
    }

    /// Carries the change of one stack out.
    async fn carried_out(&self, proposal: &Proposal<'_>, bucket: &Bucket) -> anyhow::Result<()> {
        let out = self.context.out;
        out.step(&format!("stack `{}`", proposal.artifact.name));
        let Some(change_set) = &proposal.change_set else {
            return self.create(proposal, bucket).await;
        };
        self.mend(&proposal.adoptions).await?;
        self.mend_bucket(&proposal.review).await?;
        let stacks = Stacks::new(&self.reached.session);
        stacks.execute(&proposal.review, change_set, &out).await?;
        Ok(())
    }

    /// Creates a stack, after what is left of an earlier one is removed.
    async fn create(&self, proposal: &Proposal<'_>, bucket: &Bucket) -> anyhow::Result<()> {
        let (out, session) = (self.context.out, &self.reached.session);
        let (artifact, template) = (proposal.artifact, &proposal.template);
        let stacks = Stacks::new(session);
        if let Some(remains) = &proposal.remains {
            out.detail("deleting what is left of it");
            stacks.delete_remains(remains, &out).await?;
        }
        let left = leftovers::found(session, None, template).await?;
        leftovers::remove(session, &left).await?;
        let prepared = self.prepared(artifact, template, None, bucket).await?;
        let Prepared::Changes { change_set, review } = prepared else {
            return Ok(());
        };
        // A table may have changed, or come, since it was looked at.
        let tables = Tables::new(session);
        let adoptions = tables.differing(template, &review).await?;
        if let Err(stop) = adoption::possible(&adoptions, &artifact.name) {
            stacks.discard(&change_set).await?;
            if let Some(empty) = stacks.find(&artifact.name).await? {
                stacks.delete(&empty, &out).await?;
            }
            return Err(stop.into());
        }
        self.mend(&adoptions).await?;
        self.mend_bucket(&review).await?;
        stacks.execute(&review, &change_set, &out).await?;
        Ok(())
    }

    /// Changes tables to match their declaration before they are adopted.
    async fn mend(&self, adoptions: &[Adoption]) -> anyhow::Result<()> {
        let tables = Tables::new(&self.reached.session);
        for adoption in adoptions {
            tables.mend(adoption, &self.context.out).await?;
        }
        Ok(())
    }

    /// Keeps the files of a bucket of reports that is adopted for as long as is declared: it may have been
    /// declared otherwise before.
    async fn mend_bucket(&self, review: &Review) -> anyhow::Result<()> {
        let adopts = |change: &Change| change.action == Action::Adopt && change.kind == BUCKET;
        let reports = self.reached.environment.reports.as_ref();
        let Some(reports) = reports.filter(|_| review.changes.iter().any(adopts)) else {
            return Ok(());
        };
        let days = i32::try_from(reports.retention_days.get())?;
        self.reached.report_bucket().keep_for(days).await?;
        Ok(())
    }
}

/// Refuses, before anything is changed, what cannot succeed.
fn possible(proposals: &Proposals<'_>) -> anyhow::Result<()> {
    for proposal in &proposals.stacks {
        adoption::possible(&proposal.adoptions, &proposal.artifact.name)?;
    }
    Ok(deletable(proposals.deleted())?)
}

/// The stacks in the order of their changes. Those of one group change at the same time: the stacks
/// of the tables and of the stream refer to each other only by name, so they can be created side by
/// side. An update keeps their order: new code of the processor may need what the tables' stack
/// declares with it.
fn together<'a, 'b>(proposals: Vec<&'a Proposal<'b>>) -> Vec<Vec<&'a Proposal<'b>>> {
    let mut groups: Vec<Vec<&Proposal<'_>>> = Vec::new();
    for proposal in proposals {
        match groups.last_mut() {
            Some(group) if is_beside(group, proposal) => group.push(proposal),
            _ => groups.push(vec![proposal]),
        }
    }
    groups
}

fn is_beside(group: &[&Proposal<'_>], proposal: &Proposal<'_>) -> bool {
    let created =
        |proposal: &Proposal<'_>| proposal.kind != StackKind::Api && !proposal.review.exists;
    created(proposal) && group.iter().all(|other| created(other))
}
