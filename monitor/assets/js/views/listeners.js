// Listening sockets: how full their queues are, and how often one was full.

import { el, outside, set, svg } from "../dom.js";
import { count, endpoint, number } from "../format.js";
import { card, filters, tile, whoseNamespace } from "../parts.js";
import { query } from "../route.js";
import { MOST_ROWS, table } from "../table.js";

export function listeners(root, route, go) {
  const tiles = el("dl", { class: "tiles" });
  const said = el("p", { class: "soft" });
  const rows = table("Listeners", [
    { title: "listener" },
    { title: "queue" },
    { title: "waiting", number: true, hint: "connections that wait to be accepted" },
    { title: "limit", number: true, hint: "how many may wait" },
    { title: "full at SYN", number: true },
    { title: "full at ACK", number: true, hint: "at the last ACK of the handshake" },
    { title: "drops", number: true, hint: "segments and handshakes dropped" },
  ], { empty: "No listening socket matches, or the kernel does not list them." });
  const elsewhere = table("Overflows by listener, of all network namespaces", [
    { title: "listener" }, { title: "whose" }, { title: "full at SYN", number: true }, { title: "full at ACK", number: true },
  ], { empty: "No accept queue was ever full, or no function hook counts it here." });
  root.append(el("h1", null, "Listeners"),
    filters("Which listeners", route, [{ name: "port", title: "port", hint: "8080" }], go),
    card(null, tiles), card(null, said, rows.node), card("Queues that were full, in any namespace", elsewhere.node));

  function update({ listeners: { listeners: sockets, matching, total, listener_drops: drops, overflows, conntrack, time_wait_sockets: waiting } }) {
    set(tiles,
      tile("full queue met", number(total.listen_overflows), "as the kernel counts"),
      tile("dropped by listeners", number(drops)),
      tile("in TIME_WAIT", number(waiting)),
      tile("connections tracked", number(conntrack?.entries), conntrack ? `of ${number(conntrack.limit)}` : "not in use"));
    said.textContent = sockets ? `${count(matching, "socket")}, the fullest first. Counts are since the daemon started.` : "The kernel does not list listening sockets here.";
    rows.update((sockets ?? []).map(row));
    elsewhere.update((overflows ?? []).map(({ addr, port, netns, cgroup, overflows_syn: syn, overflows_ack: ack, open }) => ({
      key: `${addr} ${port} ${netns}`,
      cells: [`${endpoint(addr, port)}${open === false ? " (closed now)" : ""}`, [`${JSON.stringify(cgroup)} ${netns}`, outside(whoseNamespace(netns, cgroup))], number(syn), number(ack)],
    })));
  }

  return { title: "Listeners", paths: { listeners: `/api/v1/listeners?limit=${MOST_ROWS}${query(route, ["port"])}` }, update };
}

function row({ addr, port, backlog, limit, drops, overflows_syn: syn, overflows_ack: ack, inode, interface: index }) {
  return {
    key: inode,
    mark: backlog > limit ? "full" : "",
    cells: [
      `${endpoint(addr, port)}${index === null ? "" : ` on interface ${index}`}`,
      [`${backlog} ${limit}`, queue(backlog, limit)],
      number(backlog), number(limit), number(syn), number(ack), number(drops),
    ],
  };
}

/** A bar; beyond the limit it is full and says so. */
function queue(backlog, limit) {
  const share = limit ? Math.min(1, backlog / limit) : backlog ? 1 : 0;
  const level = backlog > limit ? "wrong" : share >= 0.8 ? "attention" : "quiet";
  return [svg("svg", { class: "queue", role: "img", "aria-label": `${backlog} of ${limit}`, height: 12 },
    svg("rect", { class: "room", x: 0, y: 2, width: "100%", height: 8, rx: 2 }),
    backlog ? svg("rect", { class: level, x: 0, y: 2, width: `${Math.max(1, share * 100)}%`, height: 8, rx: 2 }) : null),
  backlog > limit ? el("span", { class: "soft" }, "full") : null];
}
