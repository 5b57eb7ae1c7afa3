//! The usage page of the deployed system in a real Chromium: it shows the API's data, sends
//! requests nowhere else, and is accessible. Pictures of it are saved under `target/screenshots`.

mod blocks;
mod groups;
mod keys;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::browser::Browser;
use tests::issuer::Issuer;
use tests::synthesised::root;
use tests::system::{System, json_of};
use tests::tools::Tools;

const ANN: &str = "ann@example.com";
const BOB: &str = "bob+sales@example.com";
const BOBS_QUOTA: u64 = 40;
const DESKTOP: (u32, u32) = (1200, 900);
const PHONE: (u32, u32) = (390, 844);

/// A signed-in page that shows data.
const SHOWN: &str = "return document.body.dataset.asOf";

/// Rows of a table, each cell as its text.
fn rows(table: &str) -> String {
    format!(
        "return [...document.querySelectorAll('#{table} tbody tr')].map((row) => [...row.children].map((cell) => cell.textContent))"
    )
}

fn text(id: &str) -> String {
    format!("return document.querySelector('#{id}')?.textContent || ''")
}

/// A whole number as the page formats it.
fn number(text: &Value) -> u64 {
    let digits: String = text
        .as_str()
        .unwrap()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

/// The sums of the columns of calls in the table behind the chart.
async fn charted(browser: &Browser) -> [u64; 3] {
    let rows = browser.eval(&rows("series-table")).await;
    let rows = rows.as_array().unwrap();
    [1, 2, 3].map(|column| rows.iter().map(|row| number(&row[column])).sum())
}

/// The numbers of a list of the API, by the names that the page shows.
fn named(list: &Value, name: &str, count: &str) -> BTreeMap<String, u64> {
    let entries = list.as_array().unwrap().iter();
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    entries
        .map(|entry| (text(&entry[name]), entry[count].as_u64().unwrap()))
        .collect()
}

async fn shown(browser: &Browser, table: &str) -> BTreeMap<String, u64> {
    let rows = browser.eval(&rows(table)).await;
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| (row[0].as_str().unwrap().to_owned(), number(&row[1])))
        .collect()
}

/// Opens a view afresh: the page does not load again if only the part after `#` changes.
async fn open_view(browser: &Browser, address: &str) {
    browser.open("about:blank").await;
    browser.open(address).await;
    browser.until(SHOWN).await;
}

/// Checks that axe (<https://github.com/dequelabs/axe-core>) finds nothing.
async fn is_accessible(browser: &Browser, axe: &str, view: &str) {
    browser.eval(axe).await;
    let found = browser
        .eval_async("axe.run().then((found) => done([found.violations, found.passes.length]))")
        .await;
    assert_eq!(found[0], json!([]), "{view}: {:#}", found[0]);
    // A dialog has fewer elements than the page, which it hides.
    assert!(found[1].as_u64() > Some(10), "{view}: {found}");
    let overflow = browser
        .eval("return document.documentElement.scrollWidth - innerWidth")
        .await;
    assert!(
        overflow.as_i64() <= Some(0),
        "{view} is {overflow} wider than the window"
    );
}

/// A deployed system whose page signs users in at an issuer, with some calls.
async fn called(issuer: &Issuer) -> (System, Vec<Value>) {
    let usual = std::fs::read_to_string(root().join("stacks/environments/local.yaml")).unwrap();
    let (before, rest) = usual.split_once("\nauth:\n").unwrap();
    let (_, after) = rest.split_once("\nlogs:\n").unwrap();
    let system = System::deploy_as(&format!("{before}\n{}logs:\n{after}", issuer.auth()));
    let mut keys = Vec::new();
    for (email, plan, calls) in [(ANN, "enterprise", 40), (BOB, "pro", 25)] {
        let create = format!("keys create --email {email} --plan {plan} --json");
        let key = json_of(&system.place.run(&create));
        if email == BOB {
            // His calls cross the first threshold.
            let set = format!("users set {email} --quota {BOBS_QUOTA} --json");
            json_of(&system.place.run(&set));
        }
        let statuses = system.call(key["key"].as_str(), calls).await;
        assert_eq!(statuses, BTreeMap::from([(200, calls)]));
        keys.push(key);
    }
    assert_eq!(
        system.call(Some("complical_nonsense"), 7).await,
        BTreeMap::from([(401, 7)])
    );
    let minutes = "timeseries?granularity=minute&duration=1h";
    system.until_sum(minutes, "totalCalls", 65).await;
    system.until_sum(minutes, "authFailures", 7).await;
    // Statuses arrive with the access log.
    let span = "endpoints?granularity=minute&duration=1h";
    system.until(span, "/statuses/0/count", 65).await;
    let usage = format!("user-stats?email={}", BOB.replace('+', "%2B"));
    system.until(&usage, "/alerts/0/percent", 50).await;
    (system, keys)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_the_api_says() {
    let issuer = Issuer::start("ann@example.com").await;
    let (system, made) = called(&issuer).await;
    let axe = Tools::ensure().node_modules.join("axe-core/axe.min.js");
    let axe = std::fs::read_to_string(axe).unwrap();
    let browser = Browser::start(DESKTOP.0, DESKTOP.1).await;
    let page = format!("{}/v1/analytics/", system.text("/apiUrl"));
    assert_eq!(page, system.text("/dashboardUrl"));

    an_operator_sees_everybody(&system, &browser, &page).await;
    views_are_accessible(&system, &browser, (&page, &axe)).await;
    a_user_sees_themselves(&system, &browser, (&page, &axe)).await;
    a_user_signs_in_at_the_issuer(&browser, &page).await;
    a_link_reopens_the_view(&system, &browser, &page).await;
    groups::calls_are_split_up_as_the_api_says(&system, &browser, (&page, &axe)).await;
    tables_are_saved_as_the_api_has_them(&system, &browser, &page).await;
    numbers_follow_the_traffic(&system, &browser, (&page, made[0]["key"].as_str().unwrap())).await;
    keys::users_manage_their_own(&system, &browser, (&page, &axe)).await;
    keys::administrators_manage_all(&system, &browser, (&page, &axe)).await;
    blocks::operators_block_and_unblock(&system, &browser, (&page, &axe)).await;

    let origin = system.host();
    let asked = browser.requests().await;
    assert!(asked.len() > 20, "{asked:?}");
    for url in asked {
        let is_own = ["analytics", "keys", "blocks"]
            .iter()
            .any(|path| url.starts_with(&format!("{origin}/local/v1/{path}")));
        assert!(
            is_own
                || url.starts_with(issuer.address())
                || ["about:", "data:", "blob:"]
                    .iter()
                    .any(|scheme| url.starts_with(scheme)),
            "{url}"
        );
        assert!(!url.contains("eyJ"), "a token in an address: {url}");
    }
    // The browser itself logs the refused token, and the refused block.
    let mut complaints = browser.log("browser").await;
    complaints.retain(|entry| {
        let message = entry["message"].as_str().unwrap();
        let is_block = message.contains("/v1/blocks - ") && message.contains("status of 400");
        !message.contains("status of 401") && !is_block
    });
    assert_eq!(complaints, Vec::<Value>::new());
    the_dashboard_draws_what_was_metered(&system, &browser).await;
    browser.end().await;
}

/// The dashboard as `cargo xtask dashboard` draws it: its metrics contain every call.
async fn the_dashboard_draws_what_was_metered(system: &System, browser: &Browser) {
    let file = system.place.dir().join("dashboard.html");
    let command = format!("dashboard --json --out {}", file.display());
    let start = Instant::now();
    loop {
        let drawn = json_of(&system.place.run(&command));
        let widgets = drawn["widgets"].as_array().unwrap();
        let calls = widgets
            .iter()
            .find(|widget| widget["title"] == "API calls (5 minutes)");
        let lines = calls.unwrap()["lines"].as_array().unwrap();
        let sum = |label: &str| {
            let line = lines.iter().find(|line| line["label"] == label).unwrap();
            line["sum"].as_f64().unwrap()
        };
        let counted =
            [sum("accepted"), sum("not authenticated")].map(|sum| sum.round().to_string());
        if counted == ["215", "7"] {
            break;
        }
        assert!(start.elapsed() < Duration::from_mins(1), "{counted:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    browser.look((1400, 900), "light").await;
    browser.open(&format!("file://{}", file.display())).await;
    let drawn = browser.eval("return [document.querySelectorAll('section').length, document.querySelectorAll('svg path[stroke-width]').length]").await;
    assert!(
        drawn[0].as_u64() > Some(10) && drawn[1].as_u64() > Some(20),
        "{drawn}"
    );
    browser.picture("dashboard").await;
}

async fn an_operator_sees_everybody(system: &System, browser: &Browser, page: &str) {
    let token = system.text("/local/adminToken");
    browser
        .open(&format!(
            "{page}#range=1h&timezone=Asia/Kolkata&token={token}"
        ))
        .await;
    browser.until(SHOWN).await;
    let address = browser.eval("return location.href").await;
    assert_eq!(address, format!("{page}#range=1h&timezone=Asia%2FKolkata"));

    let span = "granularity=minute&duration=1h";
    let list = system.analytics(&format!("endpoints?{span}")).await;
    assert_eq!(charted(browser).await, [65, 7, 0]);
    assert_eq!(browser.eval(&text("total-calls strong")).await, "65");
    assert_eq!(browser.eval(&text("auth-failures strong")).await, "7");
    let p95 = number(&browser.eval(&text("p95 strong")).await);
    assert_eq!(json!(p95), list["latency"]["p95"]);
    let endpoints = named(&list["endpoints"], "endpoint", "totalCalls");
    assert_eq!(shown(browser, "endpoints-table").await, endpoints);
    assert_eq!(
        endpoints,
        BTreeMap::from([("/v1/deadlines".to_owned(), 65)])
    );
    let statuses = named(&list["statuses"], "status", "count");
    assert_eq!(shown(browser, "statuses-table").await, statuses);
    let users = named(
        &system.analytics("users").await["users"],
        "email",
        "totalCalls",
    );
    assert_eq!(shown(browser, "users-table").await, users);
    assert_eq!(users["ann@example.com"], 40);
    assert_eq!(users["bob+sales@example.com"], 25);
    let suspects = named(
        &system.analytics("realtime").await["suspiciousIps"],
        "ip",
        "authFailures",
    );
    assert_eq!(shown(browser, "suspects-table").await, suspects);
    assert_eq!(suspects.values().sum::<u64>(), 7);
    let painted = "return performance.getEntriesByName('first-contentful-paint')[0].startTime";
    assert!(browser.eval(painted).await.as_f64().unwrap() > 0.0);
}

async fn views_are_accessible(system: &System, browser: &Browser, (page, axe): (&str, &str)) {
    let token = system.text("/local/adminToken");
    for (view, size, scheme) in [
        ("operator", DESKTOP, "light"),
        ("operator-dark", DESKTOP, "dark"),
        ("operator-phone", PHONE, "light"),
    ] {
        browser.look(size, scheme).await;
        browser
            .open(&format!("{page}#range=1h&token={token}"))
            .await;
        browser.until(SHOWN).await;
        is_accessible(browser, axe, view).await;
        browser.picture(view).await;
    }
    browser.look(DESKTOP, "light").await;
}

async fn a_user_sees_themselves(system: &System, browser: &Browser, (page, axe): (&str, &str)) {
    browser.open(page).await;
    browser
        .until("return document.activeElement.id === 'go-to-issuer'")
        .await;
    is_accessible(browser, axe, "sign-in").await;
    browser.picture("sign-in").await;
    let token = json_of(&system.place.run("token --email ann@example.com --json"));
    // By keyboard, past the issuer's button.
    browser.keys("\u{e004}").await;
    let paste = format!("document.activeElement.value = {}", token["token"]);
    browser.eval(&paste).await;
    // By keyboard: move on to the button and press it.
    browser.keys("\u{e004}\u{e007}").await;
    browser.until(SHOWN).await;
    assert_eq!(browser.eval(&text("whose")).await, "· ann@example.com");
    let stats = system.analytics("user-stats?email=ann@example.com").await;
    let period = &stats["currentPeriod"];
    assert_eq!(period["calls"], 40);
    assert_eq!(number(&browser.eval(&text("period-calls")).await), 40);
    if let Some(remaining) = period["remaining"].as_u64() {
        assert_eq!(
            number(&browser.eval(&text("period-remaining")).await),
            remaining
        );
    }
    assert_eq!(charted(browser).await, [40, 0, 0]);
    browser
        .until("return document.querySelector('[data-calls-of]')")
        .await;
    let calls = "return Object.fromEntries([...document.querySelectorAll('[data-calls-of]')].map((cell) => [cell.dataset.callsOf, Number(cell.textContent)]))";
    let by_key = named(&stats["keys"], "key", "totalCalls");
    assert_eq!(by_key.values().sum::<u64>(), 40);
    assert_eq!(browser.eval(calls).await, json!(by_key));
    assert_eq!(
        browser
            .eval("return document.getElementById('keys-rest').hidden")
            .await,
        true
    );
    for panel in ["users", "suspects", "top-users", "blocks"] {
        let hidden = format!("return document.getElementById('{panel}').hidden");
        assert_eq!(browser.eval(&hidden).await, true, "{panel}");
    }
    is_accessible(browser, axe, "user").await;
    browser.picture("user").await;
    let stored = "return [localStorage.length, sessionStorage.length, document.cookie]";
    assert_eq!(browser.eval(stored).await, json!([0, 0, ""]));

    browser
        .eval("document.getElementById('sign-out').click()")
        .await;
    let is_out = "return document.getElementById('panels').hidden && document.getElementById('series-table').textContent === ''";
    browser.until(is_out).await;
    browser.open(&format!("{page}#token=nonsense")).await;
    let notice = browser.until(&text("notice")).await;
    assert!(
        notice.as_str().unwrap().starts_with("Signed out"),
        "{notice}"
    );
}

async fn a_user_signs_in_at_the_issuer(browser: &Browser, page: &str) {
    let view = "range=1h&timezone=Asia%2FKolkata";
    browser.open("about:blank").await;
    browser.open(&format!("{page}#{view}")).await;
    browser
        .until("return document.activeElement.id === 'go-to-issuer'")
        .await;
    browser.keys("\u{e007}").await;
    browser.until(SHOWN).await;
    assert_eq!(browser.eval(&text("whose")).await, "· ann@example.com");
    // The view is back, and nothing of the sign-in stays in the address or in the browser.
    let address = browser
        .eval("return [location.search, location.hash]")
        .await;
    assert_eq!(address, json!(["", format!("#{view}")]));
    let stored = "return [localStorage.length, sessionStorage.length, document.cookie]";
    assert_eq!(browser.eval(stored).await, json!([0, 0, ""]));

    // An answer that no sign-in of this tab asked for signs nobody in.
    browser.open("about:blank").await;
    let forged = page.trim_end_matches('/');
    browser
        .open(&format!("{forged}?code=stolen&state=guessed"))
        .await;
    let notice = browser.until(&text("notice")).await;
    assert_eq!(
        notice,
        "Not signed in: this sign-in was not begun in this tab."
    );
    assert_eq!(browser.eval("return location.search").await, "");
}

async fn a_link_reopens_the_view(system: &System, browser: &Browser, page: &str) {
    let token = system.text("/local/adminToken");
    browser.open(&format!("{page}#token={token}")).await;
    browser.until(SHOWN).await;
    browser.eval("document.body.removeAttribute('data-as-of'); [...document.querySelectorAll('#users-table button')].find((button) => button.textContent.startsWith('bob')).click()").await;
    browser
        .until("return document.body.dataset.asOf && document.getElementById('range').value")
        .await;
    browser.eval("const range = document.getElementById('range'); range.value = '1h'; document.body.removeAttribute('data-as-of'); range.dispatchEvent(new Event('change'))").await;
    browser.until(SHOWN).await;
    let link = browser.eval("return location.hash").await;
    let link = link.as_str().unwrap();
    assert!(link.contains("user=bob%2Bsales%40example.com"), "{link}");
    assert!(!link.contains("token"), "{link}");
    browser.open(&format!("{page}{link}&token={token}")).await;
    browser.until(SHOWN).await;
    assert_eq!(browser.eval("return location.hash").await, link);
    assert_eq!(
        browser.eval(&text("whose")).await,
        "· bob+sales@example.com"
    );
    assert_eq!(charted(browser).await, [25, 0, 0]);
    assert_eq!(number(&browser.eval(&text("period-calls")).await), 25);
    let left = number(&browser.eval(&text("period-remaining")).await);
    assert_eq!(left, BOBS_QUOTA - 25);
    alerts_are_those_of_the_api(system, browser).await;
    browser.picture("one-user").await;
}

/// The first threshold of Bob's quota, and no other.
async fn alerts_are_those_of_the_api(system: &System, browser: &Browser) {
    let usage = format!("user-stats?email={}", BOB.replace('+', "%2B"));
    let alerts = system.analytics(&usage).await["alerts"].clone();
    let [alert] = alerts.as_array().unwrap().as_slice() else {
        panic!("{alerts}");
    };
    assert_eq!(
        (&alert["percent"], &alert["quota"]),
        (&json!(50), &json!(40))
    );
    let shown =
        "return [...document.querySelectorAll('#alerts li')].map((alert) => alert.textContent)";
    let shown = browser.eval(shown).await;
    let [shown] = shown.as_array().unwrap().as_slice() else {
        panic!("{shown}");
    };
    let shown = shown.as_str().unwrap();
    let told = format!("{} of 40 units", alert["used"]);
    assert!(
        shown.starts_with("50 % of the quota on ") && shown.ends_with(&told),
        "{shown}"
    );
}

async fn tables_are_saved_as_the_api_has_them(system: &System, browser: &Browser, page: &str) {
    let token = system.text("/local/adminToken");
    browser
        .open(&format!(
            "{page}#range=7d&granularity=day&timezone=UTC&token={token}"
        ))
        .await;
    browser.until(SHOWN).await;
    for (button, question) in [
        (
            "series-csv",
            "timeseries?granularity=day&duration=7d&timezone=UTC&format=csv",
        ),
        (
            "endpoints-csv",
            "endpoints?granularity=day&duration=7d&timezone=UTC&format=csv",
        ),
        ("users-csv", "users?format=csv"),
    ] {
        let save = format!(
            "const made = URL.createObjectURL; URL.createObjectURL = (blob) => {{ URL.createObjectURL = made; blob.text().then(done); return made(blob); }}; \
             document.getElementById('{button}').click();"
        );
        let saved = browser.eval_async(&save).await;
        let answer = system
            .client
            .get(system.url(&format!("analytics/{question}")));
        let answer = answer.bearer_auth(token).send().await.unwrap();
        assert_eq!(saved, answer.text().await.unwrap(), "{button}");
    }
}

/// While calls arrive, each refresh shows a number that the API returned at that time, and the last
/// one shows all calls.
async fn numbers_follow_the_traffic(system: &System, browser: &Browser, (page, key): (&str, &str)) {
    let token = system.text("/local/adminToken");
    let question = "endpoints?granularity=minute&duration=1h";
    browser
        .open(&format!("{page}#range=1h&token={token}"))
        .await;
    browser.until(SHOWN).await;
    let traffic = async {
        for _ in 0..30 {
            system.call(Some(key), 5).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let watching = async {
        let (start, mut seen) = (Instant::now(), Vec::new());
        while seen.last() != Some(&215) {
            let before = system.analytics(question).await["totalCalls"]
                .as_u64()
                .unwrap();
            browser
                .eval("document.body.removeAttribute('data-as-of')")
                .await;
            browser.until(SHOWN).await;
            let page = number(&browser.eval(&text("total-calls strong")).await);
            let chart = charted(browser).await[0];
            let after = system.analytics(question).await["totalCalls"]
                .as_u64()
                .unwrap();
            assert!(before <= page && page <= after, "{before} {page} {after}");
            assert!(
                before <= chart && chart <= after,
                "{before} {chart} {after}"
            );
            assert!(start.elapsed() < Duration::from_mins(2), "{seen:?}");
            seen.push(page);
        }
        seen
    };
    let ((), seen) = tokio::join!(traffic, watching);
    assert!(seen.is_sorted() && seen.len() > 1, "{seen:?}");
}

/// The page embeds exactly the content of the pinned package.
#[test]
fn the_charts_are_those_of_the_pinned_package() {
    let package = Tools::ensure().node_modules.join("uplot");
    let kept = root().join("functions/analytics/page/vendor");
    let read = |path: &Path| std::fs::read(path).unwrap();
    for (file, of_package) in [
        ("uPlot.iife.min.js", "dist/uPlot.iife.min.js"),
        ("uPlot.min.css", "dist/uPlot.min.css"),
        ("uPlot.LICENSE", "LICENSE"),
    ] {
        assert!(
            read(&kept.join(file)) == read(&package.join(of_package)),
            "{file}"
        );
    }
}
