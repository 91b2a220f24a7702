//! The goals, and what was measured of each.

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    Notifications,
    Updates,
    Registrations,
    Sends,
    Latency,
    Memory,
    Million,
    MillionUpdates,
    StartTime,
    StartMemory,
    Restart,
    Operation,
    Chart,
    Latest,
    List,
    Live,
    Psk,
    X509,
    SecureNotifications,
}

impl Goal {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 19] = [
        Self::Notifications,
        Self::Updates,
        Self::Registrations,
        Self::Sends,
        Self::Latency,
        Self::Memory,
        Self::Million,
        Self::MillionUpdates,
        Self::StartTime,
        Self::StartMemory,
        Self::Restart,
        Self::Operation,
        Self::Chart,
        Self::Latest,
        Self::List,
        Self::Live,
        Self::Psk,
        Self::X509,
        Self::SecureNotifications,
    ];

    /// What is measured, the goal in words, and the part of the run that measures it.
    pub(crate) fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Notifications => (
                "confirmable notifications, one value each, on disk before the ACK",
                "≥ 50,000/s",
                "requests",
            ),
            Self::Updates => ("Updates, stored", "≥ 60,000/s", "requests"),
            Self::Registrations => (
                "registrations with 20 objects, stored, with actor and 4 observations",
                "≥ 15,000/s",
                "requests",
            ),
            Self::Sends => ("Send with 60 timestamped records", "≥ 4,000/s", "requests"),
            Self::Latency => (
                "latency of a stored notification at 25,000/s, p50 / p99",
                "≤ 2 / ≤ 25 ms",
                "latency",
            ),
            Self::Memory => (
                "memory of an idle endpoint with 3 observations, slope",
                "≤ 2,048 bytes",
                "fleets",
            ),
            Self::Million => ("1,000,000 registered endpoints", "≤ 2.5 GB", "fleets"),
            Self::MillionUpdates => ("Updates of 1,000,000 endpoints", "≥ 30,000/s", "curves"),
            Self::StartTime => ("empty server, ready", "≤ 200 ms", "start"),
            Self::StartMemory => ("empty server, resident", "≤ 30 MB", "start"),
            Self::Restart => (
                "100,000 registrations after `kill -9`: serving again",
                "≤ 1,000 ms",
                "fleets",
            ),
            Self::Operation => (
                "operation from REST to the device and back, idle server, p50",
                "≤ 2 ms",
                "operate",
            ),
            Self::Chart => (
                "chart of 24 h with 1,000 points, slowest p50 of four kinds of devices",
                "≤ 50 ms with 100 million values",
                "fleets",
            ),
            Self::Latest => ("latest values of a device, p50", "≤ 5 ms", "fleets"),
            Self::List => (
                "device list with search, 100,000 devices, slowest p50",
                "≤ 50 ms",
                "fleets",
            ),
            Self::Live => (
                "live: 10,000 values/s to 200 sockets on `fleet`, p99",
                "≤ 250 ms, no growth",
                "live",
            ),
            Self::Psk => (
                "DTLS handshakes a second and core, PSK-CCM-8",
                "≥ 9,000",
                "dtls",
            ),
            Self::X509 => (
                "DTLS handshakes a second and core, X.509 mutual",
                "≥ 1,100",
                "dtls",
            ),
            Self::SecureNotifications => (
                "stored confirmable notifications over PSK-CCM-8",
                "≥ 35,000/s",
                "secure",
            ),
        }
    }
}

/// What was measured of a goal.
pub(crate) struct Row {
    pub(crate) goal: Goal,
    /// With its unit.
    pub(crate) figure: String,
    pub(crate) reached: bool,
    /// The share of the limit that was reached, and which limit that is.
    pub(crate) of_limit: Option<(f64, &'static str)>,
    /// Where the processor time of a request goes.
    pub(crate) cost: Option<Cost>,
    /// What else is to be known.
    pub(crate) note: String,
}

impl Row {
    pub(crate) fn new(goal: Goal, figure: String, reached: bool) -> Self {
        Self {
            goal,
            figure,
            reached,
            of_limit: None,
            cost: None,
            note: String::new(),
        }
    }

    /// The share of a limit, where there is one.
    pub(crate) fn of(mut self, figure: f64, limit: Option<f64>, which: &'static str) -> Self {
        self.of_limit = limit.map(|limit| (figure / limit, which));
        self
    }

    pub(crate) fn cost(mut self, cost: Cost) -> Self {
        self.cost = Some(cost);
        self
    }

    pub(crate) fn note(mut self, note: String) -> Self {
        self.note = note;
        self
    }
}

/// Processor time for one request, in µs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// The whole server.
    pub(crate) server: f64,
    /// Its threads with sockets and actors: of the devices, and of those who listen.
    pub(crate) devices: f64,
    /// Its thread that appends commits to the journal.
    pub(crate) journal: f64,
    /// Its thread that makes statements of commits.
    pub(crate) writer: f64,
    /// Its threads in which SQLite works.
    pub(crate) sqlite: f64,
    /// Its threads that shake hands.
    pub(crate) handshakes: f64,
    /// The generator, which is no part of the server.
    pub(crate) generator: f64,
}

impl Cost {
    /// What is none of the threads that have a name here.
    pub(crate) fn rest(&self) -> f64 {
        let known = self.devices + self.journal + self.writer + self.sqlite + self.handshakes;
        (self.server - known).max(0.0)
    }
}

/// A number with commas between thousands.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
