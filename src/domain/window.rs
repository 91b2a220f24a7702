//! A time of day in which something may be done: `22:00` to `05:00` in `Europe/Berlin`, on some days of the week.

use std::fmt;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// A daily window in a time zone. It may go over midnight: then it belongs to the day on which it opens. A time that
/// the clocks leap over in spring counts as the time after the leap, and of one that comes twice in autumn the first
/// counts.
///
/// In JSON: `{"from": "22:00", "to": "05:00", "time_zone": "Europe/Berlin", "days": ["mon", "tue"]}`; without days it
/// opens on every day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WindowText", into = "WindowText")]
pub struct DailyWindow {
    from: Time,
    to: Time,
    zone: TimeZone,
    /// As it was said: the library does not keep the name of every zone.
    zone_name: String,
    /// Of [`DAYS`]; empty: every day.
    days: Vec<Weekday>,
}

/// A window as people write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowText {
    /// When it opens, `HH:MM`.
    pub from: String,
    /// When it closes, `HH:MM`, on the next day when that is not after [`from`](Self::from).
    pub to: String,
    /// The name of a time zone (IANA), for example `Europe/Berlin` or `UTC`.
    pub time_zone: String,
    /// `mon` to `sun`: the days on which it opens; empty: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
}

/// Whether a window is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It opens then.
    ClosedUntil(Timestamp),
    /// It closes then.
    OpenUntil(Timestamp),
}

impl DailyWindow {
    /// Whether it is open at this moment.
    pub fn at(&self, now: Timestamp) -> Opening {
        let today = self.date_of(now);
        let mut day = today.yesterday().unwrap_or(today);
        // The day before may go over midnight; a week and a day further it has opened on each day of the week.
        for _ in 0..=9 {
            if self.opens_on(day)
                && let Some((opens, closes)) = self.on(day)
                && now < closes
            {
                return if now < opens {
                    Opening::ClosedUntil(opens)
                } else {
                    Opening::OpenUntil(closes)
                };
            }
            match day.tomorrow() {
                Ok(next) => day = next,
                Err(_) => break,
            }
        }
        Opening::ClosedUntil(Timestamp::MAX)
    }

    fn date_of(&self, moment: Timestamp) -> Date {
        let moment = jiff::Timestamp::from_millisecond(moment.as_millis());
        let moment = moment.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        moment.to_zoned_datetime(self.zone.clone()).date()
    }

    fn opens_on(&self, day: Date) -> bool {
        self.days.is_empty() || self.days.contains(&day.weekday())
    }

    /// When it opens and closes on a day; nothing when a leap of the clocks leaves nothing of it, or at the end of the calendar.
    fn on(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        let last = if self.to > self.from {
            day
        } else {
            day.tomorrow().ok()?
        };
        let moment = |date: Date, time: Time| {
            let zoned = date
                .to_datetime(time)
                .to_zoned_datetime(self.zone.clone())
                .ok()?;
            Timestamp::from_millis(zoned.timestamp().as_millisecond())
        };
        let (opens, closes) = (moment(day, self.from)?, moment(last, self.to)?);
        (opens < closes).then_some((opens, closes))
    }
}

impl fmt::Display for DailyWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (clock(self.from), clock(self.to));
        write!(f, "{from} to {to} in {}", self.zone_name)?;
        if !self.days.is_empty() {
            let days: Vec<&str> = self.days.iter().map(|day| name_of(*day)).collect();
            write!(f, " on {}", days.join(", "))?;
        }
        Ok(())
    }
}

impl TryFrom<WindowText> for DailyWindow {
    type Error = String;

    fn try_from(text: WindowText) -> Result<Self, String> {
        let (from, to) = (time_of_day(&text.from)?, time_of_day(&text.to)?);
        if from == to {
            return Err(format!(
                "a window that opens and closes at {} has no length; leave the window out for the whole day",
                text.from
            ));
        }
        let zone_name = text.time_zone;
        let zone = TimeZone::get(&zone_name).map_err(|_| {
            format!(
                "`{zone_name}` is no time zone that is known here (`Europe/Berlin` and `UTC` are)"
            )
        })?;
        let mut days = Vec::new();
        for name in &text.days {
            let day = DAYS.iter().find(|(is, _)| is == name).ok_or_else(|| {
                format!("`{name}` is no day (mon, tue, wed, thu, fri, sat and sun are)")
            })?;
            if !days.contains(&day.1) {
                days.push(day.1);
            }
        }
        Ok(Self {
            from,
            to,
            zone,
            zone_name,
            days,
        })
    }
}

impl From<DailyWindow> for WindowText {
    fn from(window: DailyWindow) -> Self {
        Self::from(&window)
    }
}

impl From<&DailyWindow> for WindowText {
    fn from(window: &DailyWindow) -> Self {
        Self {
            from: clock(window.from),
            to: clock(window.to),
            time_zone: window.zone_name.clone(),
            days: window
                .days
                .iter()
                .map(|day| name_of(*day).to_owned())
                .collect(),
        }
    }
}

/// Reads `HH:MM`.
fn time_of_day(text: &str) -> Result<Time, String> {
    let number = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<i8>().ok()).flatten()
    };
    let parts = text.split_once(':');
    parts
        .and_then(|(hour, minute)| Time::new(number(hour)?, number(minute)?, 0, 0).ok())
        .ok_or_else(|| format!("`{text}` is no time of day such as 22:00"))
}

fn clock(time: Time) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

fn name_of(day: Weekday) -> &'static str {
    let found = DAYS.iter().find(|(_, is)| *is == day);
    found.map_or("", |(name, _)| name)
}

/// The days of the week, with their names.
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: &str, to: &str, zone: &str, days: &[&str]) -> DailyWindow {
        let text = WindowText {
            from: from.to_owned(),
            to: to.to_owned(),
            time_zone: zone.to_owned(),
            days: days.iter().map(ToString::to_string).collect(),
        };
        text.try_into().expect("a window")
    }

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn open(until: &str) -> Opening {
        Opening::OpenUntil(time(until))
    }

    fn closed(until: &str) -> Opening {
        Opening::ClosedUntil(time(until))
    }

    #[test]
    fn it_is_open_from_its_first_moment_to_before_its_last() {
        let window = window("08:00", "17:30", "UTC", &[]);
        for (now, expected) in [
            ("2026-11-30T07:59:59.999Z", closed("2026-11-30T08:00:00Z")),
            ("2026-11-30T08:00:00Z", open("2026-11-30T17:30:00Z")),
            ("2026-11-30T17:29:59.999Z", open("2026-11-30T17:30:00Z")),
            ("2026-11-30T17:30:00Z", closed("2026-12-01T08:00:00Z")),
        ] {
            assert_eq!(window.at(time(now)), expected, "{now}");
        }
    }

    #[test]
    fn it_goes_over_midnight_in_its_own_time_zone() {
        let window = window("22:00", "05:00", "Europe/Berlin", &[]);
        for (now, expected) in [
            ("2026-07-01T19:59:00Z", closed("2026-07-01T20:00:00Z")),
            ("2026-07-01T20:00:00Z", open("2026-07-02T03:00:00Z")),
            ("2026-07-02T02:59:00Z", open("2026-07-02T03:00:00Z")),
            ("2026-07-02T03:00:00Z", closed("2026-07-02T20:00:00Z")),
            // In winter an hour later.
            ("2026-12-01T20:30:00Z", closed("2026-12-01T21:00:00Z")),
        ] {
            assert_eq!(window.at(time(now)), expected, "{now}");
        }
    }

    #[test]
    fn what_opens_on_a_day_goes_on_after_its_midnight() {
        // 2026-11-27 is a Friday.
        let window = window("22:00", "05:00", "UTC", &["fri"]);
        for (now, expected) in [
            ("2026-11-26T23:00:00Z", closed("2026-11-27T22:00:00Z")),
            ("2026-11-27T23:00:00Z", open("2026-11-28T05:00:00Z")),
            ("2026-11-28T04:00:00Z", open("2026-11-28T05:00:00Z")),
            ("2026-11-28T22:30:00Z", closed("2026-12-04T22:00:00Z")),
        ] {
            assert_eq!(window.at(time(now)), expected, "{now}");
        }
    }

    #[test]
    fn clocks_that_leap_neither_lose_nor_double_it() {
        // On 2026-03-29 there is no time from 02:00 to 03:00 in Berlin.
        let spring = window("02:30", "04:00", "Europe/Berlin", &[]);
        assert_eq!(
            spring.at(time("2026-03-29T00:59:00Z")),
            closed("2026-03-29T01:30:00Z")
        );
        assert_eq!(
            spring.at(time("2026-03-29T01:30:00Z")),
            open("2026-03-29T02:00:00Z")
        );
        // Nothing is left of it: it opens a week later.
        let gone = window("02:30", "03:15", "Europe/Berlin", &["sun"]);
        assert_eq!(
            gone.at(time("2026-03-29T00:00:00Z")),
            closed("2026-04-05T00:30:00Z")
        );
        // On 2026-10-25 the time from 02:00 to 03:00 comes twice.
        let autumn = window("02:30", "04:00", "Europe/Berlin", &[]);
        assert_eq!(
            autumn.at(time("2026-10-25T00:30:00Z")),
            open("2026-10-25T03:00:00Z")
        );
    }

    #[test]
    fn what_is_no_window_is_refused_with_words() {
        let text = |from: &str, to: &str, zone: &str, day: &str| WindowText {
            from: from.to_owned(),
            to: to.to_owned(),
            time_zone: zone.to_owned(),
            days: vec![day.to_owned()],
        };
        for (text, word) in [
            (text("25:00", "05:00", "UTC", "mon"), "25:00"),
            (text("8:00", "05:00", "UTC", "mon"), "8:00"),
            (text("08:00", "+5:00", "UTC", "mon"), "+5:00"),
            (text("08:00", "08:00", "UTC", "mon"), "no length"),
            (text("08:00", "09:00", "Europe/Bärlin", "mon"), "Bärlin"),
            (text("08:00", "09:00", "../../etc/passwd", "mon"), "passwd"),
            (text("08:00", "09:00", "UTC", "monday"), "monday"),
        ] {
            let error = DailyWindow::try_from(text).expect_err(word);
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn it_is_written_as_it_was_said() {
        let json =
            r#"{"from":"22:00","to":"05:00","time_zone":"Europe/Berlin","days":["sat","sun"]}"#;
        let window: DailyWindow = serde_json::from_str(json).expect("a window");
        assert_eq!(serde_json::to_string(&window).expect("its JSON"), json);
        assert_eq!(
            window.to_string(),
            "22:00 to 05:00 in Europe/Berlin on sat, sun"
        );
    }
}
