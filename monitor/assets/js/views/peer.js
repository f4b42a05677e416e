// One peer: the verdict and the fix first, then when, after which quiet, on what evidence, and the last events.

import { el, outside, set } from "../dom.js";
import { clock, count, endpoint, number, percent, seconds, signed } from "../format.js";
import { idleChart } from "../idle.js";
import { marginPicture, scale } from "../margin.js";
import { badge, called, card, choice, EVENT_COLUMNS, eventDetails, eventRow, whoseNamespace } from "../parts.js";
import { pastCharts, range, RANGES } from "../past.js";
import { link, peerLink, query } from "../route.js";
import { table } from "../table.js";
import { meaning } from "../words.js";

const NAMES = ["peer", "port", "role", "netns"];

export function peer(root, route) {
  const wanted = range(route);
  const name = endpoint(route.peer ?? null, route.port ?? null);
  const verdict = el("section", { class: "verdict" });
  const fixes = el("div");
  const tiles = el("dl", { class: "tiles" });
  const charts = pastCharts();
  const whose = el("p", { class: "soft" });
  const past = el("div", null, whose, charts.node);
  const idle = idleChart();
  const margins = el("div");
  const evidence = table("Evidence by cause", [
    { title: "cause" }, { title: "resets", number: true }, { title: "idle before", number: true }, { title: "confidence" },
    { title: "the application saw" }, { title: "on this host" }, { title: "last" },
  ], { empty: "No reset, overflow or refusal is known of this peer." });
  const unseen = el("div");
  const events = table("Last events", EVENT_COLUMNS, { empty: "None is kept. They come with the next reset." });
  const details = el("div");

  root.append(
    el("p", { class: "crumb" }, link({ view: "peers" }, null, "Peers"), " / ", outside(name), route.role ? ` as ${route.role}` : ""),
    verdict, fixes,
    card(null, tiles),
    el("div", { class: "head" }, el("h2", null, "When"),
      choice("How far back", wanted.name, RANGES, (range) => ({ ...route, range: range === RANGES[0].name ? "" : range }))),
    card(null, past),
    el("div", { class: "columns" }, card("Idle time before the reset", idle.node), card("Who gives up first", margins)),
    card("Evidence by cause", evidence.node, unseen),
    details,
    card("Last events", events.node, el("p", { class: "more" },
      link({ view: "events", peer: route.peer, port: route.port }, null, "Follow them live"))),
  );

  function update({ explain, history, timeouts, events: kept, event }) {
    const found = explain.diagnoses[0];
    const pair = timeouts.timeouts[0];
    set(verdict, ...verdictOf(name, found, explain));
    verdict.className = `verdict ${stateOf(found)}`;
    set(fixes, ...found.fixes.map(fixOf));
    set(tiles, ...tilesOf(found));
    const of = history.peers.find(({ port }) => String(port) === String(found.port)) ?? history.peers[0];
    set(whose, ...(of && history.matching > 1
      ? ["Of ", peerLink(of, endpoint(of.peer, of.port)), ` as ${of.role}, with the most resets of the ${number(history.matching)} that match; idle times, too.`]
      : []));
    charts.update(history, of?.past ?? null, wanted);
    idle.update(of?.idle_before_reset ?? null, pair);
    set(margins, ...marginsOf(timeouts.timeouts));
    evidence.update(found.evidence.map(evidenceRow));
    set(unseen, ...found.unseen.map(({ signal, status, why, advice }) =>
      el("p", { class: "soft" }, badge(status), " ", el("code", null, signal), ` ${[why, advice].filter(Boolean).join("; ")}`)));
    events.update(kept.events.toReversed().map((one) => eventRow(one, route)));
    set(details, event?.events[0] ? eventDetails(event.events[0], { ...route, event: "" }) : null);
  }

  const which = query(route, NAMES);
  const few = query(route, ["peer", "port", "role"]);
  return {
    title: name,
    paths: {
      explain: `/api/v1/explain?limit=1${which}`,
      history: `/api/v1/history?step=${wanted.step}&limit=1${few}`,
      timeouts: `/api/v1/timeouts?limit=5${which}`,
      events: `/api/v1/events?limit=25&idle_closes=true${query(route, ["peer", "port"])}`,
      ...(route.event ? { event: `/api/v1/events?limit=1&idle_closes=true&after=${Number(route.event) - 1}` } : {}),
    },
    update,
    destroy() {
      charts.destroy();
      idle.destroy();
    },
  };
}

function stateOf({ verdict: { finding } }) {
  return finding === "resets" || finding === "overflows_only" ? "attention" : "quiet";
}

function verdictOf(name, { name: named, verdict, peers, role, netns, cgroup }, { matching, since }) {
  const whose = whoseNamespace(netns, cgroup);
  return [
    el("p", { class: "kicker" }, ...called(named), el("b", null, outside(name)),
      ` as ${role}`, ...(whose ? ["; our end: ", outside(whose)] : []), `${peers > 1 ? `, ${count(peers, "peer")}` : ""}; counted since ${clock(since)}`,
      matching > 1 ? `; the worst of ${number(matching)} that match` : ""),
    el("h1", null, outside(verdict.sentence)),
    verdict.cause && el("p", null, el("code", null, verdict.cause), ` ${meaning(verdict.cause)}`,
      verdict.confidence ? `; ${verdict.confidence}` : "", `; ${number(verdict.count)} of ${number(verdict.of)} ${verdict.direction ?? ""}`),
  ];
}

function fixOf({ cause, direction, advice, settings }) {
  return el("section", { class: "card fix" },
    el("h2", null, "What to change", el("span", { class: "soft" }, ` for ${cause}, ${direction}`)),
    el("p", null, outside(advice)),
    ...["client", "server", "path"].map((side) => settingsOf(side, settings.filter((one) => one.side === side))));
}

/** Lines to paste, at one end. */
function settingsOf(side, settings) {
  if (!settings.length) return null;
  const names = [...new Set(settings.map(({ software }) => software))].join(", ");
  return el("details", null,
    el("summary", null, `At the ${side}: ${names}`),
    el("div", { class: "settings" }, ...settings.map(({ software, setting, where }) => el("div", null,
      el("h3", null, software), el("pre", null, ...lines(setting)), el("p", { class: "soft" }, outside(where))))));
}

/** Lines stay lines, since they are to be pasted; whatever else is invisible in them shows. */
function lines(text) {
  return text.split("\n").flatMap((line, index) => (index ? ["\n", outside(line)] : [outside(line)]));
}

function tilesOf({ counts, verdict }) {
  return [
    ["resets received", counts.resets_received], ["resets sent", counts.resets_sent], ["refused", counts.refused_received],
    ["connections reset", counts.reset], ["ended", counts.closed], ["aborted on purpose", counts.aborted],
  ].map(([label, value]) => [label, number(value)])
    .concat([["share of ended", percent(verdict.connection_ratio)], ["share of exchanges", percent(verdict.exchange_ratio)]])
    .map(([label, value]) => el("div", { class: "tile" }, el("dt", null, label), el("dd", null, value)));
}

function marginsOf(rows) {
  if (!rows.length) {
    return [el("p", { class: "empty" }, "No quiet connection of this peer was closed yet. Its timeouts show after three; ",
      el("code", null, "reset-monitor probe"), " measures one at once.")];
  }
  return [scale(), ...rows.map((row) => el("div", { class: "pair" },
    marginPicture(row),
    el("p", null, badge(row.verdict), ` client ${seconds(row.client_seconds)}, server ${seconds(row.server_seconds)}, margin ${signed(row.margin_seconds)}`),
    change(row))),
  el("p", { class: "soft" }, "● the client gives up, ■ the server closes. Safe is ● left of ■ by five seconds or more.")];
}

export function change({ change: what }) {
  if (!what) return null;
  const parts = [];
  if (what.client_at_most_seconds !== null) parts.push(`the client's idle timeout to ${what.client_at_most_seconds} s at most`);
  if (what.server_at_least_seconds !== null) parts.push(`the server's to ${what.server_at_least_seconds} s at least`);
  return parts.length ? el("p", null, el("b", null, "Set "), parts.join(", or ")) : null;
}

function evidenceRow(one) {
  const list = (counts) => Object.entries(counts).map(([name, count]) => `${name} ${number(count)}`).join(", ");
  const here = one.here.concat(one.owners.map(({ comm, pid, count }) => `${comm}[${pid}] ×${count}`));
  const shown = [...new Set(here)].slice(0, 4);
  return {
    key: `${one.cause} ${one.direction}`,
    cells: [
      [`${one.cause} ${one.direction}`, [el("code", null, one.cause), el("span", { class: "soft" }, ` ${one.direction}`), el("small", null, meaning(one.cause))]],
      number(one.count),
      one.idle ? (one.idle.min === one.idle.max ? seconds(one.idle.min) : `${seconds(one.idle.min)} to ${seconds(one.idle.max)}`) : seconds(null),
      list(one.confidence), list(one.app_saw),
      [shown.join("\n"), shown.map((text) => el("div", null, outside(text)))],
      one.last ? clock(one.last) : "",
    ],
  };
}
