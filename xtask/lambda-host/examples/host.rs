//! The host alone, for experiments: `host SETTINGS.json`, until `SIGTERM`.

use std::{env, error::Error, path::PathBuf};

use lambda_host::HostConfig;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let path = env::args_os().nth(1).ok_or("usage: host SETTINGS.json")?;
    lambda_host::serve(HostConfig::read(&PathBuf::from(path))?).await?;
    Ok(())
}
