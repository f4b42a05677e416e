//! What the walker's thread has, and one walk with it.

use std::time::Duration;

use super::enter::{EnterError, Home};
use super::{Question, SIGNAL};
use crate::clock;
use crate::kernel::proc_net;
use crate::kernel::sock_diag::{SockDiag, SockDiagError};
use crate::live::{Listeners, Live, Walk};
use crate::snapshot::{SignalRow, SignalStatus};

/// Why our own namespace was not walked.
#[derive(Debug, thiserror::Error)]
enum OwnError {
    #[error("the number of our own network namespace is not known")]
    Unknown,
    #[error(transparent)]
    SockDiag(#[from] SockDiagError),
}

/// What the thread has.
pub(super) struct Walking {
    open: fn() -> Result<SockDiag, SockDiagError>,
    /// In our own namespace; `None` until it can be opened.
    diag: Option<SockDiag>,
    /// Where to come back to; `None` where no other namespace is entered.
    home: Option<Home>,
    /// How well it works while our own namespace can be walked.
    at_best: SignalRow,
    others: Others,
    /// One warning per life; the signal tells the rest.
    warned: bool,
}

/// What was found in other namespaces when they were walked last.
#[derive(Default)]
struct Others {
    live: Live,
    began: Duration,
    left_out: usize,
}

impl Walking {
    /// Opens what it needs, the socket by `open`.
    pub(super) fn open(enter: bool, open: fn() -> Result<SockDiag, SockDiagError>) -> (Self, SignalRow) {
        let diag = open().and_then(|mut diag| diag.connections(|_| {}).map(|()| diag));
        let home = if enter { Home::here().map(Some) } else { Ok(None) };
        let (status, why, advice) = match &home {
            Ok(Some(_)) => (SignalStatus::Works, String::new(), String::new()),
            Ok(None) => (
                SignalStatus::Degraded,
                "only those of the daemon's own network namespace".to_owned(),
                "run it with --enter-namespaces, which keeps CAP_SYS_ADMIN on one thread".to_owned(),
            ),
            Err(error) => (
                SignalStatus::Degraded,
                format!("only those of the daemon's own network namespace: {error}"),
                "give it CAP_SYS_ADMIN at the start".to_owned(),
            ),
        };
        let at_best =
            SignalRow { signal: SIGNAL, hook: "counters:sock_diag".to_owned(), status, why, advice };
        let (diag, error) = match diag {
            Ok(diag) => (Some(diag), None),
            Err(error) => (None, Some(OwnError::SockDiag(error))),
        };
        let home = home.ok().flatten();
        let walking = Self { open, diag, home, at_best, others: Others::default(), warned: false };
        let signal = walking.signal(error.as_ref());
        (walking, signal)
    }

    /// Whether it enters other namespaces.
    pub(super) const fn enters(&self) -> bool {
        self.home.is_some()
    }

    /// One walk, and how well it works by now. An error says that the thread is in a namespace that is not ours.
    pub(super) fn walk(&mut self, question: &Question) -> Result<(Walk, SignalRow), EnterError> {
        let (began, spent) = (clock::monotonic(), clock::spent_by_thread());
        let Question { own, others } = question;
        let mut live = match others {
            Some(_) => Live::default(),
            None => self.others.live.clone().without(*own),
        };
        let repeated = live.namespaces().collect();
        let failed = self.walk_own(*own, &mut live).err();
        if let Some(others) = others {
            let left_out = self.walk_others(others, &mut live)?;
            self.others = Others { live: live.clone().without(*own), began, left_out };
        }
        if let Some(error) = &failed {
            self.warn(&error.to_string());
        }
        let walk = Walk {
            live,
            at: if others.is_none() && self.others.live.namespaces().len() > 0 {
                self.others.began
            } else {
                began
            },
            began,
            took: clock::monotonic().saturating_sub(began),
            cpu: clock::spent_by_thread().saturating_sub(spent),
            repeated,
            left_out: self.others.left_out + usize::from(failed.is_some()),
        };
        Ok((walk, self.signal(failed.as_ref())))
    }

    /// A socket whose answer failed is opened anew the next time.
    fn walk_own(&mut self, own: Option<u32>, live: &mut Live) -> Result<(), OwnError> {
        let netns = own.ok_or(OwnError::Unknown)?;
        let mut diag = match self.diag.take() {
            Some(diag) => diag,
            None => (self.open)()?,
        };
        walk_whole(&mut diag, netns, live)?;
        self.diag = Some(diag);
        Ok(())
    }

    /// How many were left out.
    fn walk_others(&mut self, others: &[(u32, u32)], live: &mut Live) -> Result<usize, EnterError> {
        let Some(home) = &self.home else { return Ok(others.len()) };
        let (left_out, news) = visit_each(others, |netns, process| {
            home.visit(netns, process, || {
                if has_none() {
                    live.walk(netns);
                    return Ok(());
                }
                // The socket is closed before the next one: an open one would keep a dead container's namespace alive.
                walk_whole(&mut SockDiag::open()?, netns, live)
            })
        })?;
        if let Some(error) = news {
            self.warn(&error.to_string());
        }
        Ok(left_out)
    }

    fn signal(&self, failed: Option<&OwnError>) -> SignalRow {
        match failed {
            None => self.at_best.clone(),
            Some(error) => SignalRow {
                signal: SIGNAL,
                hook: "none".to_owned(),
                status: SignalStatus::Missing,
                why: error.to_string(),
                advice: "load the kernel module tcp_diag".to_owned(),
            },
        }
    }

    fn warn(&mut self, error: &str) {
        if !self.warned {
            self.warned = true;
            tracing::warn!(error, "open connections are unknown, or some of them");
        }
    }
}

/// All open connections of a namespace.
fn walk_whole(diag: &mut SockDiag, netns: u32, live: &mut Live) -> Result<(), SockDiagError> {
    let listeners = diag.listeners()?;
    let listeners = Listeners::of(listeners.sockets.iter().map(|socket| socket.address));
    live.take_in(netns, &listeners, |hand_on| diag.connections(hand_on))
}

/// Whether nobody has a connection in the calling thread's namespace. Looking at its sockets means to go through the table of the whole
/// host. In older kernels `CurrEstab` leaves out what the peer has closed and we have not: there only its exchanges are missing.
fn has_none() -> bool {
    let snmp = std::fs::read_to_string("/proc/thread-self/net/snmp");
    snmp.is_ok_and(|text| proc_net::counters(&text, "Tcp:", ["CurrEstab"]) == [Some(0)])
}

/// How many were left out, and what of that is worth a warning. It ends where there is no way back.
fn visit_each(
    others: &[(u32, u32)],
    mut visit: impl FnMut(u32, u32) -> Result<Result<(), SockDiagError>, EnterError>,
) -> Result<(usize, Option<EnterError>), EnterError> {
    let (mut left_out, mut news) = (0, None);
    for (netns, process) in others {
        match visit(*netns, *process) {
            Ok(Ok(())) => {}
            // Its last process may have ended since, which is no news.
            Ok(Err(_)) | Err(EnterError::Gone(_)) => left_out += 1,
            Err(error @ (EnterError::Home(_) | EnterError::Refused(_))) => {
                left_out += 1;
                news = Some(error);
            }
            Err(error @ EnterError::Return(_)) => return Err(error),
        }
    }
    Ok((left_out, news))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use monitor_common::peer::Role;
    use rustix::io::Errno;

    use super::*;
    use crate::timeouts::Service;

    const OWN: u32 = 1;

    fn no_sock_diag() -> Result<SockDiag, SockDiagError> {
        Err(SockDiagError::Open(Errno::PROTONOSUPPORT))
    }

    fn own(others: Option<Vec<(u32, u32)>>) -> Question {
        Question { own: Some(OWN), others }
    }

    #[test]
    fn without_sock_diag_nothing_is_known_until_it_is_there() {
        let (mut walking, signal) = Walking::open(false, no_sock_diag);
        assert_eq!(signal.status, SignalStatus::Missing);
        let (walk, again) = walking.walk(&own(Some(vec![]))).unwrap();
        assert_eq!((walk.live, walk.left_out, again), (Live::default(), 1, signal));
        // The module was loaded.
        walking.open = SockDiag::open;
        let (walk, signal) = walking.walk(&own(Some(vec![]))).unwrap();
        assert_eq!((walk.live.has_walked(OWN), walk.left_out), (true, 0));
        assert_eq!((signal.status, signal.hook.as_str()), (SignalStatus::Degraded, "counters:sock_diag"));
        let (walk, signal) = walking.walk(&Question { own: None, others: None }).unwrap();
        assert_eq!((walk.left_out, signal.status), (1, SignalStatus::Missing));
    }

    #[test]
    fn a_reader_has_our_own_namespace_walked_and_the_rest_repeated() {
        let (mut walking, _) = Walking::open(false, SockDiag::open);
        walking.others = Others { live: Live::default(), began: Duration::from_secs(3), left_out: 2 };
        walking.others.live.walk(7);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let held = TcpStream::connect(server).unwrap();
        let service =
            Service { netns: OWN, peer: Some(server.ip()), port: server.port(), role: Role::Client };
        let (walk, _) = walking.walk(&own(None)).unwrap();
        assert_eq!(walk.live.of(&service).map(|open| open.open), Some(1));
        assert_eq!(walk.live.namespaces().collect::<Vec<_>>(), [OWN, 7]);
        assert_eq!((walk.repeated.into_iter().collect::<Vec<_>>(), walk.left_out), (vec![7], 2));
        // What is repeated was so then, and not when this walk began.
        assert!(walk.at == Duration::from_secs(3) && walk.began > walk.at);
        drop(held);
        let (walk, _) = walking.walk(&own(Some(vec![(8, 1)]))).unwrap();
        assert_eq!(walk.live.namespaces().collect::<Vec<_>>(), [OWN]);
        assert_eq!((walk.repeated.len(), walk.left_out, walk.at), (0, 1, walk.began));
    }

    #[test]
    fn what_cannot_be_entered_is_left_out_and_no_way_back_is_the_end() {
        let all = [(1, 10), (2, 20), (3, 30), (4, 40), (5, 50)];
        let mut visited = Vec::new();
        let mut visit = |back: Result<(), Errno>| {
            visited.clear();
            let result = visit_each(&all, |netns, _| {
                visited.push(netns);
                match netns {
                    1 => Ok(Ok(())),
                    2 => Ok(Err(SockDiagError::Malformed)),
                    3 => Err(EnterError::Refused(Errno::PERM)),
                    4 => back.map(Ok).map_err(EnterError::Return),
                    _ => Err(EnterError::Gone(std::io::ErrorKind::NotFound.into())),
                }
            });
            (result, visited.clone())
        };
        let (result, visited) = visit(Ok(()));
        let (left_out, news) = result.unwrap();
        assert!(matches!(news, Some(EnterError::Refused(Errno::PERM))) && left_out == 3);
        assert_eq!(visited, [1, 2, 3, 4, 5]);
        let (result, visited) = visit(Err(Errno::INVAL));
        assert!(matches!(result, Err(EnterError::Return(Errno::INVAL))));
        assert_eq!(visited, [1, 2, 3, 4]);
    }
}
