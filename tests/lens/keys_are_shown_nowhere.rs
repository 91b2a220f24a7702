//! Keys of devices, and names of images that nobody can guess, are in none of the three outputs: the list, the bytes
//! and the file.

use flownexus::coap::{Code, Options, number};
use serde_json::json;

use super::messages;
use super::pcap_file::packets;
use crate::support::device::{SENML_JSON, ScriptedDevice, TEXT};
use crate::support::server::Server;

const KEY: &str = "a-key-that-nobody-may-see";
const NAME: &str = "0123456789abcdef-image.bin";

#[tokio::test]
async fn secrets_are_in_none_of_the_outputs() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("pump", server.coap());
    device.register_now(300, "</0/0>,</1/0>,</12/0>");
    let api = server.api();
    // Answered, sent and written.
    for (path, format) in [
        ("/12/0/18", TEXT),
        ("/12/0", SENML_JSON),
        ("/0/0", SENML_JSON),
    ] {
        let operation = api
            .operate("pump", &json!({"kind": "read", "path": path}))
            .await;
        let request = device.expect_request(Code::GET, path);
        let body = match (path, format) {
            (_, TEXT) => KEY.to_owned(),
            ("/0/0", _) => json!([{"bn": "/0/0/", "n": "0", "vs": "coaps://here"},
                {"n": "5", "vd": "YS1rZXktdGhhdC1ub2JvZHktbWF5LXNlZQ"}])
            .to_string(),
            _ => {
                json!([{"bn": "/12/0/", "n": "18", "vs": KEY}, {"n": "3", "vs": "net"}]).to_string()
            }
        };
        device.answer_content(&request, format, body.as_bytes());
        api.ended(&operation).await;
    }
    let sent = json!([{"n": "/12/0/18", "vs": KEY}]).to_string();
    let push = device.data_push(SENML_JSON, sent.as_bytes());
    assert_eq!(device.ask(&push).code, Code::CHANGED);
    let write = json!({"kind": "write", "path": "/12/0/18", "value": KEY});
    let operation = api.operate("pump", &write).await;
    let request = device.expect_request(Code::PUT, "/12/0/18");
    assert!(contains(&request.payload, KEY.as_bytes()));
    device.answer(&request, Code::CHANGED, Options::new(), b"");
    api.ended(&operation).await;
    // An image is fetched by a name that is as good as a password.
    let mut options = Options::new();
    options.add_uri_path(&format!("/binaries/{NAME}"));
    options.add_uint(number::BLOCK2, 6);
    let get = device.request(Code::GET, options, b"");
    device.ask(&get);
    let uri = format!("coap://server/binaries/{NAME}");
    let write = json!({"kind": "write", "path": "/5/0/1", "value": uri});
    let operation = api.operate("pump", &write).await;
    let request = device.expect_request(Code::PUT, "/5/0/1");
    device.answer(&request, Code::CHANGED, Options::new(), b"");
    api.ended(&operation).await;

    let all = messages(&server, "pump", "").await;
    assert!(all.len() >= 16, "{}", all.len());
    let in_base64 = "YS1rZXktdGhhdC1ub2JvZHkt";
    for secret in [KEY, NAME, in_base64] {
        let in_hex = hex::encode(secret);
        for message in &all {
            let path = format!("/api/v1/endpoints/pump/messages/{}", message["id"]);
            let whole = api.read(&path).await;
            for text in [message.to_string(), whole.to_string()] {
                assert!(!text.contains(secret) && !text.contains(&in_hex), "{text}");
            }
            // They are as long as they were.
            let digits = whole["bytes"].as_str().expect("bytes").len() as u64;
            assert_eq!(whole["message_bytes"], digits / 2);
        }
        let file = api.get("/api/v1/endpoints/pump/messages.pcap").await;
        let file = file.bytes().await.expect("a file");
        assert_eq!(packets(&file).len(), all.len());
        assert!(!contains(&file, secret.as_bytes()));
    }
    let shown = serde_json::to_string(&all).expect("JSON");
    for harmless in ["coaps://here", "coap://server/•••"] {
        assert!(shown.contains(harmless), "{harmless} in {shown}");
    }
    let secrets = all
        .iter()
        .flat_map(|message| message["values"].as_array().expect("values"))
        .filter(|value| value["secret"] == true);
    assert_eq!(secrets.count(), 5);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
