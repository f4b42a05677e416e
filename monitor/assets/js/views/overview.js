// Is anything wrong, with whom, why, and what to change; then the last hours, the peers with the most resets, alerts and health.

import { el, outside, set } from "../dom.js";
import { clock, count, endpoint, number, percent, seconds } from "../format.js";
import { badge, card, choice, tile } from "../parts.js";
import { pastCharts, range, RANGES } from "../past.js";
import { link, peerLink } from "../route.js";
import { table } from "../table.js";

/** Alerts that are shown unasked, the worst ones. */
const FEW_ALERTS = 6;

const TITLES = { quiet: "Nothing wrong", attention: "Worth a look", wrong: "Something is wrong" };

export function overview(root, route) {
  const wanted = range(route);
  const verdict = el("section", { class: "verdict" });
  const tiles = el("dl", { class: "tiles" });
  const charts = pastCharts();
  const peers = table("Peers with the most resets", [
    { title: "peer" },
    { title: "resets", number: true, hint: "sent and received" },
    { title: "reset", number: true, hint: "connections that ended by a reset" },
    { title: "ended", number: true, hint: "connections that ended" },
    { title: "share", number: true, hint: "reset / ended" },
    { title: "main cause" },
  ]);
  const alerts = table("Alerts", [{ title: "state" }, { title: "alert" }, { title: "about" }, { title: "since" }],
    { empty: "No alert is firing or pending." });
  const more = el("p", { class: "more" });
  const health = el("div");
  const last = table("Last events", [{ title: "time" }, { title: "peer" }, { title: "cause" }], { empty: "None yet." });

  root.append(
    verdict,
    card(null, tiles),
    el("div", { class: "head" }, el("h2", null, "The last hours"),
      choice("How far back", wanted.name, RANGES, (name) => ({ ...route, range: name === RANGES[0].name ? "" : name }))),
    card(null, charts.node),
    el("div", { class: "columns" },
      card(`Peers with the most resets, last ${wanted.title}`, peers.node, el("p", { class: "more" }, link({ view: "peers" }, null, "All peers"))),
      el("div", null, card("Last events", last.node, el("p", { class: "more" }, link({ view: "events" }, null, "Live events"))),
        card("How well this kernel serves us", health))),
    card("Alerts", alerts.node, more),
  );

  function update({ overview: now, history, alerts: said, events: { events } }) {
    set(verdict, ...verdictOf(now));
    verdict.className = `verdict ${now.state}`;
    set(tiles, ...tilesOf(now));
    charts.update(history, history.total, wanted);
    set(peers.nothing, `No resets of a peer in the last ${wanted.title}. A first one: `, el("code", null, "curl http://127.0.0.1:1"),
      ", a connection that is refused.");
    peers.update(history.peers.filter(({ past }) => past && resetsOf(past.sums) > 0).map(peerRow));
    const current = said.alerts.filter(({ state }) => state !== "resolved");
    alerts.update(current.slice(0, route.alerts === "all" ? undefined : FEW_ALERTS).map(alertRow));
    set(more, current.length > FEW_ALERTS && route.alerts !== "all" ? link({ ...route, alerts: "all" }, null, `All ${current.length}`) : null);
    last.update(events.toReversed().map(eventRow));
    set(health, ...healthOf(now.health));
  }

  return {
    title: "Overview",
    paths: {
      overview: "/api/v1/overview",
      history: `/api/v1/history?step=${wanted.step}&limit=12`,
      alerts: "/api/v1/alerts?limit=100",
      events: "/api/v1/events?limit=6",
    },
    update,
    destroy: charts.destroy,
  };
}

function verdictOf({ state, headline, why, change, subject }) {
  return [
    el("p", { class: "kicker" }, badge(state), " ", TITLES[state] ?? state),
    el("h1", null, outside(headline)),
    why && el("p", null, el("b", null, "Why "), outside(why)),
    change && el("p", null, el("b", null, "What to change "), outside(change)),
    subject && el("p", { class: "more" }, peerLink(subject, `Evidence and settings for ${endpoint(subject.peer, subject.port)}`)),
  ];
}

function tilesOf({ recent, open, peers, firing, pending, misaligned, window_seconds: window, uptime_seconds: uptime }) {
  const last = `last ${seconds(Math.min(window, Math.floor(uptime)))}`;
  return [
    tile("connections reset", number(recent.reset), last),
    tile("share of those that ended", percent(recent.connection_ratio), `${number(recent.closed)} ended`),
    tile("share of exchanges", percent(recent.exchange_ratio), `${number(recent.exchanges)} exchanges`),
    tile("full accept queue met", number(recent.overflows), el("span", null, link({ view: "listeners" }, null, "listeners"))),
    tile("open connections", number(open), count(peers, "peer")),
    tile("alerts firing", number(firing), `${number(pending)} pending`),
    tile("misaligned timeouts", number(misaligned), el("span", null, link({ view: "timeouts" }, null, "audit"))),
  ];
}

function resetsOf({ resets_sent: sent, resets_received: received }) {
  return [...Object.values(sent), ...Object.values(received)].reduce((sum, one) => sum + one, 0);
}

function peerRow({ peer, port, role, past: { sums } }) {
  const resets = resetsOf(sums);
  return {
    key: `${peer} ${port} ${role}`,
    cells: [
      [`${peer} ${port} ${role}`, [peer === "other" ? "other peers" : peerLink({ peer, port, role }, endpoint(peer, port)), el("span", { class: "soft" }, ` ${role}`)]],
      number(resets), number(sums.reset), number(sums.closed), percent(sums.connection_ratio),
      [sums.main_cause, el("code", null, sums.main_cause ?? "")],
    ],
  };
}

function eventRow(event) {
  const of = event.peer ?? { peer: event.remote.addr, port: event.local.port };
  return {
    key: event.id,
    version: `${event.cause} ${event.final}`,
    cells: () => [
      [event.time, link({ view: "events", event: event.id }, null, clock(event.time))],
      [`${of.peer} ${of.port}`, event.peer ? peerLink(event.peer, endpoint(of.peer, of.port)) : endpoint(of.peer, of.port)],
      [event.cause, [el("code", null, event.cause ?? ""), el("span", { class: "soft" }, ` ${event.direction}`)]],
    ],
  };
}

function alertRow({ alert, state, severity, labels, annotations, since }) {
  const about = labels.peer ? endpoint(labels.peer, labels.port) : labels.listener ?? labels.signal ?? (labels.port ? `port ${labels.port}` : "this host");
  return {
    key: `${alert} ${JSON.stringify(labels)}`,
    cells: [
      [`${state} ${severity}`, [badge(state), el("span", { class: "soft" }, ` ${severity}`)]],
      [annotations.description, [el("span", { title: annotations.summary }, alert), el("small", null, outside(annotations.description))]],
      [about, labels.peer ? peerLink(labels, about) : outside(about)],
      clock(since),
    ],
  };
}

function healthOf({ works, degraded, missing, lost, unattributed }) {
  return [
    el("p", null, badge(missing ? "missing" : degraded ? "degraded" : "works"), ` ${number(works)} of ${number(works + degraded + missing)} signals work`,
      degraded ? `, ${number(degraded)} in part` : "", missing ? `, ${number(missing)} are missing` : "", "."),
    el("p", null, `Stories lost: ${number(lost)}. Resets and overflows that the kernel counted differently: ${number(unattributed)}.`),
    el("p", { class: "more" }, link({ view: "signals" }, null, "Signals, and what to do")),
  ];
}
