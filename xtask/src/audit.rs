//! The audit log: who changed a key, a user or an endpoint.

use anyhow::Context as _;
use deployer::AuditLog;

use crate::aws::Reached;
use crate::clock;

/// Records a change in the audit log.
pub(crate) async fn note(reached: &Reached, what: &str, subject: &str) -> anyhow::Result<()> {
    let who = who(reached).await?;
    let log = AuditLog::new(&reached.session, &reached.environment.names());
    let number = u64::from_be_bytes(random()?);
    log.note(clock::now(), number, &who, what, subject).await?;
    Ok(())
}

/// The principal that runs this command.
pub(crate) async fn who(reached: &Reached) -> anyhow::Result<String> {
    if reached.environment.is_local() {
        return Ok("local".to_owned());
    }
    Ok(reached.session.identity().await?)
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("reading random bytes")?;
    Ok(bytes)
}
