//! What the value of a parameter may be: in words for a refusal, and as a schema for the document of the API. Pure.

use serde_json::{Value, json};

/// What a value may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Form {
    /// A whole number; both bounds are in.
    Number {
        /// The smallest, in digits.
        least: String,
        /// The largest.
        most: String,
    },
    /// One of these words.
    Word(Vec<&'static str>),
    /// One of these numbers of seconds.
    Seconds(Vec<u64>),
    /// `true` or `false`.
    Flag,
    /// A moment.
    Time,
    /// Text that no schema describes.
    Text {
        /// What it may be, in words.
        words: &'static str,
        /// One that is taken.
        example: &'static str,
    },
}

impl Form {
    /// One of the words.
    pub(in crate::http) fn word<const N: usize>(words: [&'static str; N]) -> Self {
        Self::Word(words.to_vec())
    }

    /// As a JSON Schema of the value. Bounds that only say how wide our own number is are left out.
    pub(in crate::http) fn schema(&self) -> Value {
        match self {
            Self::Number { least, most } => {
                let mut schema = json!({"type": "integer", "minimum": number(least)});
                if *most != u64::MAX.to_string()
                    && let Some(schema) = schema.as_object_mut()
                {
                    schema.insert("maximum".to_owned(), number(most));
                }
                schema
            }
            Self::Word(words) => json!({"type": "string", "enum": words}),
            Self::Seconds(numbers) => json!({"type": "integer", "enum": numbers}),
            Self::Flag => json!({"type": "boolean"}),
            Self::Time => json!({"type": "string", "format": "date-time"}),
            Self::Text { words: _, example } => json!({"type": "string", "examples": [example]}),
        }
    }

    /// A value of the form, as the document writes it.
    pub(in crate::http) fn value(&self, text: &str) -> Value {
        match self {
            Self::Number { .. } | Self::Seconds(_) => number(text),
            Self::Flag => json!(text == "true"),
            Self::Word(_) | Self::Time | Self::Text { .. } => json!(text),
        }
    }
}

fn number(digits: &str) -> Value {
    digits.parse::<u64>().map_or(Value::Null, Value::from)
}

impl std::fmt::Display for Form {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number { least, most } => write!(out, "a number from {least} to {most}"),
            Self::Word(words) => match words.as_slice() {
                [one, other] => write!(out, "{one} or {other}"),
                words => write!(out, "one of {}", words.join(", ")),
            },
            Self::Seconds(numbers) => {
                let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
                let (last, others) =
                    texts.split_last().map_or(("", &[][..]), |(last, others)| (last, others));
                write!(out, "{} or {last} (seconds)", others.join(", "))
            }
            Self::Flag => out.write_str("true or false"),
            Self::Time => out.write_str("a time such as 2026-01-31T12:00:00Z"),
            Self::Text { words, example: _ } => out.write_str(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Form;

    #[test]
    fn a_form_says_the_same_in_words_and_as_a_schema() {
        for (form, words, schema) in [
            (
                Form::Number { least: "1".into(), most: "9".into() },
                "a number from 1 to 9",
                json!({"type": "integer", "minimum": 1, "maximum": 9}),
            ),
            (
                Form::Number { least: "0".into(), most: u64::MAX.to_string() },
                "a number from 0 to 18446744073709551615",
                json!({"type": "integer", "minimum": 0}),
            ),
            (Form::word(["asc", "desc"]), "asc or desc", json!({"type": "string", "enum": ["asc", "desc"]})),
            (
                Form::word(["a", "b", "c"]),
                "one of a, b, c",
                json!({"type": "string", "enum": ["a", "b", "c"]}),
            ),
            (
                Form::Seconds(vec![10, 60, 300]),
                "10, 60 or 300 (seconds)",
                json!({"type": "integer", "enum": [10, 60, 300]}),
            ),
            (Form::Flag, "true or false", json!({"type": "boolean"})),
        ] {
            assert_eq!((form.to_string().as_str(), form.schema()), (words, schema));
        }
    }
}
