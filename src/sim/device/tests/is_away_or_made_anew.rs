//! Disable (1/0/4) and Factory Reset (3/0/5).

use super::*;

#[test]
fn a_disabled_device_deregisters_is_away_and_registers_again() {
    let mut bench = Bench::registered(|_| {});
    bench.set("/1/0/5", Value::Integer(60));
    assert_eq!(bench.ask(request(Code::POST, "/1/0/4")).code, Code::CHANGED);
    assert_eq!(bench.take_request().code, Code::DELETE);
    bench.reply(Ok(Response::new(Code::DELETED)));
    assert!(!bench.finished && !bench.device.is_registered());
    bench.pass(59.0);
    assert_eq!(bench.asked, []);
    let while_away = bench.ask_as(Token::default(), get("/3/0/0", None));
    assert_eq!(while_away, None);
    bench.pass(1.1);
    assert_eq!(bench.take_request().code, Code::POST);
    bench.confirm_registration();
    assert_eq!(bench.ask(get("/3/0/0", None)).code, Code::CONTENT);
}

#[test]
fn a_factory_reset_forgets_what_was_written() {
    let mut bench = Bench::registered(|settings| settings.test_objects = true);
    bench.write(Code::PUT, "/1/0/1", &[("/1/0/1", Value::Integer(60))]);
    bench.reply(Ok(Response::new(Code::CHANGED)));
    let text = Value::String("a".to_owned());
    bench.write(Code::POST, "/16", &[("/16/0/0/0", text)]);
    bench.reply(Ok(Response::new(Code::CHANGED)));
    bench.attributes("/3", &["pmin=5"]);
    bench.observe(1, "/3/0/9");
    assert_eq!(bench.ask(request(Code::POST, "/3/0/5")).code, Code::CHANGED);
    bench.pass(1.1);
    let register = bench.take_request();
    assert!(query(&register.options).contains(&"lt=300"));
    let links = String::from_utf8(register.payload).expect("text");
    assert!(
        links.contains("</16>") && links.contains("</3442/0>"),
        "{links}"
    );
    bench.confirm_registration();
    assert_eq!(bench.device.observations(), 0);
    assert!(!bench.discover("/3").contains("pmin"));
    assert_eq!(bench.ask(get("/16/0", None)).code, Code::NOT_FOUND);
}
