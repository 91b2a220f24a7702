//! What moves the values of a device: weather, battery, a place that drifts. Everything follows
//! from the seed and the number of steps.

use std::f64::consts::TAU;

use crate::domain::{Lwm2mVersion, Path, Timestamp, Value};

use super::super::random::Random;
use super::super::settings::DeviceSettings;
use super::{Objects, event_log, firmware, table, test_object};

/// The surroundings of one device.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Environment {
    random: Random,
    /// How often [`Environment::step`] was called.
    steps: u64,
    /// Where in its day the device begins, 0 to 1.
    phase: f64,
    temperature: f64,
    humidity: f64,
    /// Degrees per step.
    course: (f64, f64),
    place: (f64, f64),
    battery: f64,
}

impl Environment {
    /// The surroundings, and the objects of a device that has just been switched on in them.
    pub(in crate::sim) fn begin(
        settings: &DeviceSettings,
        objects: &mut Objects,
        now: Timestamp,
    ) -> Self {
        let mut random = Random::new(settings.seed);
        let mut this = Self {
            steps: 0,
            phase: random.fraction(),
            temperature: random.between(14.0, 24.0),
            humidity: random.between(35.0, 65.0),
            course: (random.between(-2e-5, 2e-5), random.between(-2e-5, 2e-5)),
            place: (random.between(46.0, 54.0), random.between(6.0, 14.0)),
            battery: random.between(60.0, 100.0).floor(),
            random,
        };
        let table = objects.table;
        for object in table.objects().filter(|object| *object != table::PORTFOLIO) {
            objects.add_instance(Path::instance(object, 0));
        }
        for (path, value) in fixed(settings) {
            objects.put(path, value);
        }
        objects.put(Path::resource(3, 0, 13), Value::Time(seconds(now)));
        if let Some(settings) = &settings.firmware {
            firmware::begin(objects, settings);
        }
        if table.test_objects {
            event_log::begin(objects);
            let button = |resource| Path::resource(table::PUSH_BUTTON, 0, resource);
            objects.put(button(5500), Value::Boolean(false));
            objects.put(button(5501), Value::Integer(0));
            objects.put(button(5750), Value::String(String::new()));
            test_object::reset(objects, 0);
        }
        this.measure(objects, now);
        this.event(objects);
        this.reset_extremes(objects, 3303);
        this.reset_extremes(objects, 3304);
        this
    }

    /// Time has passed: everything that moves has moved a little.
    pub(in crate::sim) fn step(&mut self, objects: &mut Objects, now: Timestamp) {
        self.steps = self.steps.wrapping_add(1);
        self.battery = (self.battery - 0.02).max(5.0);
        let turn = self.random.between(-4e-6, 4e-6);
        self.course = (self.course.0 + turn, self.course.1 - turn);
        self.course.0 = self.course.0.clamp(-4e-5, 4e-5);
        self.course.1 = self.course.1.clamp(-4e-5, 4e-5);
        self.place.0 = (self.place.0 + self.course.0).clamp(-85.0, 85.0);
        self.place.1 = (self.place.1 + self.course.1).clamp(-179.0, 179.0);
        self.measure(objects, now);
        if self.steps.is_multiple_of(STEPS_PER_EVENT) {
            self.event(objects);
            event_log::write(objects, now);
        }
    }

    /// 3442/x/1: other values for the test object.
    pub(in crate::sim) fn randomize(&mut self, objects: &mut Objects, instance: u16) {
        test_object::randomize(objects, instance, &mut self.random);
    }

    /// 5605: the extremes begin anew with the present value.
    pub(in crate::sim) fn reset_extremes(&self, objects: &mut Objects, object: u16) {
        if let Some(present) = objects.value(&Path::resource(object, 0, 5700)).cloned() {
            objects.put(Path::resource(object, 0, 5601), present.clone());
            objects.put(Path::resource(object, 0, 5602), present);
        }
    }

    fn measure(&mut self, objects: &mut Objects, now: Timestamp) {
        let day = (self.steps as f64 / STEPS_PER_DAY + self.phase) * TAU;
        let (wobble, breeze) = (
            self.random.between(-0.08, 0.08),
            self.random.between(-0.2, 0.2),
        );
        let temperature = round(self.temperature + 4.0 * day.sin() + wobble, 2);
        let humidity = round(
            (self.humidity - 12.0 * day.sin() + breeze).clamp(0.0, 100.0),
            1,
        );
        sense(objects, 3303, temperature, now);
        sense(objects, 3304, humidity, now);
        let signal = -75.0 + 10.0 * (day * 3.0).sin();
        objects.put(Path::resource(4, 0, 2), Value::Integer(signal as i64));
        objects.put(Path::resource(3, 0, 9), Value::Integer(self.battery as i64));
        objects.put(
            Path::resource_instance(3, 0, 7, 1),
            Value::Integer(3300 + (self.battery * 9.0) as i64),
        );
        objects.put(
            Path::resource(3, 0, 10),
            Value::Integer(160 + (self.random.next() % 8) as i64),
        );
        objects.put(
            Path::resource(6, 0, 0),
            Value::Float(round(self.place.0, 6)),
        );
        objects.put(
            Path::resource(6, 0, 1),
            Value::Float(round(self.place.1, 6)),
        );
        objects.put(Path::resource(6, 0, 5), Value::Time(seconds(now)));
        // A degree is 111 km.
        let speed = self.course.0.hypot(self.course.1) * 111_000.0 / 10.0;
        objects.put(Path::resource(6, 0, 6), Value::Float(round(speed, 2)));
    }

    /// The resources of an event change together.
    fn event(&self, objects: &mut Objects) {
        let count = self.steps / STEPS_PER_EVENT;
        let measured = |object| objects.value(&Path::resource(object, 0, 5700)).cloned();
        let (temperature, humidity) = (measured(3303), measured(3304));
        let message = MESSAGES
            .get(usize::try_from(count).unwrap_or_default() % MESSAGES.len())
            .copied()
            .unwrap_or_default();
        let path = |resource| Path::resource(table::EVENT, 0, resource);
        objects.put(
            path(0),
            Value::Integer(i64::try_from(count).unwrap_or(i64::MAX)),
        );
        objects.put(path(1), temperature.unwrap_or(Value::Float(0.0)));
        objects.put(path(2), humidity.unwrap_or(Value::Float(0.0)));
        objects.put(path(3), Value::String(message.to_owned()));
    }
}

/// A new measurement, with its time and the extremes so far.
fn sense(objects: &mut Objects, object: u16, measured: f64, now: Timestamp) {
    let path = |resource| Path::resource(object, 0, resource);
    let known = |resource| objects.value(&path(resource)).and_then(Value::as_number);
    let low = known(5601).map_or(measured, |low| low.min(measured));
    let high = known(5602).map_or(measured, |high| high.max(measured));
    objects.put(path(5601), Value::Float(low));
    objects.put(path(5602), Value::Float(high));
    objects.put(path(5700), Value::Float(measured));
    objects.put(path(5518), Value::Time(seconds(now)));
}

/// What does not move.
fn fixed(settings: &DeviceSettings) -> Vec<(Path, Value)> {
    let text = |text: &str| Value::String(text.to_owned());
    let binding = match (settings.queue_mode, settings.version) {
        (Some(_), Lwm2mVersion::V1_0) => "UQ",
        _ => "U",
    };
    let lifetime = i64::try_from(settings.lifetime.as_secs().max(1)).unwrap_or(i64::MAX);
    let mut values = vec![
        (Path::resource(1, 0, 0), Value::Integer(1)),
        (Path::resource(1, 0, 1), Value::Integer(lifetime)),
        (Path::resource(1, 0, 2), Value::Integer(0)),
        (Path::resource(1, 0, 3), Value::Integer(0)),
        (Path::resource(1, 0, 5), Value::Integer(86_400)),
        (Path::resource(1, 0, 6), Value::Boolean(true)),
        (Path::resource(1, 0, 7), text(binding)),
        (Path::resource(3, 0, 0), text("flownexus")),
        (Path::resource(3, 0, 1), text("Simulated device")),
        (
            Path::resource(3, 0, 2),
            text(&format!("FNX-{:08X}", settings.seed & 0xffff_ffff)),
        ),
        (Path::resource(3, 0, 3), text("1.0.0")),
        (Path::resource_instance(3, 0, 6, 0), Value::Integer(1)),
        (Path::resource_instance(3, 0, 6, 1), Value::Integer(5)),
        (Path::resource_instance(3, 0, 7, 0), Value::Integer(3800)),
        (Path::resource_instance(3, 0, 7, 1), Value::Integer(5000)),
        (Path::resource_instance(3, 0, 8, 0), Value::Integer(125)),
        (Path::resource_instance(3, 0, 8, 1), Value::Integer(900)),
        (Path::resource_instance(3, 0, 11, 0), Value::Integer(0)),
        (Path::resource(3, 0, 14), text("+00:00")),
        (Path::resource(3, 0, 15), text("Etc/UTC")),
        (Path::resource(3, 0, 16), text(binding)),
        (Path::resource(3, 0, 17), text("Environment sensor")),
        (Path::resource(3, 0, 18), text("1.0")),
        (Path::resource(3, 0, 19), text(env!("CARGO_PKG_VERSION"))),
        (Path::resource(3, 0, 20), Value::Integer(0)),
        (Path::resource(3, 0, 21), Value::Integer(512)),
        (Path::resource(4, 0, 0), Value::Integer(6)),
        (Path::resource_instance(4, 0, 1, 0), Value::Integer(6)),
        (Path::resource(4, 0, 3), Value::Integer(20)),
        (Path::resource_instance(4, 0, 4, 0), text("192.0.2.17")),
        (Path::resource(4, 0, 8), Value::Integer(4711)),
        (Path::resource(6, 0, 2), Value::Float(420.0)),
        (Path::resource(6, 0, 3), Value::Float(25.0)),
    ];
    if settings.version >= Lwm2mVersion::V1_1 {
        values.push((Path::resource(1, 0, 23), Value::Boolean(false)));
    }
    for (object, low, high, unit) in [(3303, -40.0, 85.0, "Cel"), (3304, 0.0, 100.0, "%RH")] {
        values.push((Path::resource(object, 0, 5603), Value::Float(low)));
        values.push((Path::resource(object, 0, 5604), Value::Float(high)));
        values.push((Path::resource(object, 0, 5701), text(unit)));
        values.push((Path::resource(object, 0, 5750), text("")));
    }
    values
}

pub(in crate::sim) fn seconds(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(1000)
}

fn round(number: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (number * scale).round() / scale
}

/// The temperature goes up and down once in so many steps.
const STEPS_PER_DAY: f64 = 360.0;
/// Every so many steps an event happens.
const STEPS_PER_EVENT: u64 = 5;
const MESSAGES: [&str; 4] = ["all is well", "door opened", "door closed", "vibration"];
