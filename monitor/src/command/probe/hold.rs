//! Holding a connection idle, and using it once more.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::connect::Stream;
use super::connection::stopped;
use super::exchange::{Ask, Unanswered, exchange};
use super::failure::Failure;
use super::outcome::{Answer, End, How, Reuse};
use super::tap::RawEnd;
use crate::clock;
use crate::terminal::{printable, words};

/// After a FIN, a reset that a request has drawn comes at once, or after a round trip.
const RESET: Duration = Duration::from_secs(2);
/// After the goodbye of TLS the connection ends soon, or waits for this end.
const FIN: Duration = Duration::from_secs(2);
/// Some servers say why before they close (status 408; databases), at once.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// A connection is never quiet if its peer spoke by itself so often that no quiet was as long as the time it was held divided by this. Then
/// the peer's own timer is not seen: it runs anew each time. Two, so that one greeting, whenever it comes, leaves a quiet that counts.
const PARTS: u32 = 2;
/// A connection on which the peer sends by itself is given up after so many times the quiet that is wanted.
const PATIENCE: u32 = 3;

/// What became of a held connection.
#[derive(Debug)]
pub enum Held {
    /// The peer ended it.
    Ended(End),
    /// It is open, and was quiet for so long.
    Open(Duration),
    /// Ctrl-C; it had been quiet for so long.
    Stopped(Duration),
    /// The peer spoke by itself again and again.
    NeverQuiet {
        /// The longest quiet.
        longest: Duration,
    },
    /// Something else.
    Failed(Failure),
}

/// An idle connection.
#[derive(Debug)]
pub struct Idle<'a> {
    stream: &'a mut Stream,
    address: SocketAddr,
    /// Held since.
    from: Duration,
    /// When the last byte moved.
    quiet_from: Duration,
    /// The longest quiet before the peer said something by itself.
    longest: Duration,
    /// From when to when it was quiet before the peer said something by itself.
    quiet_before: Option<(Duration, Duration)>,
    /// Bytes that came unasked.
    pub unasked: u64,
}

impl<'a> Idle<'a> {
    /// From a monotonic moment on.
    pub const fn new(stream: &'a mut Stream, address: SocketAddr, from: Duration) -> Self {
        Self {
            stream,
            address,
            from,
            quiet_from: from,
            longest: Duration::ZERO,
            quiet_before: None,
            unasked: 0,
        }
    }

    /// Holds it for at most `most` since now, whatever the peer sends.
    pub async fn until_ended(&mut self, most: Duration, stop: &mut watch::Receiver<bool>) -> Held {
        let until = clock::monotonic() + most;
        let held = self.hold(|_| until, stop).await;
        let longest = self.longest.max(self.quiet());
        match held {
            Held::Open(_) | Held::Stopped(_)
                if self.unasked > 0 && longest * PARTS < clock::monotonic().saturating_sub(self.from) =>
            {
                Held::NeverQuiet { longest }
            }
            // It has outlived this one.
            Held::Open(_) => Held::Open(longest),
            Held::Stopped(_) => Held::Stopped(longest),
            other @ (Held::Ended(_) | Held::NeverQuiet { .. } | Held::Failed(_)) => other,
        }
    }

    /// Holds it until it was quiet for so long.
    pub async fn until_quiet(&mut self, wanted: Duration, stop: &mut watch::Receiver<bool>) -> Held {
        let most = clock::monotonic() + wanted * PATIENCE + RESET;
        let held = self.hold(|quiet_from| (quiet_from + wanted).min(most), stop).await;
        match held {
            Held::Open(quiet) if quiet < wanted => Held::NeverQuiet { longest: self.longest.max(quiet) },
            other @ (Held::Open(_)
            | Held::Ended(_)
            | Held::Stopped(_)
            | Held::NeverQuiet { .. }
            | Held::Failed(_)) => other,
        }
    }

    async fn hold(&mut self, until: impl Fn(Duration) -> Duration, stop: &mut watch::Receiver<bool>) -> Held {
        let mut buffer = [0; 4_096];
        loop {
            let left = until(self.quiet_from).saturating_sub(clock::monotonic());
            if left.is_zero() {
                return Held::Open(self.quiet());
            }
            tokio::select! {
                biased;
                read = self.stream.read(&mut buffer) => match read {
                    Ok(0) => return Held::Ended(self.ended(stop).await),
                    Ok(bytes) => {
                        self.unasked += bytes as u64;
                        self.spoke();
                    }
                    Err(error) => return self.broken(&error),
                },
                () = stopped(stop) => return Held::Stopped(self.quiet()),
                () = sleep(left) => {}
            }
        }
    }

    fn broken(&self, error: &io::Error) -> Held {
        if let Some((end, at)) = self.stream.tap().end {
            return Held::Ended(self.end(how(end), at));
        }
        Held::Failed(Failure::Broken { address: self.address, why: printable(&words(error)).into_owned() })
    }

    /// After a read that told of an end.
    async fn ended(&mut self, stop: &mut watch::Receiver<bool>) -> End {
        let is_tls = match self.stream {
            Stream::Plain(_) => false,
            Stream::Tls(_) => true,
        };
        let (end, at) = match (self.stream.tap().end, is_tls) {
            // Without the goodbye of TLS the read would have failed.
            (Some((end, at)), false) => return self.end(how(end), at),
            (Some((end, at)), true) => (Some(end), at),
            (None, _) => {
                let at = self.stream.tap().moved;
                tokio::select! {
                    biased;
                    () = self.until_raw_end() => {}
                    () = stopped(stop) => {}
                    () = sleep(FIN) => {}
                }
                (self.stream.tap().end.map(|(end, _)| end), at)
            }
        };
        let how = match end {
            Some(RawEnd::Fin) => How::NotifyFin,
            Some(RawEnd::Reset) => How::NotifyReset,
            None => How::Notify,
        };
        self.end(how, at)
    }

    async fn until_raw_end(&mut self) {
        let mut buffer = [0; 1_024];
        while self.stream.read_raw(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
    }

    /// Uses it again, after whatever has become of it. Returns how long it was quiet before.
    pub async fn reuse(
        &mut self,
        ask: &Ask,
        before: Option<End>,
        time: Duration,
    ) -> (Duration, Result<Reuse, Failure>) {
        let idle = self.quiet();
        let reuse = match before.map(|end| end.how) {
            Some(how) if how.is_reset() => Ok(Reuse::Reset),
            // The end was read already, and would be read again instead of what the request draws.
            Some(_) => match self.stream.write(ask.bytes()).await {
                Err(_) => Ok(self.without_answer()),
                Ok(()) => Ok(self.drawn_reset().await),
            },
            None => self.exchange_again(ask, time).await,
        };
        (idle, reuse)
    }

    async fn exchange_again(&mut self, ask: &Ask, time: Duration) -> Result<Reuse, Failure> {
        match exchange(self.stream, self.address, ask, time).await {
            Ok(Answer::Http(_) | Answer::Bytes(_)) => Ok(Reuse::Answered),
            Err(Unanswered::Ended { end: RawEnd::Reset, .. }) => Ok(Reuse::Reset),
            Err(Unanswered::Ended { end: RawEnd::Fin, .. }) => Ok(self.drawn_reset().await),
            Err(Unanswered::Late) => Ok(Reuse::Nothing),
            Err(Unanswered::Failed(failure)) => Err(failure),
        }
    }

    /// After a FIN and a request.
    async fn drawn_reset(&self) -> Reuse {
        if timeout(RESET, self.stream.tap().until_reset()).await.unwrap_or(false) {
            Reuse::Reset
        } else {
            self.without_answer()
        }
    }

    fn without_answer(&self) -> Reuse {
        match self.stream.tap().end {
            Some((RawEnd::Reset, _)) => Reuse::Reset,
            Some((RawEnd::Fin, _)) | None => Reuse::Closed,
        }
    }

    /// What is left of a quiet time.
    pub fn left_of(&self, wanted: Duration) -> Duration {
        (self.quiet_from + wanted).saturating_sub(clock::monotonic())
    }

    fn quiet(&self) -> Duration {
        self.since(clock::monotonic())
    }

    /// The peer said something by itself.
    fn spoke(&mut self) {
        let at = self.stream.tap().moved;
        self.longest = self.longest.max(self.since(at));
        if self.since(at) > LAST_WORDS {
            self.quiet_before = Some((self.quiet_from, at));
        }
        self.quiet_from = at;
    }

    /// The quiet before an end. What is said right before it belongs to it.
    fn end(&self, how: How, at: Duration) -> End {
        let last_words = self.quiet_before.filter(|(_, spoke)| at.saturating_sub(*spoke) <= LAST_WORDS);
        let after = last_words.map_or_else(|| self.since(at), |(from, spoke)| spoke.saturating_sub(from));
        End { how, after }
    }

    fn since(&self, moment: Duration) -> Duration {
        moment.saturating_sub(self.quiet_from)
    }
}

const fn how(end: RawEnd) -> How {
    match end {
        RawEnd::Fin => How::Fin,
        RawEnd::Reset => How::Reset,
    }
}
