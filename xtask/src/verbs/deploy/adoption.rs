//! Tables that a stack adopts although they differ from their declaration.

use deployer::{Adoption, Review};

use crate::context::Context;
use crate::stop::Stop;

/// Shows the differences of each table, and what will happen to it.
pub(super) fn show(context: &Context, adoptions: &[Adoption]) {
    for adoption in adoptions {
        let table = &adoption.table;
        for difference in &adoption.differences {
            let end = if difference.is_obstacle() {
                "which no change of the table can remove"
            } else {
                "which is corrected first"
            };
            let line = format!("! table `{table}`: {difference}; {end}");
            context.out.detail(&line);
        }
    }
}

/// Refuses tables that cannot be changed to match.
pub(super) fn possible(adoptions: &[Adoption], review: &Review) -> anyhow::Result<()> {
    let mut adoptions = adoptions.iter();
    let Some(Adoption { table, .. }) =
        adoptions.find(|adoption| adoption.obstacles().next().is_some())
    else {
        return Ok(());
    };
    Err(Stop::failed(format!(
        "table `{table}` exists and cannot become what stack `{}` declares",
        review.stack
    ))
    .hint(format!(
        "remove what stands above, or the table: `aws dynamodb delete-table --table-name {table}` deletes \
         its data; then deploy again"
    ))
    .into())
}
