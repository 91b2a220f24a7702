//! Our record layer against what others have made: records that stand in `vectors`, and OpenSSL itself.

use openssl::ssl::{Ssl, SslContext, SslMethod, SslOptions, SslStream, SslVersion};

use super::aead::{Aead, Ciphers, Use};
use super::cid::Cid;
use super::pipe::Pipe;
use super::record::{EPOCH, LONGEST_TEXT, MASTER_SECRET, Opened, RANDOM, RecordLayer};
use super::records::{APPLICATION_DATA, Record, Records};
use super::vectors::{ALL, Vector};

/// A suite for each cipher; all are of pre-shared keys.
const SUITES: [(Aead, &str); Aead::ALL.len()] = [
    (Aead::Aes128Ccm, "PSK-AES128-CCM"),
    (Aead::Aes128Ccm8, "PSK-AES128-CCM8"),
    (Aead::Aes128Gcm, "PSK-AES128-GCM-SHA256"),
    (Aead::Aes256Ccm8, "PSK-AES256-CCM8"),
    (Aead::Aes256Gcm, "PSK-AES256-GCM-SHA384"),
    (Aead::ChaCha20Poly1305, "ECDHE-PSK-CHACHA20-POLY1305"),
];

#[test]
fn records_of_others_are_opened_and_a_copy_is_not() {
    assert_eq!(ALL.len(), Aead::ALL.len() + MBED_TLS, "vectors");
    let mut ciphers = Ciphers::default();
    for vector in ALL {
        for is_server in [true, false] {
            let mut layer = vector.layer(is_server);
            let mut text = Vec::new();
            let lines = vector.lines.iter();
            let lines: Vec<_> = lines.filter(|line| line.is_clients == is_server).collect();
            assert!(lines.len() > 2, "{:?}", vector.aead);
            for line in lines {
                let bytes = bytes(line.record);
                let record = the_record(&bytes, layer.own);
                let opened = layer.open(&mut ciphers, record, &mut text);
                let (kind, is_newest) = (line.kind, true);
                assert_eq!(opened, Some(Opened { kind, is_newest }), "{line:?}");
                assert_eq!(hex::encode(&text), line.text, "{line:?}");
                let window = layer.window;
                assert_eq!(layer.open(&mut ciphers, record, &mut text), None);
                assert_eq!(layer.window, window);
            }
        }
    }
}

#[test]
fn our_records_are_those_of_others_to_the_byte() {
    let mut ciphers = Ciphers::default();
    for vector in ALL {
        for line in vector.lines {
            let theirs = bytes(line.record);
            let mut layer = vector.layer(!line.is_clients);
            let record = the_record(&theirs, layer.peer);
            layer.numbers.next = record.sequence();
            let text = bytes(line.text);
            let ours = layer
                .seal(&mut ciphers, line.kind, &text)
                .expect("a record");
            assert_eq!(ours.len() + line.padding, theirs.len(), "{line:?}");
            if line.padding > 0 {
                continue;
            }
            let numbered = by_number(record.sequence());
            if numbered.starts_with(explicit(record, vector.aead)) {
                assert_eq!(hex::encode(ours), line.record, "{line:?}");
                continue;
            }
            // With GCM OpenSSL counts from somewhere else; what it says there is up to whoever makes the
            // record (RFC 5288 section 3). Everything else must be the same.
            assert!(matches!(vector.aead, Aead::Aes128Gcm | Aead::Aes256Gcm));
            let mut again = ours[..13].to_vec();
            let nonce = explicit(record, vector.aead);
            again.extend(nonce);
            let beside = beside(line.kind, record.sequence(), text.len());
            let with = Use {
                aead: vector.aead,
                secret: &layer.outbound,
                explicit: nonce.try_into().expect("eight bytes"),
                beside: &beside,
            };
            ciphers.seal(with, &text, &mut again).expect("a record");
            assert_eq!(hex::encode(again), line.record, "{line:?}");
        }
    }
}

#[test]
fn a_record_with_any_bit_spoilt_is_dropped_and_changes_nothing() {
    let mut ciphers = Ciphers::default();
    for vector in ALL {
        for line in vector.lines {
            let genuine = bytes(line.record);
            let mut layer = vector.layer(line.is_clients);
            let before = layer.clone();
            let mut text = Vec::new();
            for at in 0..genuine.len() {
                for bit in 0..8 {
                    let mut spoilt = genuine.clone();
                    spoilt[at] ^= 1 << bit;
                    for record in Records::with_cid(&spoilt, layer.own.as_bytes().len()) {
                        let opened = layer.open(&mut ciphers, record, &mut text);
                        assert_eq!(opened, None, "bit {bit} of byte {at} of {line:?}");
                    }
                }
                let cut = &genuine[..at];
                let mut records = Records::with_cid(cut, layer.own.as_bytes().len());
                assert!(records.next().is_none(), "it is cut at {at}");
                // Cut, and the length says so.
                if let Some(left) = at.checked_sub(13 + layer.own.as_bytes().len()) {
                    let mut short = cut.to_vec();
                    let place = 11 + layer.own.as_bytes().len();
                    let length = u16::try_from(left).expect("a short record");
                    short[place..place + 2].copy_from_slice(&length.to_be_bytes());
                    let record = the_record(&short, layer.own);
                    assert_eq!(layer.open(&mut ciphers, record, &mut text), None);
                }
            }
            assert_eq!(layer, before, "{line:?}");
            let record = the_record(&genuine, layer.own);
            assert!(layer.open(&mut ciphers, record, &mut text).is_some());
        }
    }
}

/// OpenSSL reads what we say, and we what it says, whatever its length.
#[test]
fn openssl_and_our_layer_go_on_with_each_others_connections() {
    let mut ciphers = Ciphers::default();
    for (aead, suite) in SUITES {
        let (mut client, mut server) = connected(suite);
        let mut ours = RecordLayer::of(server.ssl(), aead, Cid::default(), Cid::default());
        let ours = ours.as_mut().expect("keys");
        // The Finished was number 0.
        ours.numbers.next = 1;
        let mut text = Vec::new();
        let mut room = vec![0; LONGEST_TEXT];
        for length in [1, 15, 16, 17, 255, 1_000, LONGEST_TEXT] {
            let said = vec![0x5a; length];
            let record = ours.seal(&mut ciphers, APPLICATION_DATA, &said);
            client.get_mut().push(record.expect("a record"));
            assert_eq!(client.ssl_read(&mut room).expect("data"), length, "{suite}");
            assert_eq!(room[..length], said);
            client.ssl_write(&said).expect("a session");
            let record = client.get_mut().pop().expect("a record");
            let record = the_record(&record, Cid::default());
            let opened = ours.open(&mut ciphers, record, &mut text);
            assert_eq!(opened.map(|opened| opened.kind), Some(APPLICATION_DATA));
            assert_eq!(text, said, "{suite}");
        }
        drop(server.shutdown());
    }
}

/// Prints what `vectors` holds of OpenSSL: `cargo test --lib -- --ignored --nocapture vectors_are`.
#[test]
#[ignore = "makes the vectors anew"]
fn vectors_are_recorded() {
    let mut ciphers = Ciphers::default();
    for (aead, suite) in SUITES {
        let (mut client, mut server, mut wire) = shaken(suite);
        for said in ["up", "a message of the client, of more than one block"] {
            client.ssl_write(said.as_bytes()).expect("a session");
            server.ssl_write(&[0; 17]).expect("a session");
            wire.extend(client.get_mut().pop().map(|record| (true, record)));
            wire.extend(server.get_mut().pop().map(|record| (false, record)));
        }
        let _ = (client.shutdown(), server.shutdown());
        wire.extend(client.get_mut().pop().map(|record| (true, record)));
        wire.extend(server.get_mut().pop().map(|record| (false, record)));
        let mut master = [0; MASTER_SECRET];
        let session = client.ssl().session().expect("a session");
        assert_eq!(session.master_key(&mut master), MASTER_SECRET);
        let mut randoms = [[0; RANDOM]; 2];
        let [of_client, of_server] = &mut randoms;
        client.ssl().client_random(of_client);
        client.ssl().server_random(of_server);
        println!("    Vector {{\n        aead: Aead::{aead:?},");
        println!("        master: \"{}\",", hex::encode(master));
        let [of_client, of_server] = randoms.map(hex::encode);
        println!("        randoms: [\"{of_client}\", \"{of_server}\"],");
        println!("        cids: [\"\", \"\"],\n        lines: &[");
        for (is_clients, datagram) in wire {
            let ssl = if is_clients {
                server.ssl()
            } else {
                client.ssl()
            };
            let layer = RecordLayer::of(ssl, aead, Cid::default(), Cid::default());
            let mut layer = layer.expect("keys");
            for record in Records::of(&datagram).filter(|record| record.epoch() == EPOCH) {
                let mut text = Vec::new();
                let opened = layer.open(&mut ciphers, record, &mut text);
                let kind = opened.expect("a genuine record").kind;
                println!("            Line {{ is_clients: {is_clients}, kind: {kind}, padding: 0,");
                println!("                text: \"{}\",", hex::encode(text));
                let record = record.numbered(record.sequence());
                println!("                record: \"{}\" }},", hex::encode(record));
            }
        }
        println!("        ],\n    }},");
    }
}

impl Vector {
    /// The layer of one side.
    fn layer(&self, is_server: bool) -> RecordLayer {
        let master = bytes(self.master).try_into().expect("48 bytes");
        let randoms = self
            .randoms
            .map(|random| bytes(random).try_into().expect("32 bytes"));
        let [clients, servers] = self.cids.map(|cid| Cid::new(&bytes(cid)).expect("short"));
        let cids = if is_server {
            (clients, servers)
        } else {
            (servers, clients)
        };
        RecordLayer::with_keys(self.aead, is_server, &master, randoms, cids).expect("keys")
    }
}

/// The only record of a datagram.
fn the_record(datagram: &[u8], cid: Cid) -> Record<'_> {
    let mut records = Records::with_cid(datagram, cid.as_bytes().len());
    let record = records.next().expect("a whole record");
    assert!(records.rest().is_empty(), "nothing behind it");
    record
}

fn explicit(record: Record<'_>, aead: Aead) -> &[u8] {
    &record.body[..aead.explicit()]
}

/// What stands in a record of ours.
fn by_number(sequence: u64) -> Vec<u8> {
    (u64::from(EPOCH) << 48 | sequence).to_be_bytes().to_vec()
}

/// RFC 5246 section 6.2.3.3.
fn beside(kind: u8, sequence: u64, length: usize) -> Vec<u8> {
    let length = u16::try_from(length).expect("short").to_be_bytes();
    [&by_number(sequence)[..], &[kind, 0xfe, 0xfd], &length].concat()
}

fn bytes(digits: &str) -> Vec<u8> {
    hex::decode(digits).expect("hexadecimal digits")
}

fn connected(suite: &str) -> (SslStream<Pipe>, SslStream<Pipe>) {
    let (client, server, _) = shaken(suite);
    (client, server)
}

/// What was sent, and whether the client did.
type Wire = Vec<(bool, Vec<u8>)>;

/// Two endpoints of OpenSSL that have shaken hands.
fn shaken(suite: &str) -> (SslStream<Pipe>, SslStream<Pipe>, Wire) {
    let mut client = endpoint(suite, SslMethod::dtls_client());
    let mut server = endpoint(suite, SslMethod::dtls_server());
    let mut wire = Wire::new();
    for _ in 0..4 {
        let _ = client.connect();
        while let Some(datagram) = client.get_mut().pop() {
            wire.push((true, datagram.clone()));
            server.get_mut().push(datagram);
        }
        let _ = server.accept();
        while let Some(datagram) = server.get_mut().pop() {
            wire.push((false, datagram.clone()));
            client.get_mut().push(datagram);
        }
    }
    for stream in [&client, &server] {
        assert!(stream.ssl().is_init_finished(), "{suite}");
        let agreed = stream.ssl().current_cipher().expect("a suite");
        assert_eq!(agreed.name(), suite);
    }
    (client, server, wire)
}

fn endpoint(suite: &str, method: SslMethod) -> SslStream<Pipe> {
    let mut context = SslContext::builder(method).expect("a context");
    context
        .set_min_proto_version(Some(SslVersion::DTLS1_2))
        .expect("a version");
    context
        .set_cipher_list(&format!("{suite}:@SECLEVEL=0"))
        .expect("a suite");
    context.set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_TICKET);
    context.set_psk_client_callback(|_, _, identity, key| {
        identity[..2].copy_from_slice(b"d\0");
        key[..16].copy_from_slice(&[7; 16]);
        Ok(16)
    });
    context.set_psk_server_callback(|_, _, key| {
        key[..16].copy_from_slice(&[7; 16]);
        Ok(16)
    });
    let mut ssl = Ssl::new(&context.build()).expect("a connection");
    ssl.set_mtu(1_400).expect("enough");
    SslStream::new(ssl, Pipe::default()).expect("a stream")
}

/// How many of the vectors are of Mbed TLS.
const MBED_TLS: usize = 2;
