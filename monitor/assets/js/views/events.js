// Events as they happen, filtered and held at will. A bounded number of rows; a link keeps the filter.

import { get, Refused } from "../api.js";
import { el, set } from "../dom.js";
import { count, number } from "../format.js";
import { card, EVENT_COLUMNS, eventDetails, eventRow, filters } from "../parts.js";
import { query } from "../route.js";
import { MOST_EVENTS, stream } from "../stream.js";
import { table } from "../table.js";
import { CAUSES } from "../words.js";

const NAMES = ["peer", "port", "direction", "cause", "kind", "idle_closes"];
const KINDS = ["reset_sent", "reset_received", "refused_sent", "refused_received", "stray_sent", "stray_received", "reject_sent",
  "listen_overflow", "idle_close_sent", "idle_close_received"];
const FIELDS = [
  { name: "peer", title: "peer", hint: "10.0.0.0/24" },
  { name: "port", title: "port", hint: "443" },
  { name: "direction", title: "direction", options: ["sent", "received"] },
  { name: "cause", title: "cause", options: CAUSES.filter((cause) => cause !== "unclassified") },
  { name: "kind", title: "kind", options: KINDS },
  { name: "idle_closes", title: "idle closes, too", check: true },
];

export function events(root, route, go, tell) {
  const filter = query(route, NAMES);
  const said = el("p", { class: "soft" });
  const pause = el("button", { type: "button", "aria-pressed": "false", on: { click: () => hold(!paused) } }, "Pause");
  const details = el("div");
  const rows = table("Events", EVENT_COLUMNS, {
    empty: [filter ? "No event that is kept matches; they show here as they happen. " : "No event yet; they show here as they happen. ",
      "To see one: ", el("code", null, "curl http://127.0.0.1:1")],
  });
  root.append(el("h1", null, "Live events"), filters("Which events", route, FIELDS, go), details,
    card(null, el("div", { class: "head" }, said, pause), rows.node));

  const ended = new AbortController();
  let live = null;
  let paused = false;
  let shown = new Map();
  let skipped = 0;
  let state = "starting";

  function draw() {
    rows.update([...shown.values()].toReversed().map((event) => eventRow(event, route)));
    status();
  }

  function status() {
    const waiting = paused ? live?.waiting() ?? 0 : 0;
    const parts = [paused ? `Paused${waiting ? `, ${count(waiting, "event")} waiting` : ""}` : state === "live" ? "Live" : state === "lost" ? "Connection lost; trying again" : state === "closed" ? "Stopped: too many readers, or the filter is refused" : "Starting"];
    parts.push(`${count(shown.size, "event")} shown, newest first, ${MOST_EVENTS} at most`);
    if (skipped) parts.push(`${number(skipped)} came too fast to show`);
    const text = `${parts.join("; ")}.`;
    if (said.textContent !== text) said.textContent = text;
  }

  function hold(whether) {
    paused = whether;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume" : "Pause";
    live?.pause(paused);
    status();
  }

  function take(fresh, revised, left) {
    skipped += left;
    tell({ state: "live" });
    for (const event of fresh) shown.set(event.id, event);
    for (const event of revised) if (shown.has(event.id)) shown.set(event.id, event);
    const surplus = shown.size - MOST_EVENTS;
    if (surplus > 0) for (const id of [...shown.keys()].slice(0, surplus)) shown.delete(id);
    draw();
  }

  async function start() {
    try {
      const kept = await get(`/api/v1/events?limit=${MOST_EVENTS}${filter}`, ended.signal);
      shown = new Map(kept.events.map((event) => [event.id, event]));
      tell({ state: "live" });
      live = stream(`/api/v1/events/stream?after=${kept.newest ?? 0}${filter}`, {
        show: take,
        state(next) {
          state = next;
          tell({ state: next === "live" ? "live" : "lost" });
          status();
        },
      });
      live.pause(paused);
      draw();
    } catch (error) {
      if (ended.signal.aborted) return;
      if (error instanceof Refused) {
        said.textContent = error.message;
        return;
      }
      tell({ state: "lost" });
      setTimeout(() => ended.signal.aborted || start(), 2_000);
    }
  }

  const ticking = setInterval(() => paused && status(), 1_000);
  start();
  if (route.event) {
    get(`/api/v1/events?limit=1&idle_closes=true&after=${Number(route.event) - 1}`, ended.signal)
      .then((answer) => set(details, answer.events[0] ? eventDetails(answer.events[0], { ...route, event: "" }) : el("p", { class: "empty" }, `Event ${route.event} is not kept any more.`)))
      .catch(() => {});
  }

  return {
    title: "Live events",
    paths: null,
    destroy() {
      ended.abort();
      clearInterval(ticking);
      live?.close();
    },
  };
}
