//! Query parameters, read strictly: a misspelt filter is refused instead of ignored.

use std::net::IpAddr;

use super::error::{ApiError, quote};

/// The parameters of one request, taken out one by one.
#[derive(Debug)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Params {
    /// All of a query; no name may come twice.
    pub(super) fn new(pairs: Vec<(String, String)>) -> Result<Self, ApiError> {
        for (index, (name, _)) in pairs.iter().enumerate() {
            if pairs.iter().take(index).any(|(earlier, _)| earlier == name) {
                return Err(ApiError::RepeatedParameter { name: quote(name) });
            }
        }
        Ok(Self { pairs, known: Vec::new() })
    }

    /// Takes a parameter; `parse` is `None` for a value that is not `expected`.
    pub(super) fn take<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        self.known.push(name);
        let Some(index) = self.pairs.iter().position(|(given, _)| given == name) else {
            return Ok(None);
        };
        let (_, value) = self.pairs.swap_remove(index);
        match parse(&value) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(ApiError::BadParameter { name, value: quote(&value), expected: expected.to_owned() }),
        }
    }

    /// Takes a whole number between `least` and `most`.
    pub(super) fn number<T>(&mut self, name: &'static str, least: T, most: T) -> Result<Option<T>, ApiError>
    where
        T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
    {
        let expected = format!("a number from {least} to {most}");
        self.take(name, &expected, |value| {
            // `parse` would take a leading plus sign, which no contract of ours mentions.
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let number = value.parse().ok().filter(|_| digits)?;
            (least <= number && number <= most).then_some(number)
        })
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => {
                Err(ApiError::UnknownParameter { name: quote(name), known: self.known.join(", ") })
            }
        }
    }
}

/// An address, with v4-mapped ones as IPv4, as everything shows them.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}
