//! Properties that hold whatever happens in whatever order.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Chance {
    Answer(&'static str),
    Silence,
    Gone,
    State(i64),
    Result(i64),
    Version(String),
    Served(u64),
    Registers(bool),
    Passes(u64),
    Cancel,
}

fn chance() -> impl Strategy<Value = Chance> {
    prop_oneof![
        6 => prop_oneof![Just("2.04"), Just("2.05"), Just("4.04"), Just("4.05"), Just("4.13"), Just("5.00"), Just("5.03")]
            .prop_map(Chance::Answer),
        2 => Just(Chance::Silence),
        1 => Just(Chance::Gone),
        6 => (-1i64..6).prop_map(Chance::State),
        4 => (-1i64..14).prop_map(Chance::Result),
        2 => prop_oneof![Just("1.2.0".to_owned()), Just("1.1.0".to_owned()), ".{0,4}"].prop_map(Chance::Version),
        3 => (0u64..1100).prop_map(Chance::Served),
        2 => any::<bool>().prop_map(Chance::Registers),
        3 => (0u64..4000).prop_map(Chance::Passes),
        1 => Just(Chance::Cancel),
    ]
}

fn happens(script: &mut Script, chance: &Chance) {
    let integer = |path, code: i64| [node(path, Value::Integer(code))];
    match chance {
        Chance::Answer(code) => {
            if let Some(ask) = script.asked {
                script.answers(ask, code);
            }
        }
        Chance::Silence => {
            if let Some(ask) = script.asked {
                script.is_silent(ask);
            }
        }
        Chance::Gone => {
            if script.asked.take().is_some() {
                script.happens(Event::Ended {
                    status: OperationStatus::Expired,
                    code: None,
                    error: None,
                });
            }
        }
        Chance::State(code) => script.happens(Event::Values(&integer(STATE, *code))),
        Chance::Result(code) => script.happens(Event::Values(&integer(RESULT, *code))),
        Chance::Version(version) => script.happens(Event::Values(&[node(
            RUNNING,
            Value::String(version.clone()),
        )])),
        Chance::Served(done) => script.happens(blocks(*done)),
        Chance::Registers(has_object) => script.happens(Event::Registered {
            has_object: *has_object,
        }),
        Chance::Passes(seconds) => script.passes(Duration::from_secs(*seconds)),
        Chance::Cancel => script.happens(Event::Cancelled { by: "olga" }),
    }
}

fn is_sound(script: &Script) {
    let update = &script.update;
    assert!(
        update.steps <= FirmwareUpdate::MAX_STEPS,
        "{}",
        script.story()
    );
    assert_eq!(update.is_active(), update.phase != UpdatePhase::Over);
    if update.is_active() {
        // It always says what it waits for and until when, so that it never stands still for ever.
        assert!(!update.awaited.is_empty(), "{}", script.story());
        assert!(update.until.is_some(), "{}", script.story());
        assert_eq!(update.finished_at, None);
    } else {
        assert!(
            update
                .reason
                .as_deref()
                .is_some_and(|reason| !reason.is_empty())
        );
        assert!(update.finished_at.is_some());
        assert_eq!(update.state, UpdateState::Idle);
    }
    assert!(update.offers <= LIMITS.tries, "{}", script.story());
    assert!(update.installs <= LIMITS.tries, "{}", script.story());
    if update.result == UpdateResult::Success {
        assert_eq!(update.device.result, Some(1), "{}", script.story());
    }
}

proptest! {
    #[test]
    fn an_update_is_always_sound(chances in proptest::collection::vec(chance(), 0..200)) {
        let mut script = Script::new(None, None);
        for chance in &chances {
            happens(&mut script, chance);
            is_sound(&script);
        }
    }

    /// A device that does whatever it wants for a while and is then never heard of again does not keep an
    /// update alive.
    #[test]
    fn an_update_ends_when_nothing_more_comes(chances in proptest::collection::vec(chance(), 0..60)) {
        let mut script = Script::new(None, None);
        for chance in &chances {
            happens(&mut script, chance);
        }
        for _ in 0..40 {
            if script.asked.is_some() {
                happens(&mut script, &Chance::Gone);
            } else {
                script.passes(LIMITS.wait_for_device);
            }
        }
        prop_assert!(!script.update.is_active(), "{}", script.story());
    }

    /// Nor does one that answers everything with the same for ever.
    #[test]
    fn an_update_ends_when_the_device_says_the_same_for_ever(
        state in -1i64..6, result in -1i64..3, code in prop_oneof![Just("2.05"), Just("5.03"), Just("4.00")],
        registers in any::<bool>(), served in any::<bool>(),
    ) {
        let mut script = Script::new(None, None);
        let mut done = 0;
        for _ in 0..4000 {
            if !script.update.is_active() {
                break;
            }
            script.says(&[(STATE, state), (RESULT, result)]);
            if let Some(ask) = script.asked {
                script.answers(ask, code);
            }
            if registers {
                script.registers();
            }
            if served {
                done = (done + 7) % 1024;
                script.happens(blocks(done));
            }
            script.passes(LIMITS.start);
            is_sound(&script);
        }
        prop_assert!(!script.update.is_active(), "{}", script.story());
    }
}
