//! Queue mode: when the device hears what is sent to it.

use super::*;

fn sleeper() -> Bench {
    Bench::registered(|settings| {
        settings.queue_mode = Some(Duration::from_secs(20));
        settings.lifetime = Duration::from_secs(100);
    })
}

fn is_heard(bench: &mut Bench) -> bool {
    bench
        .ask_as(Token::from([1; 8]), get("/3/0/0", None))
        .is_some()
}

#[test]
fn c1_it_hears_nothing_once_its_awake_time_is_over() {
    let mut bench = sleeper();
    bench.pass(16.0);
    assert!(is_heard(&mut bench), "at 80 % of the awake time");
    bench.pass(19.0);
    assert!(is_heard(&mut bench), "its answer began the time anew");
    bench.pass(21.0);
    assert!(!is_heard(&mut bench));
    assert!(
        !is_heard(&mut bench),
        "what it does not hear does not wake it"
    );
}

#[test]
fn c1_its_update_wakes_it() {
    let mut bench = sleeper();
    bench.pass(60.0);
    assert!(!is_heard(&mut bench));
    bench.pass(20.1);
    bench.take_request();
    assert!(is_heard(&mut bench));
    bench.pass(30.0);
    assert!(
        is_heard(&mut bench),
        "it listens while it waits for an answer"
    );
    bench.reply(Ok(Response::new(Code::CHANGED)));
    bench.pass(21.0);
    assert!(!is_heard(&mut bench));
}

#[test]
fn a_notification_wakes_it_too() {
    let mut bench = sleeper();
    bench.observe(1, "/3303/0/5700");
    bench.pass(21.0);
    assert!(!is_heard(&mut bench));
    bench.set("/3303/0/5700", Value::Float(1.0));
    bench.acknowledge();
    assert!(is_heard(&mut bench));
}

#[test]
fn c5_a_device_without_queue_mode_never_sleeps() {
    let mut bench = Bench::registered(|settings| settings.lifetime = Duration::from_secs(100_000));
    bench.pass(50_000.0);
    assert!(is_heard(&mut bench));
}
