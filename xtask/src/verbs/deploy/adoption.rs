//! Tables that a stack adopts although they differ from their declaration.

use deployer::Adoption;

use crate::stop::Stop;

/// Refuses tables that cannot be changed to match.
pub(super) fn possible(adoptions: &[Adoption], stack: &str) -> Result<(), Stop> {
    let mut adoptions = adoptions.iter();
    let Some(Adoption { table, .. }) =
        adoptions.find(|adoption| adoption.obstacles().next().is_some())
    else {
        return Ok(());
    };
    Err(Stop::failed(format!(
        "table `{table}` exists and cannot become what stack `{stack}` declares"
    ))
    .hint(format!(
        "remove what stands above, or the table: `aws dynamodb delete-table --table-name {table}` deletes \
         its data; then deploy again"
    )))
}
