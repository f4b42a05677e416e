// Every peer, the worst first; a part of them when there are many.

import { el, visible } from "../dom.js";
import { count, endpoint, number, percent } from "../format.js";
import { called, card, filters, whoseNamespace } from "../parts.js";
import { peerLink, query } from "../route.js";
import { MOST_ROWS, table } from "../table.js";

const FIELDS = [
  { name: "peer", title: "peer", hint: "10.0.0.0/24" },
  { name: "port", title: "port", hint: "443" },
  { name: "role", title: "our role", options: ["client", "server"] },
  { name: "sort", title: "sort", options: ["closed", "peer"], any: "resets" },
];

export function peers(root, route, go) {
  const said = el("p", { class: "soft" });
  const rows = table("Peers", [
    { title: "peer" },
    { title: "received", number: true, hint: "resets received" },
    { title: "sent", number: true, hint: "resets sent" },
    { title: "refused", number: true, hint: "refusals received" },
    { title: "reset", number: true, hint: "connections that ended by a reset" },
    { title: "ended", number: true, hint: "connections that ended" },
    { title: "share", number: true, hint: "reset / ended" },
    { title: "open", number: true },
    { title: "idle", number: true, hint: "open and quiet for a second or longer" },
    { title: "causes" },
  ], { empty: "No peer matches. A peer appears with its first connection." });
  root.append(el("h1", null, "Peers"), filters("Which peers", route, FIELDS, go), card(null, said, rows.node));

  function update({ peers: { peers, matching, namespaces } }) {
    said.textContent = matching > peers.length
      ? `${count(matching, "peer")} match; the first ${number(peers.length)} are shown. Counts are since the daemon started.`
      : `${count(matching, "peer")}. Counts are since the daemon started.`;
    const others = new Map(namespaces.map(({ netns, cgroup }) => [netns, whoseNamespace(netns, cgroup)]));
    rows.update(peers.map((peer) => row(peer, others.get(peer.netns) ?? "")));
  }

  return {
    title: "Peers",
    paths: { peers: `/api/v1/peers?limit=${MOST_ROWS}${query(route, ["peer", "port", "role", "sort"])}` },
    update,
  };
}

function row(peer, whose) {
  const causes = Object.entries(peer.causes_sent).concat(Object.entries(peer.causes_received));
  causes.sort(([, one], [, two]) => two - one);
  const text = causes.slice(0, 3).map(([cause, count]) => `${cause} ${number(count)}`).join(", ");
  const plain = peer.peer === "other" || peer.peer === "retired";
  return {
    key: `${peer.peer} ${peer.port} ${peer.role} ${peer.netns}`,
    cells: [
      [`${JSON.stringify(peer.name)} ${peer.peer} ${peer.port} ${whose}`, [...called(peer.name), plain ? peer.peer : peerLink(peer, endpoint(peer.peer, peer.port)), el("span", { class: "soft" }, ` ${peer.role}`), ...(whose ? [el("div", { class: "soft" }, ` our end: ${visible(whose)}`)] : [])]],
      number(peer.resets_received), number(peer.resets_sent), number(peer.refused_received), number(peer.reset), number(peer.closed),
      percent(peer.reset_ratio), number(peer.open), number(peer.idle),
      [text, el("code", null, text)],
    ],
  };
}
