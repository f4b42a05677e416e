//! Asks the daemon for what the screen needs. The only part that talks to it; what it may hold back is one picture and a bounded queue.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::peer::Key;
use super::picture::Answers;
use super::state::detail::{About, EVENTS};
use super::state::table::{Asked, Page};
use super::state::{News, Wanted};
use crate::command::client::sse::Message;
use crate::command::client::{ClientError, Server};
use crate::view::explain::ExplainView;
use crate::view::timeouts::TimeoutsView;
use crate::view::{EventsView, LaggedView};

/// Firing alerts that the header names.
const ALERTS: usize = 3;
/// A diagnosis looks at every event that the daemon keeps, so it is asked for less often than counts.
const EXPLAIN_EVERY: Duration = Duration::from_secs(5);

/// Nobody takes the news any more.
struct Left;

/// Asks for pictures, one after the other, and for other rows as soon as they are wanted.
pub async fn pictures(
    server: Arc<Server>,
    mut wanted: watch::Receiver<Wanted>,
    interval: Duration,
    news: mpsc::Sender<News>,
) {
    loop {
        let mut rows = wanted.borrow_and_update().rows;
        if news.send(picture(&server, rows).await).await.is_err() {
            return;
        }
        let next = sleep(interval);
        tokio::pin!(next);
        loop {
            let wants = wanted.borrow_and_update().clone();
            if wants.rows != rows {
                rows = wants.rows;
                let page = page(&server, rows).await.map(Box::new);
                let page = page.map_or_else(|error| trouble(&error), News::Page);
                if news.send(page).await.is_err() {
                    return;
                }
                continue;
            }
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = &mut next, if !wants.paused => break,
            }
        }
    }
}

async fn picture(server: &Server, rows: Asked) -> News {
    let alerts = format!("/api/v1/alerts?state=firing&limit={ALERTS}");
    let answers = tokio::try_join!(
        server.get("/api/v1/status"),
        server.get(&alerts),
        server.get("/api/v1/events?limit=1"),
        page(server, rows),
    );
    match answers {
        Ok((status, alerts, events, page)) => {
            News::Picture(Box::new(Answers { status, alerts, events }), Box::new(page))
        }
        Err(error) => trouble(&error),
    }
}

async fn page(server: &Server, asked: Asked) -> Result<Page, ClientError> {
    Ok(Page { asked, answer: server.get(&asked.path()).await? })
}

fn trouble(error: &ClientError) -> News {
    News::Trouble(error.to_string())
}

/// Tells everything about the one peer that is looked at, and its events as they happen.
pub async fn details(
    server: Arc<Server>,
    mut wanted: watch::Receiver<Wanted>,
    interval: Duration,
    news: mpsc::Sender<News>,
) {
    loop {
        let Some(key) = wanted.borrow_and_update().detail.clone() else {
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        };
        let teller = Teller { server: &server, news: &news, key: &key };
        let left = |wanted: &Wanted| wanted.detail.as_ref() != Some(&key);
        let mut others = wanted.clone();
        tokio::select! {
            gone = others.wait_for(left) => if gone.is_err() { return },
            Left = teller.tell(wanted.clone(), interval) => return,
        }
    }
}

struct Teller<'a> {
    server: &'a Server,
    news: &'a mpsc::Sender<News>,
    key: &'a Key,
}

impl Teller<'_> {
    async fn say(&self, about: About) -> Result<(), Left> {
        self.news.send(News::About(self.key.clone(), Box::new(about))).await.or(Err(Left))
    }

    /// Goes on until nobody takes it.
    async fn tell(&self, wanted: watch::Receiver<Wanted>, interval: Duration) -> Left {
        loop {
            let told = async {
                if let Err(error) = self.once(wanted.clone(), interval).await? {
                    self.say(About::Broken(error.to_string())).await?;
                }
                Ok::<(), Left>(())
            };
            if let Err(left) = told.await {
                return left;
            }
            sleep(interval).await;
        }
    }

    /// The past, then what happens, until the stream breaks off.
    async fn once(
        &self,
        mut wanted: watch::Receiver<Wanted>,
        interval: Duration,
    ) -> Result<Result<(), ClientError>, Left> {
        self.explain().await?;
        let query = self.events_query();
        let past: EventsView = match self.server.get(&format!("/api/v1/events?limit={EVENTS}{query}")).await {
            Ok(past) => past,
            Err(error) => return Ok(Err(error)),
        };
        let next = past.next;
        self.say(About::Past(past.events)).await?;
        let stream = format!("/api/v1/events/stream?after={next}{query}");
        let mut messages = match self.server.stream(&stream).await {
            Ok(messages) => messages,
            Err(error) => return Ok(Err(error)),
        };
        self.say(About::Live).await?;
        let every = interval.max(EXPLAIN_EVERY);
        let mut again = Box::pin(sleep(every));
        loop {
            let paused = wanted.borrow_and_update().paused;
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return Err(Left) },
                message = messages.next(), if !paused => match message {
                    Ok(Some(message)) => self.message(&message).await?,
                    Ok(None) => return Ok(Err(self.server.stream_ended())),
                    Err(error) => return Ok(Err(self.server.stream_failed(error))),
                },
                () = &mut again, if !paused => {
                    self.explain().await?;
                    again = Box::pin(sleep(every));
                }
            }
        }
    }

    async fn explain(&self) -> Result<(), Left> {
        let query = self.key.to_query();
        let explained = self.server.get::<ExplainView>(&format!("/api/v1/explain?limit=1{query}")).await;
        self.say(match explained {
            Ok(answer) => About::Explained(Box::new(answer)),
            Err(error) => About::Unknown(error.to_string()),
        })
        .await?;
        // Only addresses have timeouts; a refusal of any other is no news.
        match self.server.get::<TimeoutsView>(&format!("/api/v1/timeouts?limit=1{query}")).await {
            Ok(answer) => self.say(About::Timeouts(answer.timeouts)).await,
            Err(_) => Ok(()),
        }
    }

    /// Events have neither role nor namespace as filters; the screen leaves out what is not the peer's.
    fn events_query(&self) -> String {
        Key { role: String::new(), netns: None, ..self.key.clone() }.to_query().replace("&role=", "")
    }

    async fn message(&self, message: &Message) -> Result<(), Left> {
        let about = match message.event.as_str() {
            "lagged" => {
                serde_json::from_str(&message.data).map(|LaggedView { missed }| About::Missed(missed))
            }
            "reset" | "verdict" | "burst" | "listen_overflow" => {
                serde_json::from_str(&message.data).map(|event| About::Event(Box::new(event)))
            }
            // Newer servers may tell more.
            _ => return Ok(()),
        };
        match about {
            Ok(about) => self.say(about).await,
            Err(_) => self.say(About::Missed(1)).await,
        }
    }
}
