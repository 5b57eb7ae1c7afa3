//! Whether a process of the local environment responds, and the last lines of its log.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

/// The body of a successful response from this machine.
pub(super) async fn get(url: &str, patience: Duration) -> Option<String> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(patience)
        .build();
    let answer = client.ok()?.get(url).send().await.ok()?;
    if answer.status().is_success() {
        answer.text().await.ok()
    } else {
        None
    }
}

/// The last lines of a log.
pub(super) fn tail(log: &Path) -> String {
    const LINES: usize = 15;
    let mut text = String::new();
    if let Ok(mut file) = File::open(log) {
        let _partly_read = file.read_to_string(&mut text);
    }
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_short() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let lines: Vec<_> = (0..40).map(|line| line.to_string()).collect();
        std::fs::write(&log, lines.join("\n")).unwrap();
        assert_eq!(tail(&log).lines().next(), Some("25"));
        assert_eq!(tail(&dir.path().join("none")), "");
    }
}
