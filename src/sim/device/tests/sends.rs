//! Values that the device sends on its own accord.

use super::*;
use crate::lwm2m::report;

#[test]
fn k1_it_sends_values_with_their_time_and_the_server_understands_them() {
    let mut bench = Bench::registered(|_| {});
    bench.input(Input::Send(vec![at("/3303/0/5700"), at("/3/0"), at("/99")]));
    let request = bench.take_request();
    assert_eq!(request.options.uri_path(), Some(vec!["dp"]));
    assert_eq!(request.options.content_format(), Some(112));
    let nodes = report::send(&request, &bench.server_side()).expect("a good Send");
    assert!(nodes.iter().any(|node| node.path == at("/3303/0/5700")));
    assert!(nodes.iter().all(|node| node.time == Some(bench.now.wall)));
    bench.reply(Ok(Response::new(Code::CHANGED)));
    assert!(bench.happened.contains(&Happening::Sent));
}

#[test]
fn sends_go_one_after_the_other_and_by_themselves_when_that_is_wanted() {
    let mut bench =
        Bench::registered(|settings| settings.send_interval = Some(Duration::from_secs(30)));
    bench.pass(30.1);
    bench.input(Input::Send(vec![at("/1")]));
    bench.take_request();
    bench.reply(Ok(Response::new(Code::CHANGED)));
    bench.take_request();
    bench.reply(Ok(Response::new(Code::NOT_FOUND)));
    assert_eq!(bench.asked, []);
    assert!(bench.device.is_registered(), "a refused Send ends nothing");
    bench.pass(30.0);
    bench.take_request();
}

#[test]
fn int_307_it_does_not_send_while_it_is_muted() {
    let mut bench = Bench::registered(|_| {});
    assert_eq!(
        bench
            .write(Code::PUT, "/1/0/23", &[("/1/0/23", Value::Boolean(true))])
            .code,
        Code::CHANGED
    );
    bench.input(Input::Send(vec![at("/1")]));
    bench.input(Input::Send(vec![at("/3")]));
    assert_eq!(bench.asked, []);
    bench.write(Code::PUT, "/1/0/23", &[("/1/0/23", Value::Boolean(false))]);
    assert_eq!(bench.asked, [], "what was not sent is gone");
    bench.input(Input::Send(vec![at("/1")]));
    bench.take_request();
}

#[test]
fn lwm2m_1_0_has_no_send() {
    let mut bench = Bench::registered(|settings| settings.version = Lwm2mVersion::V1_0);
    bench.input(Input::Send(vec![at("/3")]));
    assert_eq!(bench.asked, []);
    assert_eq!(bench.ask(get("/1/0/23", None)).code, Code::NOT_FOUND);
}
