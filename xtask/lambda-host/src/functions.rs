//! Every deployed function, by name, and the pool that runs it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::body::Bytes;

use crate::{
    HostConfig, HostError,
    function::{FunctionSpec, Outcome},
    ids,
    instance::{Environment, Invocation, Origin},
    logs::Logs,
    pool::{Pool, PoolStatus},
    processes::{self, ProcessRecords},
};

/// Busy instances of replaced or deleted functions finish their work within Lambda's longest
/// timeout, 15 minutes; when the host ends they have this long.
const GRACE: Duration = Duration::from_secs(5);

/// The deployed functions, and the processes that run them.
///
/// The host uses one beside the local AWS; tests and benchmarks use one alone
/// ([`standalone`](Self::standalone)).
#[derive(Debug)]
pub struct Functions {
    environment: Environment,
    limit: u16,
    pools: RwLock<BTreeMap<String, Arc<Pool>>>,
    /// Pools of earlier code, until their instances have ended.
    draining: std::sync::Mutex<Vec<Arc<Pool>>>,
}

impl Functions {
    /// Functions without a local AWS: output goes to files only, and nothing is discovered.
    ///
    /// Kills what an earlier host left behind in the state directory first.
    ///
    /// # Errors
    /// The folders of `config` are unusable.
    pub fn standalone(config: &HostConfig) -> Result<Self, HostError> {
        processes::reap(&config.state_dir)?;
        let environment = Environment {
            region: config.region.clone(),
            aws_endpoint: config.aws_endpoint.clone(),
            freeze: config.freeze,
            records: ProcessRecords::open(&config.state_dir)?,
            logs: Logs::open(&config.log_dir, None)?,
        };
        Ok(Self::new(environment, config.concurrency))
    }

    /// Invokes a function and waits for its response, as Lambda's `Invoke` does.
    pub async fn call(&self, name: &str, payload: Bytes) -> Outcome {
        self.invoke(name, payload, None, Origin::Host).await
    }

    pub(crate) fn new(environment: Environment, limit: u16) -> Self {
        Self {
            environment,
            limit,
            pools: RwLock::default(),
            draining: std::sync::Mutex::default(),
        }
    }

    pub(crate) const fn logs(&self) -> &Logs {
        &self.environment.logs
    }

    /// Serves exactly these functions from now on. Unchanged ones keep their instances; the
    /// instances of changed and deleted ones finish their work and end.
    pub fn replace(&self, specs: Vec<FunctionSpec>) {
        let mut pools = self.pools.write().unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::take(&mut *pools);
        for spec in specs {
            let name = spec.name.clone();
            let pool = match old.remove(&name) {
                Some(pool) if *pool.spec() == spec => pool,
                other => {
                    old.extend(other.map(|pool| (name.clone(), pool)));
                    Pool::new(spec, self.environment.clone(), self.limit)
                }
            };
            pools.insert(name, pool);
        }
        drop(pools);
        let mut draining = self.draining.lock().unwrap_or_else(PoisonError::into_inner);
        draining.retain(|pool| pool.status().instances > 0);
        for pool in old.into_values() {
            pool.close();
            draining.push(pool);
        }
    }

    fn pool(&self, name: &str) -> Option<Arc<Pool>> {
        let pools = self.pools.read().unwrap_or_else(PoisonError::into_inner);
        pools.get(name).cloned()
    }

    pub(crate) fn is_deployed(&self, name: &str) -> bool {
        self.pool(name).is_some()
    }

    /// Invokes a function under a new request id, and waits for its response.
    pub(crate) async fn invoke(
        &self,
        name: &str,
        payload: Bytes,
        trace_id: Option<String>,
        origin: Origin,
    ) -> Outcome {
        let invocation = Invocation {
            request_id: ids::request_id(),
            origin,
            trace_id,
            payload,
        };
        self.run(name, invocation).await
    }

    /// Invokes a function and waits for its response.
    pub(crate) async fn run(&self, name: &str, invocation: Invocation) -> Outcome {
        let invocation = Arc::new(invocation);
        while let Some(pool) = self.pool(name) {
            if let Some(outcome) = pool.invoke(&invocation).await {
                return outcome;
            }
            // Closed for newer code between the look-up and the call.
            tokio::task::yield_now().await;
        }
        Outcome::Unavailable(format!("function `{name}` is not deployed"))
    }

    /// Shuts down instances that have been idle for `unused`.
    pub fn reap_idle(&self, unused: Duration) {
        for pool in self.all() {
            pool.reap_idle(unused);
        }
    }

    fn all(&self) -> Vec<Arc<Pool>> {
        let pools = self.pools.read().unwrap_or_else(PoisonError::into_inner);
        pools.values().cloned().collect()
    }

    /// The state and the counters of each function's instances.
    pub fn status(&self) -> BTreeMap<String, PoolStatus> {
        let pools = self.pools.read().unwrap_or_else(PoisonError::into_inner);
        pools
            .iter()
            .map(|(name, pool)| (name.clone(), pool.status()))
            .collect()
    }

    /// The code that each function's next instances run: its digest, as Lambda reports it.
    pub fn code(&self) -> BTreeMap<String, String> {
        let pools = self.pools.read().unwrap_or_else(PoisonError::into_inner);
        pools
            .iter()
            .map(|(name, pool)| (name.clone(), pool.spec().code_sha256.clone()))
            .collect()
    }

    /// Ends every instance: no process is left when this returns.
    pub async fn shut_down(&self) {
        let mut pools = self.all();
        pools.extend(std::mem::take(
            &mut *self.draining.lock().unwrap_or_else(PoisonError::into_inner),
        ));
        let ends: Vec<_> = pools
            .into_iter()
            .map(|pool| tokio::spawn(async move { pool.shut_down(GRACE).await }))
            .collect();
        for end in ends {
            if let Err(error) = end.await {
                tracing::error!(%error, "a function's instances were not shut down");
            }
        }
        self.environment.logs.flush().await;
    }
}
