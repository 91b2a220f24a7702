//! Object models that are uploaded or imported while devices are registered count from the next
//! message on, and are there again after the server was killed.

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::Code;

fn definition(value_type: &str) -> String {
    format!(
        "<LWM2M><Object><Name>Pump</Name><ObjectID>33000</ObjectID>\
         <MultipleInstances>Multiple</MultipleInstances><Resources><Item ID=\"1\">\
         <Name>Speed</Name><Operations>RW</Operations><Type>{value_type}</Type></Item>\
         </Resources></Object></LWM2M>"
    )
}

/// What the server makes of the text `12` that the device answers.
async fn read_speed(server: &Server, device: &mut ScriptedDevice) -> Json {
    let read = json!({"kind": "read", "path": "/33000/0/1"});
    let operation = server.api().operate(device.name(), &read).await;
    let request = device.expect_request(Code::GET, "/33000/0/1");
    device.answer_content(&request, TEXT, b"12");
    let ended = server.api().ended(&operation).await;
    ended["result"]["nodes"][0].clone()
}

async fn upload(server: &Server, query: &str, xml: String) {
    let api = server.api();
    let request = api.request(Method::POST, &format!("/api/v1/models{query}"));
    let request = request.header("Content-Type", "application/xml").body(xml);
    let answer = request.send().await.expect("an answer");
    assert_eq!(
        answer.status(),
        201,
        "{}",
        answer.text().await.unwrap_or_default()
    );
}

#[tokio::test]
async fn an_uploaded_model_gives_the_next_answer_its_type_and_survives_a_kill() {
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new("pump", server.coap());
    device.register_now(3600, "</33000/0>");
    let node = read_speed(&server, &mut device).await;
    assert_eq!(
        (&node["type"], &node["value"]),
        (&json!("STRING"), &json!("12"))
    );

    upload(&server, "", definition("Integer")).await;
    let node = read_speed(&server, &mut device).await;
    assert_eq!(
        (&node["type"], &node["value"]),
        (&json!("INTEGER"), &json!(12))
    );
    let values = server.api().read("/api/v1/endpoints/pump/resources").await;
    assert_eq!(values["items"][1]["name"], "Speed", "{values}");

    upload(&server, "?replace=true", definition("Float")).await;
    server.kill();
    server.restart().await;
    let node = read_speed(&server, &mut device).await;
    assert_eq!(node["type"], "FLOAT");
}

#[tokio::test]
async fn a_model_imported_beside_the_server_is_noticed_without_a_restart() {
    let server = Server::setup().setting("models.reload_s", 1).start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("below")).expect("a folder");
    std::fs::write(path("below/pump.XML"), definition("Integer")).expect("a file");
    std::fs::write(path("broken.xml"), "<LWM2M>\n<Object/>").expect("a file");
    std::fs::write(path("wrong.xml"), "<LWM2M>\n<Object/></LWM2M>").expect("a file");
    std::fs::write(path("notes.txt"), "no definition").expect("a file");

    let all = folder.path().display().to_string();
    let output = server.command(&["models", "import", &all], "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("broken.xml: line 2: the file ends too early"),
        "{said}"
    );
    assert!(
        said.contains("wrong.xml: line 2, <Object>: it has no <ObjectID>"),
        "{said}"
    );
    assert!(
        !said.contains("pump.XML") && !said.contains("notes.txt"),
        "{said}"
    );
    let summary = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        summary.trim(),
        "3 files: 1 objects added, 0 replaced, 0 unchanged; 2 files failed"
    );
    eventually("the server knows the model", SOON, async || {
        let answer = server.api().get("/api/v1/models/33000/1.0").await;
        (answer.status() == 200).then_some(())
    })
    .await;

    // The same again changes nothing, something else needs to be wanted.
    let pump = path("below/pump.XML").display().to_string();
    let output = server.command(&["models", "import", &pump], "");
    assert!(output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stdout)
            .contains("0 objects added, 0 replaced, 1 unchanged")
    );
    std::fs::write(&pump, definition("Float")).expect("a file");
    let output = server.command(&["models", "import", &pump], "");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("object 33000 version 1.0") && said.contains("--replace"),
        "{said}"
    );
    let output = server.command(&["models", "import", "--replace", &pump], "");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 replaced"));

    let output = server.command(&["models", "list", "--json", "--uploaded"], "");
    let listed: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed[0]["object_id"], 33_000);
    assert_eq!(listed[0]["uploaded_by"], "cli");
    let output = server.command(&["models", "list"], "");
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.lines().count() > 320, "{table}");
    assert!(
        table.contains("33000  1.0    uploaded     1  Pump"),
        "{table}"
    );
    assert!(table.contains("builtin"), "{table}");
}

#[tokio::test]
async fn a_path_that_holds_no_definition_is_named() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().display().to_string();
    for (path, words) in [
        (empty.as_str(), "no *.xml file"),
        ("/nowhere/at/all", "/nowhere/at/all"),
    ] {
        let output = server.command(&["models", "import", path], "");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
