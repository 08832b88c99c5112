//! `key=value` words: what the two processes say to each other.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

/// The words of a line.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Words(BTreeMap<String, String>);

impl Words {
    /// Reads the words of a line; a word without `=` is skipped.
    pub fn parse(line: &str) -> Words {
        let words = line
            .split_whitespace()
            .filter_map(|word| word.split_once('='));
        Words(
            words
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// With one more word.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Words {
        self.0.insert(key.to_owned(), value.to_string());
        self
    }

    /// The value of a key.
    ///
    /// # Errors
    /// If it is missing or not of this type.
    pub fn get<T: FromStr>(&self, key: &str) -> Result<T, String> {
        let value = self
            .0
            .get(key)
            .ok_or_else(|| format!("no `{key}` was said"))?;
        value
            .parse()
            .map_err(|_| format!("`{key}={value}` cannot be read"))
    }

    /// The value of a key, or this.
    ///
    /// # Errors
    /// If it is not of this type.
    pub fn get_or<T: FromStr>(&self, key: &str, default: T) -> Result<T, String> {
        if self.0.contains_key(key) {
            self.get(key)
        } else {
            Ok(default)
        }
    }
}

impl Display for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (key, value)) in self.0.iter().enumerate() {
            let space = if at > 0 { " " } else { "" };
            write!(f, "{space}{key}={value}")?;
        }
        Ok(())
    }
}
