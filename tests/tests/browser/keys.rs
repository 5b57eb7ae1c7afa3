//! The section for keys: a user by keyboard, and an administrator.

use domain::key::ApiKey;

use super::{Browser, SHOWN, System, Value, is_accessible, json, json_of, rows, text};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
/// A key that was just made is shown.
const NEW: &str = "return !document.getElementById('new-key').hidden && document.getElementById('new-key-text').value";

fn focus(selector: &str) -> String {
    format!("document.querySelector('{selector}').focus()")
}

/// The statuses in the list, sorted.
async fn statuses(browser: &Browser, column: usize) -> Vec<String> {
    let rows = browser.eval(&rows("keys-table")).await;
    let rows = rows.as_array().unwrap().iter();
    let mut found: Vec<String> = rows
        .map(|row| row[column].as_str().unwrap().to_owned())
        .collect();
    found.sort_unstable();
    found
}

/// The same as the API has them.
async fn listed(system: &System, token: &str, email: &str) -> Vec<String> {
    let url = system.url(&format!("keys?email={email}"));
    let answer = system.client.get(url).bearer_auth(token).send().await;
    let listed: Value = answer.unwrap().json().await.unwrap();
    let keys = listed["keys"].as_array().unwrap().iter();
    let mut found: Vec<String> = keys
        .map(|key| key["status"].as_str().unwrap().to_owned())
        .collect();
    found.sort_unstable();
    found
}

/// The new key on the page, which ends up in no other place of it.
async fn taken(browser: &Browser) -> String {
    let shown = browser.until(NEW).await;
    let key = shown.as_str().unwrap().to_owned();
    assert!(ApiKey::parse(&key).is_some(), "not a key");
    browser
        .until("return document.activeElement.id === 'new-key-copy'")
        .await;
    browser.keys(ENTER).await;
    browser.until(&text("new-key-copied")).await;
    browser.keys(&format!("{TAB}{ENTER}")).await;
    browser
        .until("return document.getElementById('new-key').hidden")
        .await;
    let left = "return document.documentElement.outerHTML + [...document.querySelectorAll('input')].map((input) => input.value)";
    let left = browser.eval(left).await;
    assert!(!left.as_str().unwrap().contains(&key), "the key stays");
    key
}

pub(super) async fn users_manage_their_own(
    system: &System,
    browser: &Browser,
    (page, axe): (&str, &str),
) {
    let admin = system.text("/local/adminToken");
    let ann = json_of(&system.place.run("token --email ann@example.com --json"));
    let ann = ann["token"].as_str().unwrap();
    browser.open(&format!("{page}#token={ann}")).await;
    browser.until(SHOWN).await;
    browser
        .until("return document.querySelector('#keys-table code')")
        .await;
    assert_eq!(statuses(browser, 2).await, ["active"]);
    is_accessible(browser, axe, "keys").await;

    browser.eval(&focus("#keys-plan")).await;
    browser.keys(&format!("{TAB}{TAB}{ENTER}")).await;
    browser.until(NEW).await;
    is_accessible(browser, axe, "new-key").await;
    browser.picture("keys-new").await;
    let made = taken(browser).await;
    assert_eq!(statuses(browser, 2).await, ["active", "active"]);

    browser.eval(&focus("#keys-table .acts button")).await;
    browser.keys(ENTER).await;
    browser
        .until("return document.getElementById('key-dialog').open")
        .await;
    is_accessible(browser, axe, "rotate").await;
    browser.picture("keys-rotate").await;
    browser.keys(&format!("{TAB}{ENTER}")).await;
    let rotated = taken(browser).await;
    assert_ne!(rotated, made);
    let expected = ["active", "active", "grace"];
    assert_eq!(statuses(browser, 2).await, expected);
    assert_eq!(listed(system, admin, "ann@example.com").await, expected);

    browser
        .eval("[...document.querySelectorAll('#keys-table .acts button')].find((button) => button.textContent.startsWith('Revoke')).focus()")
        .await;
    browser.keys(&format!("{ENTER}{ENTER}")).await;
    browser
        .until("return document.activeElement.id === 'keys-title'")
        .await;
    let expected = ["active", "grace", "revoked"];
    assert_eq!(statuses(browser, 2).await, expected);
    assert_eq!(listed(system, admin, "ann@example.com").await, expected);
    browser.picture("keys-user").await;
    browser
        .eval("document.getElementById('sign-out').click()")
        .await;
    browser
        .until("return document.getElementById('keys-table').textContent === ''")
        .await;
}

pub(super) async fn administrators_manage_all(
    system: &System,
    browser: &Browser,
    (page, axe): (&str, &str),
) {
    let admin = system.text("/local/adminToken");
    browser.open(&format!("{page}#token={admin}")).await;
    browser.until(SHOWN).await;
    browser
        .until("return document.querySelector('#keys-table code')")
        .await;
    let users = statuses(browser, 1).await;
    let anns = users.iter().filter(|user| *user == "ann@example.com");
    assert_eq!(anns.count(), 3, "{users:?}");
    browser
        .eval("document.getElementById('keys-email').value = 'cid@example.com'; document.getElementById('keys-plan').value = 'free'")
        .await;
    browser.eval(&focus("#keys-form [type=submit]")).await;
    browser.keys(ENTER).await;
    browser.until(NEW).await;
    let words = browser.eval(&text("new-key-words")).await;
    assert_eq!(words, json!("New key of cid@example.com on plan free."));
    taken(browser).await;
    assert_eq!(listed(system, admin, "cid@example.com").await, ["active"]);
    is_accessible(browser, axe, "keys-admin").await;
    browser.picture("keys-admin").await;
    // A new key that is still shown is not left for the next caller.
    browser
        .eval("document.getElementById('keys-email').value = 'cid@example.com'")
        .await;
    browser.eval(&focus("#keys-form [type=submit]")).await;
    browser.keys(ENTER).await;
    browser.until(NEW).await;
    browser
        .eval("document.getElementById('sign-out').click()")
        .await;
    let left = browser
        .eval("return document.getElementById('new-key-text').value")
        .await;
    assert_eq!(left, json!(""));
}
