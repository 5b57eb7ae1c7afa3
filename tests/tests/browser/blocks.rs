//! Blocks: an operator blocks a suspicious address and a user, and lets both in again.

use super::{BOB, Browser, System, Value, is_accessible, json, open_view, rows, text};

const ENTER: &str = "\u{e007}";
/// The page has drawn a change.
const DONE: &str = "return document.activeElement.id === 'blocks-title' && !document.getElementById('blocks').hasAttribute('aria-busy')";
const IS_ASKED: &str = "return document.getElementById('key-dialog').open";

/// Those who are blocked as the API lists them: addresses, and users.
async fn blocked(system: &System) -> Value {
    let answer = system.client.get(system.url("blocks"));
    let answer = answer
        .bearer_auth(system.text("/local/adminToken"))
        .send()
        .await;
    let listed: Value = answer.unwrap().json().await.unwrap();
    let names = |list: &str, name: &str| -> Vec<Value> {
        let entries = listed[list].as_array().unwrap().iter();
        entries.map(|entry| entry[name].clone()).collect()
    };
    json!([names("addresses", "address"), names("users", "email")])
}

/// The first two cells of each row in the list of blocks.
async fn shown(browser: &Browser) -> Vec<(String, bool)> {
    let rows = browser.eval(&rows("blocks-table")).await;
    let rows = rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row[1].is_string());
    let cell = |cell: &Value| cell.as_str().unwrap().to_owned();
    rows.map(|row| (cell(&row[0]), cell(&row[1]) != "not blocked"))
        .collect()
}

/// Presses a panel's first button that begins with a word.
async fn press(browser: &Browser, panel: &str, word: &str) {
    let find = format!(
        "[...document.querySelectorAll('#{panel} .acts button')].find((button) => button.textContent.startsWith('{word}'))"
    );
    browser.until(&format!("return Boolean({find})")).await;
    browser.eval(&format!("{find}.focus()")).await;
    browser.keys(ENTER).await;
}

pub(super) async fn operators_block_and_unblock(
    system: &System,
    browser: &Browser,
    (page, axe): (&str, &str),
) {
    let token = system.text("/local/adminToken");
    open_view(browser, &format!("{page}#range=1h&token={token}")).await;
    browser
        .until("return document.querySelector('#blocks-table tbody')")
        .await;
    assert_eq!(
        (shown(browser).await, blocked(system).await),
        (Vec::new(), json!([[], []]))
    );

    press(browser, "suspects", "Block").await;
    browser.until(IS_ASKED).await;
    is_accessible(browser, axe, "block").await;
    browser.picture("block").await;
    let suspect = browser.eval(&text("suspects-table tbody th")).await;
    let suspect = suspect.as_str().unwrap();
    browser.keys(ENTER).await;
    browser.until(DONE).await;
    assert_eq!(blocked(system).await, json!([[suspect], []]));
    assert_eq!(shown(browser).await, [(suspect.to_owned(), true)]);
    is_accessible(browser, axe, "blocked").await;
    browser.picture("blocked").await;
    press(browser, "suspects", "Unblock").await;
    browser.until(DONE).await;
    assert_eq!(
        (shown(browser).await, blocked(system).await),
        (Vec::new(), json!([[], []]))
    );

    // What is neither an address nor a user is refused with its reason.
    browser.eval("document.getElementById('blocks-whom').value = '192.0.2'; document.querySelector('#blocks-form button').focus()").await;
    browser.keys(ENTER).await;
    browser.until(IS_ASKED).await;
    browser.keys(ENTER).await;
    let problem = browser.until(&text("blocks-problem")).await;
    assert!(
        problem.as_str().unwrap().starts_with("Invalid address"),
        "{problem}"
    );

    let user = BOB.replace('+', "%2B");
    let view = format!("{page}#range=1h&user={user}&token={token}");
    open_view(browser, &view).await;
    for (word, is_blocked) in [("Block", true), ("Unblock", false)] {
        press(browser, "blocks", word).await;
        if is_blocked {
            browser.until(IS_ASKED).await;
            browser.keys(ENTER).await;
        }
        browser.until(DONE).await;
        let users = if is_blocked { json!([BOB]) } else { json!([]) };
        assert_eq!(blocked(system).await, json!([[], users]));
        assert_eq!(shown(browser).await, [(BOB.to_owned(), is_blocked)]);
        let access = format!("user-{}", word.to_lowercase());
        is_accessible(browser, axe, &access).await;
    }
    browser
        .eval("document.getElementById('sign-out').click()")
        .await;
    browser
        .until("return document.getElementById('blocks').hidden && document.getElementById('blocks-table').textContent === ''")
        .await;
}
