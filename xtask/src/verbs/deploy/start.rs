//! Connects to the target AWS; in `local`, starts it.

use anyhow::Context as _;
use deployer::{Caller, Session};
use lambda_host::HostConfig;
use stacks::StackArtifact;
use stacks::environment::{Environment, LOCAL_ACCOUNT};

use crate::aws::Reached;
use crate::context::{Context, is_embedded};
use crate::local::{
    Demo, Emulator, HostProcess, Local, Running, SigningKey, State, Tools, address, free_port,
    taken_by,
};
use crate::stop::Stop;

/// The most instances of one function on this machine.
const CONCURRENCY: u16 = 4;
/// Seconds after which an unused instance ends.
const IDLE_SECONDS: u64 = 300;

/// Refuses a port that another process uses, before anything is built.
pub(super) fn check_port(context: &Context, port: Option<u16>) -> anyhow::Result<()> {
    let Some(port) = port else { return Ok(()) };
    let state = context.local().state()?;
    let ours = [&state.host, &state.emulator]
        .into_iter()
        .flatten()
        .any(|record| record.port == port && record.is_alive());
    if ours || free_port(Some(port))? == port {
        return Ok(());
    }
    let owner = taken_by(port).unwrap_or_else(|| "a process of another user".to_owned());
    Err(Stop::failed(format!("port {port} is taken by {owner}"))
        .hint("end it, choose another `--port`, or leave the option out and get a free one")
        .into())
}

/// The environment before the demo's upstream, which need not run yet.
pub(super) fn before_demo(
    context: &Context,
    environment: Environment,
) -> anyhow::Result<Environment> {
    if !is_embedded(&environment) {
        return Err(
            Stop::usage("`--demo` runs an API on this machine: only `local` can reach it").into(),
        );
    }
    let port = Demo::port(&context.local().state()?)?;
    Demo::before(environment, &context.root, port)
}

/// Starts the demo's upstream where the environment expects it.
pub(super) async fn demo(
    context: &Context,
    environment: &Environment,
    tools: &Tools,
) -> anyhow::Result<()> {
    let url = environment.upstream.as_ref().map(|of| of.url.as_str());
    let port = url.and_then(|url| url.rsplit(':').next()?.parse().ok());
    let port = port.context("the demo's API has no port")?;
    let local = context.local();
    local.make()?;
    Demo::ensure(&local, &context.root, tools, port, context.out).await
}

/// Creates the key pair that signs this machine's tokens, unless it exists.
pub(super) fn make_signing_key(local: &Local) -> anyhow::Result<()> {
    local.make()?;
    let mut state = local.state()?;
    if state.signing_key.is_none() {
        state.signing_key = Some(SigningKey::generate()?);
        local.save(&state)?;
    }
    Ok(())
}

/// Starts the embedded AWS and the function host.
pub(super) async fn embedded(
    context: &Context,
    environment: Environment,
    tools: &Tools,
    port: Option<u16>,
) -> anyhow::Result<Reached> {
    let local = context.local();
    local.make()?;
    let mut state = local.state()?;
    state.host_port = Some(host_port(&state, port)?);
    local.save(&state)?;
    let running = bring_up(context, &local, &mut state, &environment, tools).await?;
    let session = Session::embedded(environment.region.as_str(), &running.endpoint());
    Ok(Reached {
        environment,
        session,
        caller: Caller::embedded(LOCAL_ACCOUNT),
        running: Some(running),
    })
}

/// The host's present or future port: the emulator must know it before the host runs.
fn host_port(state: &State, asked: Option<u16>) -> anyhow::Result<u16> {
    let present = state.host.as_ref().filter(|record| record.is_alive());
    match (asked, present) {
        (Some(port), _) => Ok(port),
        (None, Some(record)) => Ok(record.port),
        (None, None) => free_port(state.host_port),
    }
}

async fn bring_up(
    context: &Context,
    local: &Local,
    state: &mut State,
    environment: &Environment,
    tools: &Tools,
) -> anyhow::Result<Running> {
    let host_port = state.host_port.context("no port was chosen")?;
    let names = environment.names();
    let emulator = Emulator {
        local,
        tools,
        region: environment.region.as_str(),
        names: &names,
        host_port,
    };
    let record = emulator.ensure(state, context.out).await?;
    tools.remove_others();
    let emulator_port = record.port;
    let config = HostConfig {
        environment: environment.name.clone(),
        region: environment.region.as_str().to_owned(),
        aws_endpoint: context
            .host_aws_endpoint
            .clone()
            .unwrap_or_else(|| address(emulator_port)),
        port: host_port,
        state_dir: local.host_dir(),
        log_dir: local.logs_dir(),
        freeze: false,
        concurrency: CONCURRENCY,
        idle_seconds: IDLE_SECONDS,
    };
    HostProcess::ensure(local, state, &config, context.out).await?;
    Ok(Running {
        emulator_port,
        host_port,
    })
}

/// An artifact's template.
pub(super) fn parsed(artifact: &StackArtifact) -> anyhow::Result<serde_json::Value> {
    serde_json::from_str(&artifact.template)
        .with_context(|| format!("the template of `{}` is not JSON", artifact.name))
}
