//! Whatever arrives, the next good device registers (attacks 1 to 10).

use crate::support::device::ScriptedDevice;
use crate::support::server::Server;

#[tokio::test]
async fn a_server_that_was_sent_rubbish_serves_the_next_device() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("rubbish", server.coap());
    let register = device.register(300, "</1/0>,</3/0>").encode();
    // Every truncation and every single flipped byte of a good message, and some plain noise.
    for length in 0..register.len() {
        device.send_bytes(&register[..length]);
    }
    for at in 0..register.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = register.clone();
            bytes[at] ^= flip;
            device.send_bytes(&bytes);
        }
    }
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    for length in 0..64 {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise.to_le_bytes()[0]
            })
            .collect();
        device.send_bytes(&bytes);
    }
    let mut good = ScriptedDevice::new("good", server.coap());
    good.register_now(300, "</1/0>");
    assert_eq!(
        server.api().endpoint("good").await.expect("known")["registered"],
        true
    );
    assert!(
        server
            .metric("flownexus_coap_datagrams_received_total")
            .await
            > 100.0
    );
}
