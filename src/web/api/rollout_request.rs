//! Reads what a rollout is asked to be: a body becomes a [`RolloutSpec`], or the first field that cannot be one is named.
//! Whether it makes sense as a whole is for [`Rollouts`](crate::rollout::Rollouts) to say.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config;
use crate::domain::{
    DailyWindow, FirmwareId, GroupSize, GroupSpec, OnError, RolloutSpec, Timestamp, WindowText,
};
use crate::rollout::Rehearsal;
use crate::web::ApiError;

use super::filter::DeviceFilter;

/// When nobody says otherwise, the next group begins when so many percent of the devices of one succeeded…
pub(in crate::web) const DEFAULT_SUCCESS_PERCENT: u8 = 90;
/// … and it is an error when more than so many percent of them failed.
pub(in crate::web) const DEFAULT_ERROR_PERCENT: u8 = 10;

/// The name of the group that all devices are in when there are no others.
const ONLY_GROUP: &str = "all";

/// A rollout as it is wanted.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "autumn", "firmware_id": 3, "filter": {"tags": ["lab"]},
    "groups": [
        {"name": "canary", "count": 5, "success_percent": 100, "error_percent": 0},
        {"name": "tenth", "percent": 10},
        {"name": "rest"}
    ],
    "at_once": 20,
    "window": {"from": "22:00", "to": "05:00", "time_zone": "Europe/Berlin", "days": ["mon", "tue", "wed", "thu"]},
    "on_error": "roll_back", "start": true
}))]
pub(super) struct RolloutBody {
    /// Its name, for people: 1 to 100 characters; not unique.
    name: String,
    /// The image. Only devices that it is made for get it.
    firmware_id: i64,
    /// `pull_https`, `pull_coap` or `push`; without it, as each device says that it can.
    method: Option<String>,
    /// Which devices; every one when missing.
    filter: Option<DeviceFilter>,
    /// True when devices that fit later join the last group, for as long as the rollout is not over; false when
    /// missing.
    newcomers: Option<bool>,
    /// The groups, in their order. The last one takes all devices that the others leave, so it alone has no size.
    /// When missing, one group has all devices.
    groups: Option<Vec<GroupBody>>,
    /// So many devices are updated at once, at most; `rollouts.at_once` when missing, and `rollouts.max_at_once` at
    /// most.
    #[schema(minimum = 1)]
    at_once: Option<i64>,
    /// Nothing begins before.
    #[schema(format = DateTime)]
    start_at: Option<String>,
    /// No update begins outside of it; one that has begun goes on.
    window: Option<WindowBody>,
    /// What happens when too many devices of a group fail: `roll_back` (the default), `pause` or `stop`.
    on_error: Option<String>,
    /// The image that devices are given on the way back; when missing, each gets the image of what it ran before.
    roll_back_to: Option<i64>,
    /// True when it is to start at once; not of a rehearsal.
    start: Option<bool>,
    /// So many percent of the devices fail, chosen at random; only of a rehearsal, 0 when missing.
    #[schema(minimum = 0, maximum = 100)]
    failing_percent: Option<i64>,
    /// Which ones: the same number, the same devices; only of a rehearsal.
    seed: Option<u64>,
}

/// A group of a rollout as it is wanted: with `count` or `percent`, the last one with neither.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "canary", "count": 5, "success_percent": 100, "error_percent": 0}))]
pub(super) struct GroupBody {
    /// Its name, for people; its number when missing.
    name: Option<String>,
    /// So many devices.
    #[schema(minimum = 1)]
    count: Option<i64>,
    /// So many percent of all devices of the rollout, rounded up.
    #[schema(minimum = 1, maximum = 100)]
    percent: Option<i64>,
    /// When so many percent of its devices succeeded, the next group begins; 90 when missing.
    #[schema(minimum = 1, maximum = 100)]
    success_percent: Option<i64>,
    /// When more than so many percent of its devices failed, that is an error; 10 when missing. Together with
    /// `success_percent` it is at most 100.
    #[schema(minimum = 0, maximum = 100)]
    error_percent: Option<i64>,
}

/// A time of day in which updates may begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "from": "22:00", "to": "05:00", "time_zone": "Europe/Berlin", "days": ["mon", "tue", "wed", "thu"]
}))]
pub(super) struct WindowBody {
    /// When it opens, `HH:MM`.
    from: String,
    /// When it closes, `HH:MM`; on the next day when that is not after `from`.
    to: String,
    /// The name of a time zone (IANA), for example `Europe/Berlin` or `UTC`.
    time_zone: String,
    /// The days on which it opens, `mon` to `sun`; every day when missing or empty.
    #[serde(default)]
    days: Vec<String>,
}

impl From<&DailyWindow> for WindowBody {
    fn from(window: &DailyWindow) -> Self {
        let WindowText {
            from,
            to,
            time_zone,
            days,
        } = window.into();
        Self {
            from,
            to,
            time_zone,
            days,
        }
    }
}

impl RolloutBody {
    /// A rollout that is to be made, and whether it is to start at once.
    ///
    /// # Errors
    /// 422 with the field that is wrong.
    pub(super) fn into_rollout(
        self,
        settings: &config::Rollouts,
    ) -> Result<(RolloutSpec, bool), ApiError> {
        for (field, is_there) in [
            ("failing_percent", self.failing_percent.is_some()),
            ("seed", self.seed.is_some()),
        ] {
            if is_there {
                let detail = format!("`{field}` is of a rehearsal only");
                return Err(ApiError::invalid(field, detail));
            }
        }
        let start = self.start.unwrap_or(false);
        Ok((self.spec(settings)?, start))
    }

    /// A rollout that is to be rehearsed, and how.
    ///
    /// # Errors
    /// 422 with the field that is wrong.
    pub(super) fn into_rehearsal(
        self,
        settings: &config::Rollouts,
    ) -> Result<(RolloutSpec, Rehearsal), ApiError> {
        if self.start.is_some() {
            let detail = "a rehearsal starts nothing: leave `start` out";
            return Err(ApiError::invalid("start", detail));
        }
        let failing = self.failing_percent.unwrap_or(0);
        let rehearsal = Rehearsal {
            failing_percent: percentage("failing_percent", failing)?,
            seed: self.seed.unwrap_or(0),
        };
        Ok((self.spec(settings)?, rehearsal))
    }

    fn spec(self, settings: &config::Rollouts) -> Result<RolloutSpec, ApiError> {
        let method = self.method.as_deref().map(str::parse).transpose();
        let on_error = self.on_error.as_deref().map(str::parse).transpose();
        let start_at = self.start_at.as_deref().map(start_at).transpose()?;
        let window = self.window.map(window).transpose()?;
        Ok(RolloutSpec {
            name: self.name,
            firmware: FirmwareId(self.firmware_id),
            method: method.map_err(|reason| ApiError::invalid("method", reason))?,
            selection: self.filter.unwrap_or_default().into(),
            newcomers: self.newcomers.unwrap_or(false),
            groups: match self.groups {
                Some(groups) => groups.into_iter().enumerate().map(group).collect(),
                None => Ok(vec![only_group()]),
            }?,
            at_once: at_once(self.at_once, settings)?,
            start_at,
            window,
            on_error: on_error
                .map_err(|reason| ApiError::invalid("on_error", reason))?
                .unwrap_or(OnError::RollBack),
            roll_back_to: self.roll_back_to.map(FirmwareId),
        })
    }
}

/// How many devices at once: as it is said, or as the settings say.
fn at_once(wanted: Option<i64>, settings: &config::Rollouts) -> Result<u32, ApiError> {
    let Some(number) = wanted else {
        return Ok(settings.at_once);
    };
    u32::try_from(number).map_err(|_| {
        let why = RolloutSpec::no_at_once(number, settings.max_at_once);
        ApiError::invalid("at_once", why)
    })
}

fn start_at(text: &str) -> Result<Timestamp, ApiError> {
    text.parse().map_err(|error| {
        let detail =
            format!("`{text}` is no moment such as 2026-12-01T22:00:00Z (RFC 3339): {error}");
        ApiError::invalid("start_at", detail)
    })
}

fn window(body: WindowBody) -> Result<DailyWindow, ApiError> {
    let text = WindowText {
        from: body.from,
        to: body.to,
        time_zone: body.time_zone,
        days: body.days,
    };
    DailyWindow::try_from(text).map_err(|reason| ApiError::invalid("window", reason))
}

fn only_group() -> GroupSpec {
    GroupSpec {
        name: ONLY_GROUP.to_owned(),
        size: GroupSize::Rest,
        success_percent: DEFAULT_SUCCESS_PERCENT,
        error_percent: DEFAULT_ERROR_PERCENT,
    }
}

/// One group by its place; whether it fits among the others is for [`RolloutSpec::check`] to say.
fn group((index, body): (usize, GroupBody)) -> Result<GroupSpec, ApiError> {
    let field = |name: &str| format!("groups.{index}.{name}");
    let percent_of = |name: &str, value: Option<i64>, otherwise: u8| {
        value.map_or(Ok(otherwise), |value| percentage(field(name), value))
    };
    let size = match (body.count, body.percent) {
        (None, None) => GroupSize::Rest,
        (Some(count), None) => match u32::try_from(count) {
            Ok(count @ 1..) => GroupSize::Count(count),
            _ => {
                let detail = format!("a group has 1 to {} devices, not {count}", u32::MAX);
                return Err(ApiError::invalid(field("count"), detail));
            }
        },
        (None, Some(percent)) => match percentage(field("percent"), percent)? {
            0 => {
                let detail = "a group of 0 percent has no devices: 1 to 100 percent it is";
                return Err(ApiError::invalid(field("percent"), detail));
            }
            percent => GroupSize::Percent(percent),
        },
        (Some(_), Some(_)) => {
            let detail = "a group has a `count` or a `percent`, not both";
            return Err(ApiError::invalid(field("percent"), detail));
        }
    };
    let success = percent_of(
        "success_percent",
        body.success_percent,
        DEFAULT_SUCCESS_PERCENT,
    )?;
    Ok(GroupSpec {
        name: body.name.unwrap_or_else(|| format!("group {}", index + 1)),
        size,
        success_percent: success,
        error_percent: percent_of("error_percent", body.error_percent, DEFAULT_ERROR_PERCENT)?,
    })
}

fn percentage(field: impl Into<String>, value: i64) -> Result<u8, ApiError> {
    u8::try_from(value)
        .ok()
        .filter(|percent| *percent <= 100)
        .ok_or_else(|| ApiError::invalid(field, format!("0 to 100 percent, not {value}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::rollout::RolloutError;

    fn settings() -> config::Rollouts {
        config::Settings::defaults().rollouts
    }

    /// The smallest body, with these fields beside or in place of its own.
    fn body(change: &Json) -> serde_json::Result<RolloutBody> {
        let mut body = json!({"name": "autumn", "firmware_id": 3});
        for (key, value) in change.as_object().expect("an object") {
            body[key] = value.clone();
        }
        serde_json::from_value(body)
    }

    /// What is read, and makes sense.
    fn spec(change: &Json) -> Result<RolloutSpec, ApiError> {
        let body = body(change).expect("a body");
        let (spec, _) = body.into_rollout(&settings())?;
        spec.check(settings().max_at_once)
            .map_err(RolloutError::from)?;
        Ok(spec)
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let (spec, start) = body(&json!({}))
            .expect("a body")
            .into_rollout(&settings())
            .expect("a rollout");
        assert!(!start);
        let expected = RolloutSpec {
            name: "autumn".to_owned(),
            firmware: FirmwareId(3),
            method: None,
            selection: Default::default(),
            newcomers: false,
            groups: vec![GroupSpec {
                name: "all".to_owned(),
                size: GroupSize::Rest,
                success_percent: 90,
                error_percent: 10,
            }],
            at_once: settings().at_once,
            start_at: None,
            window: None,
            on_error: OnError::RollBack,
            roll_back_to: None,
        };
        assert_eq!(spec, expected);
    }

    #[test]
    fn everything_can_be_said() {
        let change = json!({
            "method": "push", "filter": {"names": ["a*"], "tags": ["lab"]}, "newcomers": true,
            "groups": [
                {"name": "canary", "count": 5, "success_percent": 100, "error_percent": 0},
                {"percent": 10},
                {"error_percent": 5},
            ],
            "at_once": 7, "start_at": "2026-12-01T22:00:00+01:00",
            "window": {"from": "22:00", "to": "05:00", "time_zone": "Europe/Berlin", "days": ["mon"]},
            "on_error": "pause", "roll_back_to": 2, "start": true,
        });
        let (spec, start) = body(&change)
            .expect("a body")
            .into_rollout(&settings())
            .expect("a rollout");
        assert!(start);
        let group = |name: &str, size, success_percent, error_percent| GroupSpec {
            name: name.to_owned(),
            size,
            success_percent,
            error_percent,
        };
        assert_eq!(
            spec.groups,
            [
                group("canary", GroupSize::Count(5), 100, 0),
                group("group 2", GroupSize::Percent(10), 90, 10),
                group("group 3", GroupSize::Rest, 90, 5),
            ]
        );
        assert_eq!(spec.method, Some(crate::domain::UpdateMethod::Push));
        assert_eq!(spec.selection.to_string(), "a* #lab");
        assert_eq!((spec.newcomers, spec.at_once), (true, 7));
        let start_at = spec.start_at.map(|at| at.to_string());
        assert_eq!(start_at.as_deref(), Some("2026-12-01T21:00:00.000Z"));
        let window = spec.window.as_ref().map(ToString::to_string);
        assert_eq!(
            window.as_deref(),
            Some("22:00 to 05:00 in Europe/Berlin on mon")
        );
        assert_eq!(spec.on_error, OnError::Pause);
        assert_eq!(spec.roll_back_to, Some(FirmwareId(2)));
    }

    #[test]
    fn every_mistake_has_its_field_and_its_sentence() {
        let window = |from: &str, to: &str, zone: &str, day: &str| {
            json!({"window": {
                "from": from, "to": to, "time_zone": zone, "days": [day],
            }})
        };
        for (change, field, word) in [
            (json!({"name": " "}), "name", "1 to 100 characters"),
            (json!({"name": "a\nb"}), "name", "'\\n'"),
            (json!({"method": "pigeon"}), "method", "pull_https"),
            (json!({"filter": {"tags": ["a b"]}}), "filter", "`a b`"),
            (json!({"filter": {"names": [""]}}), "filter", "pattern"),
            (json!({"groups": []}), "groups", "no group"),
            (json!({"groups": [{"count": 3}]}), "groups", "last group"),
            (json!({"groups": [{}, {}]}), "groups", "none would be left"),
            (
                json!({"groups": [{"count": 0}, {}]}),
                "groups.0.count",
                "not 0",
            ),
            (
                json!({"groups": [{"count": -5}, {}]}),
                "groups.0.count",
                "not -5",
            ),
            (
                json!({"groups": [{"count": 4_294_967_296_i64}, {}]}),
                "groups.0.count",
                "4294967296",
            ),
            (
                json!({"groups": [{"percent": 0}, {}]}),
                "groups.0.percent",
                "0 percent",
            ),
            (
                json!({"groups": [{"count": 1}, {"percent": 101}, {}]}),
                "groups.1.percent",
                "not 101",
            ),
            (
                json!({"groups": [{"count": 1, "percent": 1}, {}]}),
                "groups.0.percent",
                "not both",
            ),
            (
                json!({"groups": [{"success_percent": 101}]}),
                "groups.0.success_percent",
                "not 101",
            ),
            (
                json!({"groups": [{"success_percent": 0}]}),
                "groups",
                "1 to 100",
            ),
            (
                json!({"groups": [{"error_percent": -1}]}),
                "groups.0.error_percent",
                "not -1",
            ),
            (
                json!({"groups": [{"success_percent": 95, "error_percent": 6}]}),
                "groups",
                "stand still",
            ),
            (json!({"groups": [{"name": ""}]}), "groups", "name"),
            (
                json!({"at_once": 0}),
                "at_once",
                "1 to 10000 devices are updated at once, not 0",
            ),
            (json!({"at_once": -1}), "at_once", "not -1"),
            (json!({"at_once": 10_001}), "at_once", "not 10001"),
            (
                json!({"at_once": i64::MAX}),
                "at_once",
                "rollouts.max_at_once",
            ),
            (json!({"start_at": "tomorrow"}), "start_at", "`tomorrow`"),
            (
                json!({"start_at": "2026-12-01T22:00"}),
                "start_at",
                "RFC 3339",
            ),
            (window("25:00", "05:00", "UTC", "mon"), "window", "`25:00`"),
            (
                window("08:00", "08:00", "UTC", "mon"),
                "window",
                "no length",
            ),
            (
                window("08:00", "09:00", "Mars", "mon"),
                "window",
                "`Mars` is no time zone",
            ),
            (
                window("08:00", "09:00", "UTC", "someday"),
                "window",
                "`someday`",
            ),
            (json!({"on_error": "cry"}), "on_error", "roll_back"),
            (json!({"roll_back_to": 3}), "roll_back_to", "given back"),
            (
                json!({"failing_percent": 3}),
                "failing_percent",
                "rehearsal",
            ),
            (json!({"seed": 3}), "seed", "rehearsal"),
        ] {
            let error = spec(&change).expect_err(word);
            assert_eq!(error.field(), Some(field), "{change}: {error}");
            assert!(error.detail().contains(word), "{change}: {error}");
            assert_eq!(error.status(), 422, "{change}");
        }
    }

    #[test]
    fn a_rehearsal_starts_nothing_and_says_how_many_fail() {
        let rehearse = |change: Json| {
            let body = body(&change).expect("a body");
            body.into_rehearsal(&settings())
                .map(|(_, rehearsal)| rehearsal)
        };
        assert_eq!(rehearse(json!({})), Ok(Rehearsal::default()));
        let some = rehearse(json!({"failing_percent": 30, "seed": 7}));
        let expected = Rehearsal {
            failing_percent: 30,
            seed: 7,
        };
        assert_eq!(some, Ok(expected));
        for (change, field) in [
            (json!({"start": false}), "start"),
            (json!({"failing_percent": 101}), "failing_percent"),
            (json!({"at_once": -1}), "at_once"),
        ] {
            let error = rehearse(change).expect_err(field);
            assert_eq!(error.field(), Some(field));
        }
    }

    #[test]
    fn what_no_field_is_called_is_refused() {
        for change in [
            json!({"firmwares": 3}),
            json!({"groups": [{"size": 3}]}),
            json!({"window": {"from": "08:00", "to": "09:00", "time_zone": "UTC", "until": ""}}),
            json!({"filter": {"imei": []}}),
        ] {
            let error = body(&change).expect_err("a field that is unknown");
            assert!(error.to_string().contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn a_window_is_shown_as_it_was_said() {
        let json =
            json!({"from": "22:00", "to": "05:00", "time_zone": "Europe/Berlin", "days": ["sat"]});
        let said: WindowBody = serde_json::from_value(json).expect("a body");
        let window = window(said.clone()).expect("a window");
        assert_eq!(WindowBody::from(&window), said);
    }
}
