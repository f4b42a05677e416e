//! Moments as a person types them: `10m`, `yesterday`, `14:30`, or a time in full. Read without a clock, placed in time
//! later, when the time is given.

use std::str::FromStr;

use jiff::civil::{DateTime, Time};
use jiff::{Span, Timestamp, Zoned};

/// What can be typed, for help and error texts.
pub const EXAMPLES: &str = "10m, 1h30m or 2d (ago), today, yesterday, 14:30, 2026-01-31, \"2026-01-31 14:30\", or 2026-01-31T14:30:00Z";

/// A moment that was typed. Without a zone it means local time.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// The same everywhere.
    At(Timestamp),
    /// So long ago. A day is one of the calendar.
    Ago(Span),
    /// The beginning of today, or of so many days before.
    Midnight {
        /// How many days before today.
        days_ago: u8,
    },
    /// The last time that the clock showed it.
    Clock(Time),
    /// In local time.
    Local(DateTime),
}

/// The text is no [`Moment`], or one beyond all calendars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("give a time such as {EXAMPLES}")]
pub struct MomentError;

/// A stretch of time, open where nothing was typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Its beginning, which belongs to it.
    pub since: Option<Timestamp>,
    /// Its end, which does not.
    pub until: Option<Timestamp>,
}

/// What was typed is no [`Window`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// One of its ends is no moment.
    #[error("too far away: {0}")]
    Moment(#[from] MomentError),
    /// Nothing can lie in it.
    #[error("nothing lies between --since {since} and --until {until}: exchange them, or leave one out")]
    Empty {
        /// Its beginning.
        since: Timestamp,
        /// Its end.
        until: Timestamp,
    },
}

impl Window {
    /// What was typed, seen from `now`.
    pub fn at(since: Option<Moment>, until: Option<Moment>, now: &Zoned) -> Result<Self, WindowError> {
        let at = |moment: Option<Moment>| moment.map(|moment| moment.at(now)).transpose();
        let (since, until) = (at(since)?, at(until)?);
        match (since, until) {
            (Some(since), Some(until)) if since >= until => Err(WindowError::Empty { since, until }),
            _ => Ok(Self { since, until }),
        }
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        let text = text.trim();
        match text {
            "now" => return Ok(Self::Ago(Span::new())),
            "today" => return Ok(Self::Midnight { days_ago: 0 }),
            "yesterday" => return Ok(Self::Midnight { days_ago: 1 }),
            _ => {}
        }
        // In this order: a time with a zone would also be read as one without, and a date as one with a time of day.
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        if text.contains('-')
            && let Ok(local) = text.parse()
        {
            return Ok(Self::Local(local));
        }
        if text.contains(':')
            && let Ok(clock) = text.parse()
        {
            return Ok(Self::Clock(clock));
        }
        // "10m" and "10m ago" are the same moment; nobody asks for one to come.
        text.parse::<Span>().map(|span| Self::Ago(span.abs())).or(Err(MomentError))
    }
}

impl Moment {
    /// When that is, seen from `now` and in its zone.
    pub fn at(&self, now: &Zoned) -> Result<Timestamp, MomentError> {
        let zone = now.time_zone();
        let at = match *self {
            Self::At(at) => return Ok(at),
            Self::Ago(span) => now.checked_sub(span),
            Self::Midnight { days_ago } => {
                now.checked_sub(Span::new().days(days_ago)).and_then(|day| day.start_of_day())
            }
            Self::Clock(clock) => {
                let today = now.date().to_datetime(clock).to_zoned(zone.clone());
                match today {
                    Ok(later) if later > *now => now
                        .date()
                        .yesterday()
                        .and_then(|yesterday| yesterday.to_datetime(clock).to_zoned(zone.clone())),
                    other => other,
                }
            }
            Self::Local(local) => local.to_zoned(zone.clone()),
        };
        at.map(|at| at.timestamp()).or(Err(MomentError))
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::{TimeZone, offset};

    use super::Moment;

    /// What is meant by `text` at 09:15:30.5 on the twentieth, two hours east of Greenwich.
    fn meant(text: &str) -> String {
        let zone = TimeZone::fixed(offset(2));
        let now = "2026-11-20T07:15:30.5Z".parse::<jiff::Timestamp>().unwrap().to_zoned(zone);
        text.parse::<Moment>().unwrap().at(&now).unwrap().to_string()
    }

    #[test]
    fn moments_are_read_as_they_are_meant() {
        for (text, at) in [
            ("now", "2026-11-20T07:15:30.5Z"),
            ("10m", "2026-11-20T07:05:30.5Z"),
            ("10m ago", "2026-11-20T07:05:30.5Z"),
            ("10 minutes ago", "2026-11-20T07:05:30.5Z"),
            ("1h30m", "2026-11-20T05:45:30.5Z"),
            ("2d", "2026-11-18T07:15:30.5Z"),
            ("90s", "2026-11-20T07:14:00.5Z"),
            ("today", "2026-11-19T22:00:00Z"),
            ("yesterday", "2026-11-18T22:00:00Z"),
            ("08:00", "2026-11-20T06:00:00Z"),
            ("08:00:01.5", "2026-11-20T06:00:01.5Z"),
            ("14:30", "2026-11-19T12:30:00Z"),
            ("2026-11-01", "2026-10-31T22:00:00Z"),
            ("2026-11-01 14:30", "2026-11-01T12:30:00Z"),
            ("2026-11-01T14:30:05", "2026-11-01T12:30:05Z"),
            ("2026-11-01T14:30:05Z", "2026-11-01T14:30:05Z"),
            ("2026-11-01T14:30:05.123456Z", "2026-11-01T14:30:05.123456Z"),
            ("2026-11-01T14:30:05+01:00", "2026-11-01T13:30:05Z"),
        ] {
            assert_eq!(meant(text), at, "{text}");
        }
    }

    #[test]
    fn a_day_ago_is_the_same_time_of_the_day_before() {
        let rule = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let now = "2026-10-25T12:00:00Z".parse::<jiff::Timestamp>().unwrap().to_zoned(rule);
        let at = |text: &str| text.parse::<Moment>().unwrap().at(&now).unwrap().to_string();
        assert_eq!(at("1d"), "2026-10-24T11:00:00Z", "the clocks were set back in between");
        assert_eq!(at("24h"), "2026-10-24T12:00:00Z");
        assert_eq!(at("today"), "2026-10-24T22:00:00Z");
    }

    #[test]
    fn what_is_no_moment_is_refused_with_examples() {
        for text in
            ["", "soon", "10", "25:00", "2026-13-01", "10 parsecs", "-", "tomorrow", "99999999999999999y"]
        {
            let refused = text.parse::<Moment>().map(|moment| format!("{moment:?}")).unwrap_err();
            assert!(refused.to_string().contains("1h30m"), "{text}");
        }
    }

    #[test]
    fn a_moment_before_all_calendars_is_refused() {
        let now = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
        assert!("19000y".parse::<Moment>().unwrap().at(&now).is_err());
    }
}
