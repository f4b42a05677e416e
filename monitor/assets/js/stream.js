// Events as they come, however many: the newest few are kept as text, and become rows a few times a second. What did not fit is
// counted.

/** Rows on the page. */
export const MOST_EVENTS = 200;

/** At least so long from one drawing to the next: nobody reads faster, and a table of 200 rows takes time to lay out. */
const PACE_MS = 200;
/** The same when so many came that nobody reads them at all. */
const CROWD_PACE_MS = 600;
const CROWD = 50;

const NAMES = ["reset", "idle_close", "listen_overflow", "verdict", "burst"];

/** `show` gets new events, newest last, events that were revised, and how many were left out; with the next frame. */
export function stream(path, { show, state }) {
  const source = new EventSource(path);
  let fresh = [];
  let revised = new Map();
  let skipped = 0;
  let missed = 0;
  let frame = 0;
  let timer = 0;
  let next = 0;
  let paused = false;

  function flush() {
    frame = 0;
    if (paused) return;
    next = performance.now() + (fresh.length > CROWD ? CROWD_PACE_MS : PACE_MS);
    const [events, news] = [fresh.map((text) => JSON.parse(text)), [...revised.values()].map((text) => JSON.parse(text))];
    const left = skipped + missed;
    [fresh, revised, skipped, missed] = [[], new Map(), 0, 0];
    if (events.length || news.length || left) show(events, news, left);
  }

  function wake() {
    if (frame || timer || paused) return;
    timer = setTimeout(() => {
      timer = 0;
      frame = requestAnimationFrame(flush);
    }, Math.max(0, next - performance.now()));
  }

  for (const name of NAMES) {
    source.addEventListener(name, ({ data }) => {
      if (name === "verdict" || name === "burst") {
        // Only what is on the page can change there.
        if (revised.size < MOST_EVENTS) revised.set(data.slice(0, 40), data);
      } else {
        fresh.push(data);
        if (fresh.length > MOST_EVENTS) {
          fresh.shift();
          skipped += 1;
        }
      }
      wake();
    });
  }
  source.addEventListener("lagged", ({ data }) => {
    missed += JSON.parse(data).missed;
    wake();
  });
  source.addEventListener("open", () => state("live"));
  // The browser tries again by itself, unless the answer was a refusal.
  source.addEventListener("error", () => state(source.readyState === EventSource.CLOSED ? "closed" : "lost"));

  return {
    pause(whether) {
      paused = whether;
      wake();
    },
    waiting: () => fresh.length + skipped + missed,
    close() {
      source.close();
      clearTimeout(timer);
      cancelAnimationFrame(frame);
    },
  };
}
