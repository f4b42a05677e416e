// The keep-alive audit: for each pair who gives up first, as a picture, the most dangerous ones first.

import { el } from "../dom.js";
import { count, endpoint, number, seconds, signed } from "../format.js";
import { marginPicture, scale } from "../margin.js";
import { badge, called, card, filters } from "../parts.js";
import { peerLink, query } from "../route.js";
import { MOST_ROWS, table } from "../table.js";
import { change } from "./peer.js";

const FIELDS = [
  { name: "peer", title: "peer", hint: "10.0.0.0/24" },
  { name: "port", title: "port", hint: "443" },
  { name: "role", title: "our role", options: ["client", "server"] },
  { name: "all", title: "those not known yet, too", check: true },
];

export function timeouts(root, route, go) {
  const said = el("p", { class: "soft" });
  const rows = table("Keep-alive audit", [
    { title: "verdict" },
    { title: "peer" },
    { title: [scale()] },
    { title: "client", number: true, hint: "after which quiet the client gives up, at the latest" },
    { title: "server", number: true, hint: "after which quiet the server closes, at the earliest" },
    { title: "margin", number: true, hint: "server less client" },
    { title: "open / idle", number: true },
    { title: "change" },
  ], {
    stacked: true,
    empty: ["No pair of timeouts is known yet. One shows when connections that had been quiet are closed, three times by the same side; ",
      el("code", null, "reset-monitor probe HOST:PORT"), " measures one at once."],
  });
  root.append(el("h1", null, "Keep-alive audit"),
    el("p", { class: "soft" }, "A connection is safe when the client (●) gives up before the server (■) does, by five seconds or more. Otherwise a request meets a connection that has just been closed, and the answer is a reset."),
    filters("Which pairs", route, FIELDS, go), card(null, said, rows.node));

  function update({ timeouts: { timeouts: pairs, matching } }) {
    const bad = pairs.filter(({ verdict }) => verdict === "misaligned" || verdict === "tight").length;
    said.textContent = `${count(matching, "pair")}, the most dangerous first; ${number(bad)} to change${matching > pairs.length ? `; the first ${number(pairs.length)} are shown` : ""}.`;
    rows.update(pairs.map(row));
  }

  return {
    title: "Keep-alive audit",
    paths: { timeouts: `/api/v1/timeouts?limit=${MOST_ROWS}${route.all === "true" ? "" : "&known=true"}${query(route, ["peer", "port", "role"])}` },
    update,
  };
}

function row(pair) {
  const name = pair.peer === null ? `clients of our port ${pair.port}` : endpoint(pair.peer, pair.port);
  const numbers = [pair.client_seconds, pair.server_seconds, pair.margin_seconds];
  return {
    key: `${pair.peer} ${pair.port} ${pair.role} ${pair.netns}`,
    cells: [
      [pair.verdict, badge(pair.verdict)],
      [`${JSON.stringify(pair.name)} ${name}`, [...called(pair.name), peerLink(pair, name), el("span", { class: "soft" }, ` ${pair.role}`)]],
      [numbers.join(" "), marginPicture(pair)],
      seconds(pair.client_seconds), seconds(pair.server_seconds), signed(pair.margin_seconds),
      `${number(pair.open)} / ${number(pair.idle)}`,
      [JSON.stringify(pair.change), change(pair) ?? ""],
    ],
  };
}
