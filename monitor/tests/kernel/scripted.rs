//! A peer in Python, for what has no safe words in Rust without further crates, TLS and `TCP_REPAIR`, or for the sake of its libraries.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::clock::Moment;
use crate::helper::dying_with_parent;
use crate::owner::Owner;

/// A running script that answers each line it reads with one.
#[derive(Debug)]
pub(crate) struct Scripted {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Scripted {
    /// Starts it in the calling thread's namespace.
    pub(crate) fn start(script: &str, arguments: &[&str]) -> Result<Self> {
        Self::run("python3", &[&["-c", script], arguments].concat())
    }

    /// The same with another language's interpreter.
    pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<Self> {
        let mut child = dying_with_parent(program)?
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("no stdin")?;
        let output = BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Self { child, input, output })
    }

    /// Gives it a word, and waits for the words of its answer.
    pub(crate) fn ask(&mut self, word: &str) -> Result<Answer> {
        self.say(word)?;
        self.hear().with_context(|| format!("an answer to `{word}`"))
    }

    /// Gives it a word.
    pub(crate) fn say(&mut self, word: &str) -> Result<()> {
        writeln!(self.input, "{word}").context("the script has ended")
    }

    /// Waits for the words of an answer.
    pub(crate) fn hear(&mut self) -> Result<Answer> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(!line.is_empty(), "the script ended before");
        Ok(Answer(line.split_whitespace().map(str::to_owned).collect()))
    }

    /// Gives it its last word, and waits for its end.
    pub(crate) fn end(&mut self, word: &str) -> Result<()> {
        writeln!(self.input, "{word}")?;
        self.child.wait()?;
        Ok(())
    }

    /// As the owner of its sockets.
    pub(crate) fn owner(&self) -> Result<Owner> {
        Owner::of_process(self.child.id())
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        // After a failed trial there is nothing better to do with an error.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The words of an answer.
#[derive(Debug)]
pub(crate) struct Answer(Vec<String>);

impl Answer {
    /// The word at this place.
    pub(crate) fn word(&self, place: usize) -> Result<&str> {
        self.0.get(place).map(String::as_str).with_context(|| format!("no word {place} in {self:?}"))
    }

    /// The moment between the times at two places, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) fn moment(&self, before: usize, after: usize) -> Result<Moment> {
        let time = |place| -> Result<Duration> { Ok(Duration::from_nanos(self.word(place)?.parse()?)) };
        Ok(Moment { before: time(before)?, after: time(after)? })
    }
}
