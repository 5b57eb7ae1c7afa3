//! The host as a whole: its listener, what it serves, and its end.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_TYPE},
    response::IntoResponse as _,
    routing::{get, post},
    serve::ListenerExt as _,
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{Mutex, watch},
    time::interval,
};

use crate::{
    HostConfig, HostError, discovery,
    emulator::Emulator,
    error::describe,
    front::{self, Front},
    function::Outcome,
    functions::Functions,
    instance::{Environment, Origin},
    logs::Logs,
    mapping::Mappings,
    processes::{self, ProcessRecords},
};

struct Host {
    config: HostConfig,
    emulator: Emulator,
    logs: Logs,
    functions: Arc<Functions>,
    front: Front,
    mappings: Mappings,
    code_dir: PathBuf,
    refreshing: Mutex<()>,
    /// When the host started.
    started: Instant,
}

/// Serves functions, mappings and the API front until `SIGTERM` or `SIGINT`, then shuts everything
/// down: no process is left when it returns.
///
/// Kills what an earlier host left behind in the state directory first.
///
/// # Errors
/// The folders are unusable, the port is in use, or the local AWS does not respond at the start.
pub async fn serve(config: HostConfig) -> Result<(), HostError> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        if let Err(error) = terminated().await {
            tracing::error!(%error, "cannot wait for signals");
        }
        let _ = stop.send(true);
    });
    serve_until(config, stopped).await
}

async fn terminated() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn serve_until(
    config: HostConfig,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), HostError> {
    let killed = processes::reap(&config.state_dir)?;
    if killed > 0 {
        tracing::warn!(killed, "an earlier host left processes behind");
    }
    let listener = TcpListener::bind(("127.0.0.1", config.port))
        .await
        .map_err(|source| HostError::Listen {
            port: config.port,
            source,
        })?;
    let host = Arc::new(open(config)?);
    host.refresh().await?;

    let reaping = tokio::spawn(reap_idle(Arc::clone(&host)));
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let service = router(Arc::clone(&host)).into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, service).await });

    // A closed channel counts as a stop.
    drop(stopped.wait_for(|stop| *stop).await);
    tracing::info!("shutting down");
    host.mappings.shut_down().await;
    host.functions.shut_down().await;
    reaping.abort();
    server.abort();
    host.logs.flush().await;
    Ok(())
}

fn open(config: HostConfig) -> Result<Host, HostError> {
    let emulator = Emulator::new(&config.aws_endpoint, &config.region);
    std::fs::create_dir_all(&config.state_dir)
        .map_err(|source| HostError::io("create the folder", &config.state_dir, source))?;
    let code_dir = processes::code_dir(&config.state_dir);
    std::fs::create_dir_all(&code_dir)
        .map_err(|source| HostError::io("create the folder", &code_dir, source))?;
    let logs = Logs::open(&config.log_dir, Some(emulator.clone()))?;
    let environment = Environment {
        region: config.region.clone(),
        aws_endpoint: config.aws_endpoint.clone(),
        freeze: config.freeze,
        records: ProcessRecords::open(&config.state_dir)?,
        logs: logs.clone(),
    };
    let functions = Arc::new(Functions::new(environment, config.concurrency));
    let mappings = Mappings::new(emulator.clone(), Arc::clone(&functions), &config.state_dir)?;
    Ok(Host {
        front: Front::new(Arc::clone(&functions), logs.clone()),
        emulator,
        logs,
        functions,
        mappings,
        code_dir,
        refreshing: Mutex::new(()),
        started: Instant::now(),
        config,
    })
}

impl Host {
    /// Reads the current deployment, and serves exactly that.
    async fn refresh(&self) -> Result<(), HostError> {
        let _one_at_a_time = self.refreshing.lock().await;
        let functions = discovery::functions(&self.emulator, &self.code_dir).await?;
        self.functions.replace(functions);
        let resources = discovery::resources(&self.emulator).await?;
        let stages = discovery::stages(&self.emulator, &self.config.region, &resources).await?;
        self.front.replace(stages);
        let mappings = discovery::mappings(&self.emulator, &resources).await?;
        for mapping in &mappings {
            discovery::switch_off(&self.emulator, mapping).await?;
        }
        self.mappings.replace(mappings).await;
        Ok(())
    }

    fn status(&self) -> Value {
        let stages: Vec<Value> = self
            .front
            .stages()
            .values()
            .map(|stage| {
                json!({
                    "name": stage.name,
                    "apiId": stage.api_id,
                    "accessLog": stage.access_log.as_ref().map(|log| &log.group),
                })
            })
            .collect();
        json!({
            "environment": self.config.environment,
            "uptimeSeconds": self.started.elapsed().as_secs(),
            "functions": self.functions.status(),
            "code": self.functions.code(),
            "mappings": self.mappings.status(),
            "stages": stages,
        })
    }
}

async fn reap_idle(host: Arc<Host>) {
    let unused = Duration::from_secs(host.config.idle_seconds);
    let mut tick = interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        host.functions.reap_idle(unused);
    }
}

fn router(host: Arc<Host>) -> Router {
    Router::new()
        .route("/invoke/{function}", post(invoke))
        .route("/_host/health", get(async || Json(json!({"status": "ok"}))))
        .route(
            "/_host/status",
            get(async |State(host): State<Arc<Host>>| Json(host.status())),
        )
        .route("/_host/refresh", post(refresh))
        .fallback(async |State(host): State<Arc<Host>>, request: Request| {
            front::serve(&host.front, request).await
        })
        .layer(DefaultBodyLimit::disable())
        .with_state(host)
}

async fn refresh(State(host): State<Arc<Host>>) -> Response<Body> {
    match host.refresh().await {
        Ok(()) => Json(host.status()).into_response(),
        Err(error) => {
            let chain = describe(&error);
            tracing::warn!(error = chain, "cannot refresh");
            (StatusCode::BAD_GATEWAY, Json(json!({"error": chain}))).into_response()
        }
    }
}

/// An invocation that the local AWS forwards. There, any status other than 2xx is a function error.
async fn invoke(
    State(host): State<Arc<Host>>,
    Path(function): Path<String>,
    headers: HeaderMap,
    payload: Bytes,
) -> Response<Body> {
    if !host.functions.is_deployed(&function) {
        // It was deployed after the last refresh.
        if let Err(error) = host.refresh().await {
            tracing::warn!(
                function,
                error = describe(&error),
                "cannot look for a new function"
            );
        }
    }
    let trace_id = headers
        .get("x-amzn-trace-id")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let functions = &host.functions;
    let outcome = functions
        .invoke(&function, payload, trace_id, Origin::Emulator)
        .await;
    respond(outcome)
}

fn respond(outcome: Outcome) -> Response<Body> {
    let (status, body) = match outcome {
        Outcome::Success(body) => (StatusCode::OK, body),
        Outcome::FunctionError(body) => (StatusCode::INTERNAL_SERVER_ERROR, body),
        Outcome::Throttled => (
            StatusCode::TOO_MANY_REQUESTS,
            Bytes::from_static(b"{\"Type\":\"User\",\"message\":\"Rate Exceeded.\"}"),
        ),
        Outcome::Unavailable(what) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Bytes::from(
                json!({"errorMessage": what, "errorType": "Runtime.Unavailable"}).to_string(),
            ),
        ),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
