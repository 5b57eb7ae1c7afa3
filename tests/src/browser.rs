//! A real Chromium, driven over `WebDriver` (<https://www.w3.org/TR/webdriver2/>).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::server::Server;
use crate::synthesised::root;

/// How long the page may take to show something.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser with one window, which ends with the test.
pub struct Browser {
    driver: Server,
    session: String,
    client: reqwest::Client,
}

impl Browser {
    /// Starts a browser with a window of this size.
    pub async fn start(width: u32, height: u32) -> Self {
        let driver = Server::chromedriver().await;
        let client = reqwest::Client::new();
        let arguments = [
            "--headless=new",
            // In containers Chromium runs as root and has almost no shared memory.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-background-networking",
            "--hide-scrollbars",
            &format!("--window-size={width},{height}"),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "timeouts": {"script": 30_000},
        }}});
        let answer = client.post(format!("{}/session", driver.endpoint));
        let answer: Value = answer
            .json(&wanted)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let id = answer["value"]["sessionId"].as_str();
        let id = id.unwrap_or_else(|| unreachable!("no session: {answer}"));
        Self {
            session: format!("{}/session/{id}", driver.endpoint),
            driver,
            client,
        }
    }

    async fn post(&self, command: &str, body: &Value) -> Value {
        let answer = self.client.post(format!("{}/{command}", self.session));
        let answer: Value = answer
            .json(body)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert!(answer["value"]["error"].is_null(), "{command}: {answer}");
        answer["value"].clone()
    }

    /// Opens a URL.
    pub async fn open(&self, url: &str) {
        // A URL that differs only after `#` would not load the page again.
        self.post("url", &json!({"url": "about:blank"})).await;
        self.post("url", &json!({"url": url})).await;
    }

    /// Runs a script and returns its result.
    pub async fn eval(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.post("execute/sync", &body).await
    }

    /// Runs a script and returns what it passes to `done`.
    pub async fn eval_async(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        let body = json!({"script": script, "args": []});
        self.post("execute/async", &body).await
    }

    /// Waits until a script returns a truthy value.
    pub async fn until(&self, script: &str) -> Value {
        let start = Instant::now();
        loop {
            let value = self.eval(script).await;
            let is_there = !(value.is_null() || value == false || value == 0 || value == "");
            if is_there {
                return value;
            }
            let notice = "return document.getElementById('notice')?.textContent";
            assert!(
                start.elapsed() < PATIENCE,
                "{script}: never; {}; {:?}",
                self.eval(notice).await,
                self.log("browser").await,
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends keys to the focused element, such as `\u{e004}` for Tab.
    pub async fn keys(&self, keys: &str) {
        let typed = keys.chars().flat_map(|key| {
            [
                json!({"type": "keyDown", "value": key}),
                json!({"type": "keyUp", "value": key}),
            ]
        });
        let typed: Vec<Value> = typed.collect();
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": typed});
        self.post("actions", &json!({"actions": [keyboard]})).await;
    }

    /// A command of the `DevTools` protocol.
    pub async fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.post("goog/cdp/execute", &body).await
    }

    /// Sets the size of the window and the colour scheme of pages.
    pub async fn look(&self, (width, height): (u32, u32), scheme: &str) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics)
            .await;
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", &features).await;
    }

    /// Saves a picture of the whole page under `target/screenshots`.
    pub async fn picture(&self, name: &str) {
        let whole = json!({"captureBeyondViewport": true});
        let taken = self.devtools("Page.captureScreenshot", &whole).await;
        let png = BASE64_STANDARD
            .decode(taken["data"].as_str().unwrap())
            .unwrap();
        let folder = screenshots();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), png).unwrap();
    }

    /// The entries of a log since the last call.
    pub async fn log(&self, of: &str) -> Vec<Value> {
        let entries = self.post("se/log", &json!({"type": of})).await;
        entries.as_array().unwrap().clone()
    }

    /// The URLs requested since the last call.
    pub async fn requests(&self) -> Vec<String> {
        let entries = self.log("performance").await.into_iter();
        let events = entries.filter_map(|entry| {
            let event: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let event = &event["message"];
            (event["method"] == "Network.requestWillBeSent").then(|| {
                event["params"]["request"]["url"]
                    .as_str()
                    .map(str::to_owned)
            })?
        });
        events.collect()
    }

    /// Ends the browser.
    pub async fn end(self) {
        let ended = self.client.delete(&self.session).send().await;
        assert!(ended.unwrap().status().is_success());
        drop(self.driver);
    }
}

/// The folder of pictures.
pub fn screenshots() -> PathBuf {
    root().join("target/screenshots")
}
