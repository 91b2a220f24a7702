//! What the server finds wrong with a form stands beside the field that it is about, in sight of those who see and of those
//! who listen; what was filled in is still there.

use serde_json::json;

use crate::pages::fleet::{PASSWORD, RICH};
use crate::support::browser::Browser;

use super::pages::Pages;

/// Where, what is filled in (field, text), what sends it, the field that is wrong, and a part of what is said of it.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
    &'static str,
);

const CASES: [Case; 9] = [
    (
        "/users",
        &[
            ("name", "a b"),
            ("role", "operator"),
            ("password", "correct horse battery"),
        ],
        "form[action='/users']",
        "name",
        "name",
    ),
    (
        "/users",
        &[("name", "viewer"), ("password", "correct horse battery")],
        "form[action='/users']",
        "name",
        "exists",
    ),
    (
        "/users",
        &[("password", "short")],
        "tr[data-user=viewer] form[action='/users/password']",
        "password",
        "password",
    ),
    (
        "/account",
        &[
            ("present", PASSWORD),
            ("new", "another horse battery"),
            ("again", "another house battery"),
        ],
        "form[action='/account']",
        "again",
        "not the same both times",
    ),
    (
        "/account",
        &[
            ("present", "wrong horse battery"),
            ("new", "another horse battery"),
            ("again", "another horse battery"),
        ],
        "form[action='/account']",
        "present",
        "is wrong",
    ),
    (
        "/account",
        &[("name", "grafana"), ("days", "40000")],
        "form[action='/account/tokens']",
        "days",
        "from 1 to 36500 days",
    ),
    (
        "/events/rules",
        &[
            ("name", "too warm"),
            ("path", "/3303/*/5700"),
            ("above", "warm"),
        ],
        "#rule-form",
        "above",
        "“warm” is no such number",
    ),
    (
        "/templates",
        &[("paths", "/3303/x")],
        "form[action='/templates']",
        "paths",
        "/3303/x",
    ),
    (
        "/credentials",
        &[
            ("endpoint", "pump"),
            ("identity", "pump"),
            ("key", "no hex"),
        ],
        "#credential-form",
        "key",
        "hex",
    ),
];

#[tokio::test]
async fn and_what_was_filled_in_is_still_there() {
    let Some(browser) = Browser::start("and_what_was_filled_in_is_still_there").await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "admin", PASSWORD).await;
    for (path, filled, form, field, words) in CASES {
        let case = format!("{path} {filled:?}");
        browser.open(&format!("{}{path}", pages.address)).await;
        // As a browser without our checks would send it.
        let fill = format!(
            "const form = document.querySelector(\"{form}\"); form.noValidate = true; \
             for (const [name, text] of {}) form.elements.namedItem(name).value = text; \
             window.before = true; form.requestSubmit();",
            json!(filled)
        );
        browser.script(&fill).await;
        browser
            .until("return window.before ?? null", serde_json::Value::is_null)
            .await;
        let told = format!("[name='{field}'].is-invalid");
        browser.element(&told).await;
        let seen = format!(
            "const input = document.querySelector(\"{told}\"); \
             const text = document.getElementById(input.getAttribute('aria-describedby')); \
             return {{text: text.textContent, seen: text.checkVisibility(), focus: document.activeElement === input, \
                 form: input.form.matches(\"{form}\"), alerts: document.querySelectorAll('.alert-danger').length, \
                 under: text.getBoundingClientRect().top >= input.getBoundingClientRect().bottom - 1, \
                 values: Object.fromEntries(new FormData(input.form))}}"
        );
        let seen = browser.script(&seen).await;
        let text = seen["text"].as_str().unwrap_or_default().to_lowercase();
        assert!(text.contains(&words.to_lowercase()), "{case}: {seen}");
        for what in ["seen", "focus", "form", "under"] {
            assert_eq!(seen[what], true, "{case}: {what}: {seen}");
        }
        assert_eq!(seen["alerts"], 0, "{case}: {seen}");
        for (name, text) in filled {
            // Passwords and keys are not sent back.
            let secret = ["password", "present", "new", "again", "key"].contains(name);
            let is = if secret { "" } else { *text };
            assert_eq!(seen["values"][*name], is, "{case}: {name}: {seen}");
        }
        // Who corrects it is not told any more.
        let correct =
            format!("document.querySelector(\"{told}\").dispatchEvent(new Event('input'))");
        browser.script(&correct).await;
        let left =
            "return document.querySelectorAll('.is-invalid, .invalid-feedback.d-block').length";
        assert_eq!(browser.script(left).await, 0, "{case}");
        browser.no_complaints().await;
    }
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn in_dialogs_too_and_the_next_try_begins_without_them() {
    let test = "in_dialogs_too_and_the_next_try_begins_without_them";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "operator", PASSWORD).await;
    browser
        .open_live(&format!("{}/devices", pages.address))
        .await;
    browser.press("[data-select-device]").await;
    for (kind, wrong, field, words, right) in [
        ("read", "/x", "path", "path", "/3/0/3"),
        ("tag", "a,b\u{7}", "tags", "tag", "attic"),
    ] {
        browser.press(&format!("[data-bulk={kind}]")).await;
        let input = format!("#bulk-{field}");
        browser.fill(&input, wrong).await;
        browser.press("#bulk-submit").await;
        let told = browser
            .text(&format!("{input}-mistake"), |text| !text.is_empty())
            .await;
        assert!(told.to_lowercase().contains(words), "{kind}: {told}");
        let focus = format!("return document.activeElement.matches('{input}.is-invalid')");
        assert_eq!(browser.script(&focus).await, true);
        browser.fill(&input, right).await;
        browser.press("#bulk-submit").await;
        browser
            .until("return document.getElementById('bulk').open", |open| {
                *open == false
            })
            .await;
    }
    let left = "return document.querySelectorAll('.is-invalid, .invalid-feedback.d-block').length";
    assert_eq!(browser.script(left).await, 0);
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}

/// What is asked of the device, where; what is filled into the fields that its model made; the control that is wrong, and
/// what is said of it.
type Asked = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
);

const ASKED: [Asked; 7] = [
    (
        "write",
        "/3303/0/5700",
        &[("#operate-fields [name=value]", "")],
        "#operate-fields [name=value]",
        "number is missing",
    ),
    (
        "write",
        "/3/0",
        &[(
            "#operate-fields [data-field='13'] input[type=datetime-local]",
            "",
        )],
        "#operate-fields [data-field='13'] input[type=datetime-local]",
        "time is missing",
    ),
    (
        "write",
        "/3/0/7",
        &[("#operate-fields .instance-id", "70000")],
        "#operate-fields .instance-id",
        "from 0 to 65534",
    ),
    (
        "write_attributes",
        "/3303/0/5700",
        &[("#operate-attribute-gt", "set")],
        "#operate-fields [data-attribute=gt] input",
        "number is missing",
    ),
    (
        "create",
        "/3303",
        &[("#operate-instance", "-1")],
        "#operate-instance",
        "from 0 to 65534",
    ),
    (
        "read_composite",
        "",
        &[("#operate-others", "/3/x")],
        "#operate-others",
        "no path such as",
    ),
    // What only the server finds.
    (
        "write",
        "/3/0/10",
        &[("#operate-fields [name=value]", "99999999999999999999999")],
        "#operate-fields [name=value]",
        "/3/0/10",
    ),
];

#[tokio::test]
async fn of_fields_made_from_a_model_too() {
    let Some(browser) = Browser::start("of_fields_made_from_a_model_too").await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "operator", PASSWORD).await;
    browser.open_live(&pages.device(RICH)).await;
    browser
        .press("[data-action=operate]:not([data-path])")
        .await;
    for (kind, path, filled, wrong, words) in ASKED {
        let case = format!("{kind} {path}");
        browser.fill("#operate-path", path).await;
        browser.fill("#operate-kind", kind).await;
        for (control, text) in filled {
            browser.element(control).await;
            browser.fill(control, text).await;
        }
        browser.press("#operate-submit").await;
        browser.element(&format!("{wrong}.is-invalid")).await;
        let seen = format!(
            "const input = document.querySelector({wrong:?}); \
             const text = document.getElementById(input.getAttribute('aria-describedby')); \
             return {{text: text.textContent, seen: text.checkVisibility(), focus: document.activeElement === input, \
                 foot: document.getElementById('operate-error').textContent, \
                 under: text.getBoundingClientRect().top >= input.getBoundingClientRect().bottom - 1, \
                 mistakes: document.querySelectorAll('#operate .is-invalid').length}}"
        );
        let seen = browser.script(&seen).await;
        let text = seen["text"].as_str().unwrap_or_default();
        assert!(text.contains(words), "{case}: {seen}");
        for what in ["seen", "focus", "under"] {
            assert_eq!(seen[what], true, "{case}: {what}: {seen}");
        }
        assert_eq!(
            (&seen["foot"], &seen["mistakes"]),
            (&json!(""), &json!(1)),
            "{case}"
        );
        // Who corrects it is not told any more.
        let correct =
            format!("document.querySelector({wrong:?}).dispatchEvent(new Event('input'))");
        browser.script(&correct).await;
        let left = "return document.querySelectorAll('#operate .is-invalid, #operate .invalid-feedback').length";
        assert_eq!(browser.script(left).await, 0, "{case}");
    }
    // A line that is taken away takes along what was wrong with it.
    browser.fill("#operate-path", "/3/0/7").await;
    browser.fill("#operate-kind", "write").await;
    browser.element("#operate-fields .instance-id").await;
    browser.fill("#operate-fields .instance-id", "70000").await;
    browser.press("#operate-submit").await;
    browser.element("#operate-fields .invalid-feedback").await;
    browser.press("#operate-fields .btn-close").await;
    let left = "return document.querySelectorAll('#operate-fields .invalid-feedback').length";
    assert_eq!(browser.script(left).await, 0);
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}
