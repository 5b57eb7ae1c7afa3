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

/// A browser with one window, ended with the test.
pub struct Browser {
    driver: Server,
    session: String,
    client: reqwest::Client,
}

impl Browser {
    /// Starts one with a window of this size.
    pub async fn start(width: u32, height: u32) -> Self {
        let driver = Server::chromedriver().await;
        let client = reqwest::Client::new();
        let arguments = [
            "--headless=new",
            // In containers Chromium runs as root, and has no shared memory to speak of.
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

    /// Opens an address.
    pub async fn open(&self, url: &str) {
        // An address that differs behind `#` alone would not load the page again.
        self.post("url", &json!({"url": "about:blank"})).await;
        self.post("url", &json!({"url": url})).await;
    }

    /// What a script returns.
    pub async fn eval(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.post("execute/sync", &body).await
    }

    /// What a script hands to `done`.
    pub async fn eval_async(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        let body = json!({"script": script, "args": []});
        self.post("execute/async", &body).await
    }

    /// Waits until a script returns something true.
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

    /// Sends keys to the element that has the focus, such as `\u{e004}` for Tab.
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

    /// Makes the window this large, and pages light or dark.
    pub async fn look(&self, (width, height): (u32, u32), scheme: &str) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics)
            .await;
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", &features).await;
    }

    /// Keeps a picture of the whole page under `target/screenshots`.
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

    /// The entries of a log since it was last read.
    pub async fn log(&self, of: &str) -> Vec<Value> {
        let entries = self.post("se/log", &json!({"type": of})).await;
        entries.as_array().unwrap().clone()
    }

    /// The addresses that were asked for since they were last read.
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

/// Where pictures are kept.
pub fn screenshots() -> PathBuf {
    root().join("target/screenshots")
}
