//! Servers that suites run beside the deployed system: each on loopback, with its own folder and
//! environment. They end with the test, even if it fails.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, SdkConfig};
use tempfile::TempDir;

use crate::tools::Tools;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: Child,
    /// Its URL.
    pub endpoint: String,
    _folder: TempDir,
}

impl Server {
    /// The embedded AWS.
    pub async fn ministack() -> Self {
        let tools = Tools::ensure();
        let [port] = free_ports();
        let mut command = Command::new(&tools.python);
        command.args(["-m", "ministack"]).env_clear();
        command.env("BIND_HOST", "127.0.0.1");
        command.env("GATEWAY_PORT", port.to_string());
        command.env("AWS_ENDPOINT_URL", endpoint(port));
        command.env("MINISTACK_REGION", "ap-south-1");
        command.env("IOT_MTLS_ENABLED", "0");
        command.env("SFTP_ENABLED", "0");
        Self::start(command, port, "/_ministack/health").await
    }

    /// moto's DynamoDB.
    pub async fn moto() -> Self {
        let tools = Tools::ensure();
        let [port] = free_ports();
        let mut command = Command::new(&tools.moto_server);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command.env_clear();
        Self::start(command, port, "/moto-api/data.json").await
    }

    /// A Kinesis whose shards split and merge.
    pub async fn kinesis() -> Self {
        let tools = Tools::ensure();
        let [port, tls] = free_ports();
        let mut command = Command::new(&tools.node);
        command.arg(&tools.kinesis).env_clear();
        command.current_dir(tools.kinesis.parent().unwrap());
        command.env("KINESIS_MOCK_PLAIN_PORT", port.to_string());
        command.env("KINESIS_MOCK_TLS_PORT", tls.to_string());
        command.env("AWS_REGION", "ap-south-1");
        command.env("AWS_ACCOUNT_ID", "000000000000");
        command.env("SHARD_LIMIT", "1000");
        command.env("LOG_LEVEL", "ERROR");
        Self::start(command, port, "/healthcheck").await
    }

    /// Chromium's driver (<https://www.w3.org/TR/webdriver2/>).
    pub async fn chromedriver() -> Self {
        let [port] = free_ports();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}"));
        Self::start(command, port, "/status").await
    }

    /// Starts the server, and waits until it responds at `health`.
    async fn start(mut command: Command, port: u16, health: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if command.get_current_dir().is_none() {
            command.current_dir(folder.path());
        }
        command
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = Self {
            process: command
                .spawn()
                .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display())),
            endpoint: endpoint(port),
            _folder: folder,
        };
        let start = Instant::now();
        let health = format!("{}{health}", server.endpoint);
        loop {
            let answer = reqwest::get(&health).await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return server;
            }
            assert!(start.elapsed() < PATIENCE, "{health} does not answer");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The configuration of its clients.
    pub async fn sdk(&self) -> SdkConfig {
        aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .region("ap-south-1")
            .test_credentials()
            .load()
            .await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has no state to save; if it ended by itself, the test has failed already.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn free_ports<const N: usize>() -> [u16; N] {
    // All are bound before one is released, so they differ.
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
