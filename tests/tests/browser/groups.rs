//! The chart, split up: the table behind it has a column for each group.

use std::collections::BTreeMap;

use super::{ANN, Browser, SHOWN, System, Value, is_accessible, json, number, open_view, rows};

/// The sums of the columns of the table behind the chart, by their headings, except those of none.
async fn charted(browser: &Browser) -> BTreeMap<String, u64> {
    let heads = "return [...document.querySelectorAll('#series-table thead th')].map((cell) => cell.textContent)";
    let heads = browser.eval(heads).await;
    let rows = browser.eval(&rows("series-table")).await;
    let heads = heads.as_array().unwrap().iter().enumerate().skip(1);
    let sums = heads.map(|(column, head)| {
        let rows = rows.as_array().unwrap().iter();
        let sum = rows.map(|row| number(&row[column])).sum();
        (head.as_str().unwrap().to_owned(), sum)
    });
    sums.filter(|(_, sum)| *sum > 0).collect()
}

/// The same of the API's answer.
fn grouped(series: &Value) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for point in series["points"].as_array().unwrap() {
        for group in point["groups"].as_array().unwrap() {
            let key = group["key"].as_str().unwrap().to_owned();
            *sums.entry(key).or_default() += group["totalCalls"].as_u64().unwrap();
        }
    }
    sums.retain(|_, sum| *sum > 0);
    sums
}

/// Chooses a group, and waits until it is shown.
async fn choose(browser: &Browser, group: &str) {
    let choose = format!(
        "const by = document.getElementById('group'); by.value = '{group}'; document.body.removeAttribute('data-as-of'); by.dispatchEvent(new Event('change'))"
    );
    browser.eval(&choose).await;
    browser.until(SHOWN).await;
    assert_eq!(
        browser
            .eval("return document.getElementById('group').value")
            .await,
        group
    );
}

pub(super) async fn calls_are_split_up_as_the_api_says(
    system: &System,
    browser: &Browser,
    (page, axe): (&str, &str),
) {
    let token = system.text("/local/adminToken");
    let view = format!("{page}#range=1h&timezone=UTC&token={token}");
    open_view(browser, &view).await;
    let choices =
        "return [...document.getElementById('group').options].map((option) => option.value)";
    let expected = json!(["", "endpoint", "method", "status", "type"]);
    assert_eq!(browser.eval(choices).await, expected);
    let span = "timeseries?granularity=minute&duration=1h&timezone=UTC";
    for group in ["endpoint", "method", "status", "type"] {
        choose(browser, group).await;
        let series = system.analytics(&format!("{span}&groupBy={group}")).await;
        let expected = grouped(&series);
        assert!(!expected.is_empty(), "{group}");
        assert_eq!(charted(browser).await, expected, "{group}");
    }
    is_accessible(browser, axe, "grouped").await;
    browser.picture("grouped").await;

    // Keys are one user's. A link opens the same groups.
    let view = format!("range=1h&timezone=UTC&user={ANN}&group=key");
    open_view(browser, &format!("{page}#{view}&token={token}")).await;
    let series = system
        .analytics(&format!("{span}&email={ANN}&groupBy=key"))
        .await;
    let expected = grouped(&series);
    assert_eq!(expected.values().sum::<u64>(), 40);
    assert!(
        expected.keys().all(|key| key.starts_with("key_")),
        "{expected:?}"
    );
    assert_eq!(charted(browser).await, expected);
}
