//! Query parameters, read strictly: a misspelt filter is refused instead of ignored.
//!
//! What reads them also tells which there are: the document of the API is made by the functions that read requests.

use std::net::IpAddr;

use super::error::{ApiError, quote};

pub(super) mod form;

use self::form::Form;

/// A parameter that a route takes.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// As it is spelt.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) about: &'static str,
    /// What its value may be.
    pub(super) form: Form,
    /// What goes without it, in words of its form; `None` when nothing does.
    pub(super) default: Option<String>,
}

/// The parameters of one request, taken out one by one.
#[derive(Debug)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    known: Vec<Known>,
}

impl Params {
    /// Reads all of a query; what `read` does not take is refused, as is a name that comes twice.
    pub(super) fn read<T>(
        pairs: Vec<(String, String)>,
        read: impl FnOnce(&mut Self) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        for (index, (name, _)) in pairs.iter().enumerate() {
            if pairs.iter().take(index).any(|(earlier, _)| earlier == name) {
                return Err(ApiError::RepeatedParameter { name: quote(name) });
            }
        }
        let mut params = Self { pairs, known: Vec::new() };
        let wanted = read(&mut params)?;
        params.finish()?;
        Ok(wanted)
    }

    /// The parameters that `read` takes.
    pub(super) fn known<T>(read: impl FnOnce(&mut Self) -> Result<T, ApiError>) -> Vec<Known> {
        let mut params = Self { pairs: Vec::new(), known: Vec::new() };
        // Nothing was given, so there is nothing to be refused.
        drop(read(&mut params));
        params.known
    }

    /// Takes a parameter; `parse` is `None` for a value that is not of the form.
    pub(super) fn take<T>(
        &mut self,
        name: &'static str,
        about: &'static str,
        form: Form,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let index = self.pairs.iter().position(|(given, _)| given == name);
        let given = index.map(|index| self.pairs.swap_remove(index).1);
        let taken = given.map(|value| {
            let refused =
                || ApiError::BadParameter { name, value: quote(&value), expected: form.to_string() };
            parse(&value).ok_or_else(refused)
        });
        self.known.push(Known { name, about, form, default: None });
        taken.transpose()
    }

    /// Says what goes without the parameter that was taken last.
    pub(super) fn by_default(&mut self, value: impl std::fmt::Display) {
        if let Some(known) = self.known.last_mut() {
            known.default = Some(value.to_string());
        }
    }

    /// Takes a whole number between `least` and `most`.
    pub(super) fn number<T>(
        &mut self,
        name: &'static str,
        about: &'static str,
        least: T,
        most: T,
    ) -> Result<Option<T>, ApiError>
    where
        T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
    {
        let form = Form::Number { least: least.to_string(), most: most.to_string() };
        self.take(name, about, form, |value| {
            // `parse` would take a leading plus sign, which no contract of ours mentions.
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let number = value.parse().ok().filter(|_| digits)?;
            (least <= number && number <= most).then_some(number)
        })
    }

    /// The same, with a number that goes without it.
    pub(super) fn number_or<T>(
        &mut self,
        name: &'static str,
        about: &'static str,
        [least, most]: [T; 2],
        default: T,
    ) -> Result<T, ApiError>
    where
        T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
    {
        let given = self.number(name, about, least, most)?;
        self.by_default(default);
        Ok(given.unwrap_or(default))
    }

    /// Takes `true` or `false`; `false` goes without it.
    pub(super) fn flag(&mut self, name: &'static str, about: &'static str) -> Result<bool, ApiError> {
        let given = self.take(name, about, Form::Flag, |text| text.parse().ok())?;
        self.by_default(false);
        Ok(given.unwrap_or_default())
    }

    /// Refuses what nobody took.
    fn finish(self) -> Result<(), ApiError> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => {
                let known: Vec<&str> = self.known.iter().map(|known| known.name).collect();
                Err(ApiError::UnknownParameter { name: quote(name), known: known.join(", ") })
            }
        }
    }
}

/// Reads a query that has no parameters.
#[expect(clippy::unnecessary_wraps, reason = "as others read")]
pub(super) const fn none(_: &mut Params) -> Result<(), ApiError> {
    Ok(())
}

/// An address, with v4-mapped ones as IPv4, as everything shows them.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}
