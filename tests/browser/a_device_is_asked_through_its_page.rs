//! An operator asks a simulated device for everything that its page offers, and reads the answers
//! there: values, links, places, codes, refusals.

use std::time::Duration;

use flownexus::sim::{Fleet, FleetSettings};
use serde_json::json;
use tokio::task::LocalSet;

use crate::support::browser::Browser;
use crate::support::server::{SOON, Server, eventually};

/// The name of the device; the number is the fleet's.
const DEVICE: &str = "page-1";

/// The dialog of operations on the page of a device.
struct Dialog<'a>(&'a Browser);

impl Dialog<'_> {
    /// Opens it by one of the page's buttons.
    async fn open(&self, button: &str) {
        self.0.press(button).await;
        self.0.element("#operate[open]").await;
    }

    async fn close(&self) {
        self.0.press("#operate-close").await;
    }

    /// Sets a control, as a person does it.
    async fn set(&self, selector: &str, value: &str) {
        self.0.element(selector).await;
        let script = format!(
            "const control = document.querySelector({}); \
             control.value = {}; \
             for (const kind of ['input', 'change']) control.dispatchEvent(new Event(kind, {{ bubbles: true }}));",
            json!(selector),
            json!(value)
        );
        self.0.script(&script).await;
    }

    /// Chooses a kind at a path, and waits for its fields.
    async fn choose(&self, kind: &str, path: &str) {
        if !path.is_empty() {
            self.set("#operate-path", path).await;
        }
        self.set("#operate-kind", kind).await;
    }

    /// Sends it, and waits for this status.
    async fn send(&self, status: &str) {
        self.0
            .script("document.getElementById('operate-result').dataset.status = ''")
            .await;
        self.0.press("#operate-submit").await;
        self.0
            .element(&format!("#operate-result[data-status={status}]"))
            .await;
    }

    async fn result(&self, wanted: &str) {
        self.0
            .text("#operate-result", |text| text.contains(wanted))
            .await;
    }
}

#[tokio::test]
async fn every_operation_and_its_answer() {
    let Some(browser) = Browser::start("every_operation_and_its_answer").await else {
        return;
    };
    let server = Server::start().await;
    LocalSet::new()
        .run_until(async {
            let fleet = Fleet::start(FleetSettings {
                prefix: Some("page-".to_owned()),
                interval: Duration::from_secs(600),
                test_objects: true,
                ..FleetSettings::new(server.coap(), 1)
            });
            eventually("the device registers", SOON, || async {
                let device = server.api().endpoint(DEVICE).await?;
                (device["registered"] == true).then_some(())
            })
            .await;
            ask_for_everything(&browser, &server).await;
            fleet.stop().await;
        })
        .await;
    browser.close().await;
}

async fn ask_for_everything(browser: &Browser, server: &Server) {
    let password = server.admin_password();
    browser
        .log_in_first(&server.url(""), "admin", &password)
        .await;
    browser
        .open_live(&server.url(&format!("/devices/{DEVICE}")))
        .await;
    let dialog = Dialog(browser);
    write_and_read_back(&dialog).await;
    types_have_their_controls(&dialog).await;
    make_and_remove_an_instance(&dialog).await;
    ask_about_many_at_once(&dialog).await;
    mistakes_are_told_in_the_dialog(&dialog).await;
    browser.no_complaints().await;
}

async fn write_and_read_back(dialog: &Dialog<'_>) {
    dialog.open("[data-action=operate]:not([data-path])").await;
    dialog.choose("write", "/3442/0/110").await;
    dialog
        .set("#operate-fields textarea", "<b>from the page</b>")
        .await;
    dialog.set("#operate-format", "tlv").await;
    dialog.set("#operate-expires", "60").await;
    dialog.send("CONFIRMED").await;
    dialog.result("2.04 Changed").await;
    dialog.choose("read", "").await;
    dialog.send("CONFIRMED").await;
    dialog.result("<b>from the page</b>").await;
    // The table behind the dialog has it too.
    dialog
        .0
        .text("[data-value=\"/3442/0/110\"] .value", |text| {
            text == "<b>from the page</b>"
        })
        .await;
    dialog.choose("execute", "/3442/0/3").await;
    dialog.set("#operate-arguments", "0='now',1").await;
    dialog.send("CONFIRMED").await;
    dialog.choose("read", "/3442/0/4").await;
    dialog.send("CONFIRMED").await;
    dialog.result("now").await;
    dialog.close().await;
}

/// A switch, two numbers of a link, digits of bytes, lines of instances.
async fn types_have_their_controls(dialog: &Dialog<'_>) {
    dialog.open("[data-action=operate]:not([data-path])").await;
    let press = "document.querySelector('#operate-fields [type=checkbox]').click()";
    for (path, fields, shown) in [
        ("/3442/0/120", vec![("input[type=number]", "-42")], "-42"),
        ("/3442/0/130", vec![("input[type=number]", "21.5")], "21.5"),
        ("/3442/0/140", vec![], "true"),
        ("/3442/0/150", vec![("textarea", "01 ff 7e")], "01ff7e"),
        (
            "/3442/0/160",
            vec![("input[type=datetime-local]", "2026-11-23T12:00:00")],
            "2026-11-23",
        ),
        (
            "/3442/0/170",
            vec![
                ("input[data-part=object]", "3303"),
                ("input[data-part=instance]", "1"),
            ],
            "3303:1",
        ),
        (
            "/3442/0/1120",
            vec![
                (".instance-id", "3"),
                ("input[step=\"1\"]:not(.instance-id)", "7"),
            ],
            "/3442/0/1120/3",
        ),
    ] {
        dialog.choose("write", path).await;
        let field = fields.first().map_or("[type=checkbox]", |(field, _)| field);
        dialog.0.element(&format!("#operate-fields {field}")).await;
        if fields.is_empty() {
            dialog.0.script(&format!(
                "if (!document.querySelector('#operate-fields [type=checkbox]').checked) {press}"
            )).await;
        }
        for (field, value) in fields {
            dialog.set(&format!("#operate-fields {field}"), value).await;
        }
        dialog.send("CONFIRMED").await;
        dialog.choose("read", path).await;
        dialog.send("CONFIRMED").await;
        dialog.result(shown).await;
    }
    dialog.close().await;
}

async fn make_and_remove_an_instance(dialog: &Dialog<'_>) {
    dialog
        .open("[data-action=create][data-path=\"/3442\"]")
        .await;
    dialog.set("#operate-instance", "7").await;
    for (id, field, value) in [
        ("110", "textarea", "made here"),
        ("130", "[type=number]", "1.5"),
    ] {
        let line = format!("#operate-fields [data-field=\"{id}\"]");
        dialog.0.press(&format!("{line} [type=checkbox]")).await;
        dialog.set(&format!("{line} {field}"), value).await;
    }
    dialog.send("CONFIRMED").await;
    dialog.result("2.01 Created").await;
    dialog.choose("read", "/3442/7/110").await;
    dialog.send("CONFIRMED").await;
    dialog.result("made here").await;
    // The device has announced it, and the page shows it.
    dialog.0.element("[data-instance=\"/3442/7\"]").await;

    dialog.choose("write_attributes", "/3442/7/130").await;
    dialog.set("#operate-attribute-pmin", "set").await;
    dialog.set("[data-attribute=pmin] input", "5").await;
    dialog.set("[data-attribute=gt] input", "21.5").await;
    dialog.send("CONFIRMED").await;
    dialog.choose("discover", "/3442/7/130").await;
    dialog.send("CONFIRMED").await;
    dialog.result("pmin=5").await;
    dialog.result("gt=21.5").await;
    dialog.choose("write_attributes", "/3442/7/130").await;
    dialog.set("#operate-attribute-pmin", "remove").await;
    dialog.send("CONFIRMED").await;

    dialog.choose("observe", "/3442/7/130").await;
    dialog.send("CONFIRMED").await;
    dialog.choose("cancel_observe", "/3442/7/130").await;
    dialog.0.press("#operate-passive").await;
    dialog.send("CONFIRMED").await;

    dialog.choose("delete", "/3442/7").await;
    dialog.send("CONFIRMED").await;
    dialog.result("2.02 Deleted").await;
    dialog.choose("read", "/3442/7/110").await;
    dialog.send("FAILED").await;
    dialog.result("4.04 Not Found").await;
    dialog.close().await;
}

async fn ask_about_many_at_once(dialog: &Dialog<'_>) {
    dialog.open("[data-action=composite]").await;
    dialog.set("#operate-filter", "3442/0/1").await;
    for path in ["/3442/0/110", "/3442/0/120"] {
        dialog
            .0
            .press(&format!("#operate-fields [value=\"{path}\"]"))
            .await;
    }
    dialog.set("#operate-others", "/3/0/0").await;
    dialog.send("CONFIRMED").await;
    for path in ["/3442/0/110", "/3442/0/120", "/3/0/0"] {
        dialog
            .0
            .element(&format!("#operate-result [data-path=\"{path}\"]"))
            .await;
    }
    dialog.choose("write_composite", "").await;
    for path in ["/3442/0/110", "/3442/0/120"] {
        dialog
            .0
            .press(&format!("#operate-fields [value=\"{path}\"]"))
            .await;
    }
    dialog
        .set("[data-field=\"/3442/0/110\"] textarea", "both")
        .await;
    dialog.set("[data-field=\"/3442/0/120\"] input", "8").await;
    dialog.send("CONFIRMED").await;
    dialog.close().await;
    for (path, shown) in [("/3442/0/110", "both"), ("/3442/0/120", "8")] {
        dialog
            .0
            .press(&format!("[data-resource=\"{path}\"] [data-action=read]"))
            .await;
        dialog
            .0
            .text(&format!("[data-value=\"{path}\"] .value"), |text| {
                text == shown
            })
            .await;
    }
}

async fn mistakes_are_told_in_the_dialog(dialog: &Dialog<'_>) {
    dialog.open("[data-action=operate]:not([data-path])").await;
    // Of an object that the device has not, the model tells the fields; the device refuses.
    dialog.choose("create", "/3311").await;
    let on = "#operate-fields [data-field=\"5850\"]";
    dialog.0.element(&format!("{on} .form-switch")).await;
    dialog.send("FAILED").await;
    dialog.result("4.0").await;
    for (kind, path, place, told) in [
        (
            "read",
            "/3/x",
            "#operate-path-mistake",
            "one to four numbers",
        ),
        (
            "write_attributes",
            "/3/0/9",
            "#operate-error",
            "at least one attribute",
        ),
    ] {
        dialog.choose(kind, path).await;
        dialog.0.press("#operate-submit").await;
        dialog.0.text(place, |text| text.contains(told)).await;
    }
    // What only the server knows is told in its words.
    dialog.choose("execute", "/3442/0/0").await;
    dialog.set("#operate-arguments", "nonsense").await;
    dialog.0.press("#operate-submit").await;
    dialog
        .0
        .text("#operate-arguments-mistake", |text| {
            text.contains("Arguments are digits")
        })
        .await;
    dialog.close().await;
}
