//! The section `event_log` of the configuration file, and its flags.

use std::path::PathBuf;

/// Bytes of a file before the next one is begun.
const BYTES: u64 = 64 << 20;
/// Files that are kept beside the one that is written.
const FILES: u32 = 4;
/// So small that one event always fits, and so large that nobody wants more.
const BYTES_RANGE: [u64; 2] = [64 << 10, 64 << 30];
const MOST_FILES: u32 = 1_000;
/// What is no path.
const JOURNAL: &str = "journald";
const STANDARD_OUTPUT: &str = "-";

/// Flags about the event log.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Event log")]
pub struct EventLogArgs {
    /// Write every reset and overflow as a line of JSON to this file, to standard output (`-`), or to the journal (`journald`) [default: none]
    #[arg(long = "event-log", env = "RESET_MONITOR_EVENT_LOG", value_name = "FILE")]
    pub to: Option<String>,
    /// Size at which the file becomes FILE.1 and a new one is begun [default: 67108864]
    #[arg(long = "event-log-bytes", env = "RESET_MONITOR_EVENT_LOG_BYTES", value_name = "BYTES")]
    pub bytes: Option<u64>,
    /// How many of those are kept [default: 4]
    #[arg(long = "event-log-files", env = "RESET_MONITOR_EVENT_LOG_FILES", value_name = "COUNT")]
    pub files: Option<u32>,
}

/// `[event_log]`. Unknown keys are errors.
#[derive(Clone, Debug, Default, serde::Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct EventLogFile {
    to: Option<String>,
    bytes: Option<u64>,
    files: Option<u32>,
}

/// Where events are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventLogSettings {
    /// To a file, and those before it.
    File {
        /// The one that is written.
        path: PathBuf,
        /// At most so many bytes each.
        bytes: u64,
        /// How many are kept beside it.
        files: u32,
    },
    /// To standard output.
    StandardOutput,
    /// To systemd's journal.
    Journal,
}

/// A value cannot be meant.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("--{flag} (`{key}` in [event_log]) {what}")]
pub struct EventLogError {
    flag: &'static str,
    key: &'static str,
    what: String,
}

impl EventLogFile {
    /// With what was typed, which wins; `None` where nothing is to be written.
    pub fn settings(self, args: &EventLogArgs) -> Result<Option<EventLogSettings>, EventLogError> {
        let bytes = args.bytes.or(self.bytes).unwrap_or(BYTES);
        let files = args.files.or(self.files).unwrap_or(FILES);
        let [low, high] = BYTES_RANGE;
        if !(low..=high).contains(&bytes) {
            let what = format!("is {bytes}: it must be between {low} and {high}");
            return Err(EventLogError { flag: "event-log-bytes", key: "bytes", what });
        }
        if files > MOST_FILES {
            let what = format!("is {files}: it must be at most {MOST_FILES}");
            return Err(EventLogError { flag: "event-log-files", key: "files", what });
        }
        let Some(to) = args.to.clone().or(self.to) else { return Ok(None) };
        Ok(Some(match to.as_str() {
            "" => {
                let what = "is empty: give a file, `-` or `journald`".to_owned();
                return Err(EventLogError { flag: "event-log", key: "to", what });
            }
            JOURNAL => EventLogSettings::Journal,
            STANDARD_OUTPUT => EventLogSettings::StandardOutput,
            _ => EventLogSettings::File { path: to.into(), bytes, files },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(file: &str, args: &EventLogArgs) -> Result<Option<EventLogSettings>, String> {
        let file: EventLogFile = toml::from_str(file).map_err(|error| error.to_string())?;
        file.settings(args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_bounded_by_default_and_what_was_typed_wins() {
        let none = EventLogArgs::default();
        assert_eq!(settings("", &none), Ok(None));
        let path = PathBuf::from("/var/log/resets.jsonl");
        let file = EventLogSettings::File { path: path.clone(), bytes: BYTES, files: FILES };
        assert_eq!(settings("to = \"/var/log/resets.jsonl\"", &none), Ok(Some(file)));
        let typed = EventLogArgs { files: Some(0), ..EventLogArgs::default() };
        let file = EventLogSettings::File { path, bytes: 65_536, files: 0 };
        let text = "to = \"/var/log/resets.jsonl\"\nbytes = 65536\nfiles = 9\n";
        assert_eq!(settings(text, &typed), Ok(Some(file)));
        let typed = EventLogArgs { to: Some("journald".to_owned()), ..EventLogArgs::default() };
        assert_eq!(settings("to = \"-\"", &typed), Ok(Some(EventLogSettings::Journal)));
        assert_eq!(settings("to = \"-\"", &none), Ok(Some(EventLogSettings::StandardOutput)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_name() {
        let none = EventLogArgs::default();
        for (text, wanted) in [
            ("to = \"\"", "--event-log (`to` in [event_log]) is empty"),
            ("bytes = 10", "`bytes` in [event_log]) is 10: it must be between 65536 and"),
            ("files = 1001", "`files` in [event_log]) is 1001: it must be at most 1000"),
            ("path = \"x\"", "unknown field `path`"),
        ] {
            let error = settings(text, &none).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
