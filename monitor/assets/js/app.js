// The page: one view at a time, chosen by the URL, asked again every few seconds; says when the daemon cannot be reached.

import { el, say, set } from "./dom.js";
import { clock } from "./format.js";
import { poll } from "./poll.js";
import { link, parse, url } from "./route.js";
import { events } from "./views/events.js";
import { listeners } from "./views/listeners.js";
import { overview } from "./views/overview.js";
import { peer } from "./views/peer.js";
import { peers } from "./views/peers.js";
import { signals } from "./views/signals.js";
import { timeouts } from "./views/timeouts.js";

const VIEWS = { overview, peers, events, timeouts, listeners, signals, peer };
const TABS = [
  ["overview", "Overview"], ["peers", "Peers"], ["events", "Live events"], ["timeouts", "Keep-alive"], ["listeners", "Listeners"], ["signals", "Signals"],
];

const [view, nav, banner, connection, footer] = ["view", "nav", "banner", "link", "footer"].map((id) => document.getElementById(id));
let leave = () => {};
let lastAnswer = null;

function show(isFirst) {
  leave();
  const route = parse(location.search);
  const make = VIEWS[route.view] ?? VIEWS.overview;
  set(nav, ...TABS.map(([name, title]) => link({ view: name },
    { "aria-current": name === route.view || (name === "peers" && route.view === "peer") ? "page" : null }, title)));
  view.replaceChildren();
  view.className = "waiting";
  lastAnswer = null;
  const made = make(view, route, go, tell);
  document.title = `${made.title} · reset-monitor`;
  if (!isFirst) view.focus({ preventScroll: true });
  const stop = made.paths
    ? poll({
      paths: made.paths,
      show(answers) {
        made.update(answers);
        tell({ state: "live" });
      },
      refuse: (error) => tell({ state: "refused", message: error.message }),
      lost: () => tell({ state: "lost" }),
    })
    : () => {};
  leave = () => {
    stop();
    made.destroy?.();
  };
}

/** Says how current the page is. What is shown stays, marked as old. */
function tell({ state, message }) {
  if (state === "live") {
    lastAnswer = new Date();
    view.className = "";
  }
  const old = lastAnswer ? `What is shown is from ${clock(lastAnswer)}.` : "Nothing was shown yet.";
  const text = { live: "", lost: `Cannot reach the daemon; trying again. ${old}`, refused: message }[state];
  banner.hidden = !text;
  say(banner, text);
  view.classList.toggle("stale", state === "lost" && lastAnswer !== null);
  view.classList.toggle("waiting", lastAnswer === null && state === "live");
  say(connection, state === "live" ? `● live, ${clock(lastAnswer)}` : state === "lost" ? "○ no connection" : "○ refused");
  connection.dataset.state = state;
}

function go(route) {
  history.pushState(null, "", url(route));
  show(false);
}

document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[data-route]");
  if (!anchor || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (anchor.href !== location.href) history.pushState(null, "", anchor.href);
  show(false);
});
addEventListener("popstate", () => show(false));

footer.append(el("p", null, "Also: ", ...["/metrics", "/api/v1/overview", "/api/v1/peers", "/api/v1/events", "/api/v1/history"]
  .flatMap((path) => [el("a", { href: path }, path), " "])));
show(true);
