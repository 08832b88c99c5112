//! Arguments: `--name value`, each with a default.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

/// The options of a subcommand. Each is asked for once; what is then left is an error.
#[derive(Clone, Debug)]
pub struct Args {
    options: BTreeMap<String, String>,
}

impl Args {
    /// Reads `--name value` pairs.
    ///
    /// # Errors
    /// A text for the user.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Args, String> {
        let mut words = words;
        let mut options = BTreeMap::new();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--") else {
                return Err(format!("`{word}`: options look like `--name value`"));
            };
            let Some(value) = words.next() else {
                return Err(format!("`--{name}` needs a value"));
            };
            options.insert(name.to_owned(), value);
        }
        Ok(Args { options })
    }

    /// The value of an option, or its default.
    ///
    /// # Errors
    /// A text for the user.
    pub fn take<T: FromStr<Err: Display>>(&mut self, name: &str, default: T) -> Result<T, String> {
        match self.options.remove(name) {
            Some(text) => text
                .parse()
                .map_err(|error| format!("`--{name} {text}`: {error}")),
            None => Ok(default),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// If an option was given that nobody asked for.
    pub fn finish(self) -> Result<(), String> {
        match self.options.keys().next() {
            Some(name) => Err(format!("`--{name}` is not an option of this command")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Args;

    fn args(text: &str) -> Result<Args, String> {
        Args::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn takes_values_and_defaults() {
        let mut args = args("--streams 7").unwrap();
        assert_eq!(args.take("streams", 1), Ok(7));
        assert_eq!(args.take("seconds", 60), Ok(60));
        assert_eq!(args.finish(), Ok(()));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(args("streams 7").is_err());
        assert!(args("--streams").is_err());
        assert!(args("--streams x").unwrap().take("streams", 1).is_err());
        assert!(args("--stream 7").unwrap().finish().is_err());
    }
}
