//! A command line of a few words and `--name value` pairs, without a crate.

use std::error::Error;
use std::process::ExitCode;
use std::str::FromStr;

/// What any of these programs may fail with.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The words of a command line that no one has taken yet.
#[derive(Debug)]
pub struct Args(Vec<String>);

/// Runs `program` on this process's arguments. What goes wrong is printed to
/// standard error with `usage`, the one-line form of the command.
pub fn run(usage: &str, program: impl FnOnce(Args) -> Result<()>) -> ExitCode {
    match program(Args(std::env::args().skip(1).collect())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}\nusage: {usage}");
            ExitCode::FAILURE
        }
    }
}

impl Args {
    /// Takes `name` and the word after it, wherever they stand.
    ///
    /// # Errors
    /// The value is missing or isn't a `T`.
    pub fn option<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(at) = self.0.iter().position(|word| word == name) else {
            return Ok(None);
        };
        if at + 1 == self.0.len() {
            return Err(format!("{name} needs a value").into());
        }
        let value = self.0.drain(at..at + 2).next_back().unwrap_or_default();
        parse(name, &value).map(Some)
    }

    /// Takes the next word; `name` is what the usage line calls it. Take every
    /// option first.
    ///
    /// # Errors
    /// No word is left, or it isn't a `T`.
    pub fn word<T: FromStr>(&mut self, name: &str) -> Result<T> {
        if self.0.is_empty() {
            return Err(format!("{name} is missing").into());
        }
        parse(name, &self.0.remove(0))
    }

    /// Checks that every word has been taken.
    ///
    /// # Errors
    /// Names the first that hasn't.
    pub fn finish(self) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some(word) => Err(format!("don't know what to do with {word}").into()),
        }
    }
}

fn parse<T: FromStr>(name: &str, value: &str) -> Result<T> {
    value
        .parse()
        .map_err(|_| format!("{value} is no good as {name}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        Args(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn options_stand_anywhere() -> Result<()> {
        for line in ["--n 3 a b", "a --n 3 b", "a b --n 3"] {
            let mut args = args(line);
            assert_eq!(args.option("--n")?, Some(3), "{line}");
            assert_eq!(args.word::<String>("A")?, "a");
            assert_eq!(args.word::<String>("B")?, "b");
            args.finish()?;
        }
        Ok(())
    }

    #[test]
    fn mistakes_are_named() {
        assert!(args("a --n").option::<u32>("--n").is_err());
        assert!(args("--n x").option::<u32>("--n").is_err());
        assert!(args("").word::<String>("ADDR").is_err());
        assert!(args("a").finish().is_err());
    }
}
