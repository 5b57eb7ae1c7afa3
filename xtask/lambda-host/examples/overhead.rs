//! The host's own cost: `overhead FUNCTION_BINARY [freeze]` invokes a trivial function one call
//! at a time, and from many callers with four instances, and prints what it took.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use lambda_host::{FunctionSpec, Functions, HostConfig, Outcome};

const SEQUENTIAL: usize = 20_000;
const CONCURRENT: usize = 200_000;
const CALLERS: usize = 16;
const EVENT: &[u8] = b"{\"id\":\"x\"}";

fn settings(folder: &std::path::Path, concurrency: u16, freeze: bool) -> HostConfig {
    HostConfig {
        environment: "bench".to_owned(),
        region: "ap-south-1".to_owned(),
        aws_endpoint: "http://127.0.0.1:9".to_owned(),
        port: 0,
        state_dir: folder.join("state"),
        log_dir: folder.join("logs"),
        freeze,
        concurrency,
        idle_seconds: 300,
    }
}

fn start(
    folder: &std::path::Path,
    concurrency: u16,
    freeze: bool,
) -> Result<Arc<Functions>, Box<dyn Error>> {
    let functions = Functions::standalone(&settings(folder, concurrency, freeze))?;
    functions.replace(vec![FunctionSpec {
        name: "f".to_owned(),
        arn: "arn:aws:lambda:ap-south-1:000000000000:function:f".to_owned(),
        handler: "bootstrap".to_owned(),
        timeout: Duration::from_secs(10),
        memory_mb: 128,
        environment: BTreeMap::new(),
        code_sha256: String::new(),
        task_root: folder.to_owned(),
        log_group: "/aws/lambda/f".to_owned(),
        reserved_concurrency: None,
    }]);
    Ok(Arc::new(functions))
}

async fn call(functions: &Functions) -> Duration {
    let begun = Instant::now();
    let outcome = functions.call("f", EVENT.into()).await;
    assert!(matches!(outcome, Outcome::Success(_)), "{outcome:?}");
    begun.elapsed()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let binary = env::args_os()
        .nth(1)
        .ok_or("usage: overhead FUNCTION_BINARY [freeze]")?;
    let freeze = env::args_os().nth(2).is_some();
    let folder = env::temp_dir().join(format!("lambda-host-overhead-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    symlink(
        fs::canonicalize(PathBuf::from(binary))?,
        folder.join("bootstrap"),
    )?;

    let one = start(&folder, 1, freeze)?;
    let cold = call(&one).await;
    let mut warm = Vec::with_capacity(SEQUENTIAL);
    for _ in 0..SEQUENTIAL {
        warm.push(call(&one).await);
    }
    one.shut_down().await;
    warm.sort();
    let at = |part: usize| {
        warm.get(warm.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };

    let four = start(&folder, 4, freeze)?;
    let begun = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let four = Arc::clone(&four);
            tokio::spawn(async move {
                for _ in 0..CONCURRENT / CALLERS {
                    call(&four).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await?;
    }
    let rate = f64::from(u32::try_from(CONCURRENT)?) / begun.elapsed().as_secs_f64();
    four.shut_down().await;
    fs::remove_dir_all(&folder)?;

    tracing_subscriber::fmt().init();
    tracing::info!(freeze, ?cold, p50 = ?at(50), p99 = ?at(99), "one instance, one call at a time");
    tracing::info!(
        freeze,
        rate = rate.round(),
        "four instances, invocations a second"
    );
    Ok(())
}
