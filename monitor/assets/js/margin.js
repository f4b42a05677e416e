// Both timeouts of a pair on one scale: the client's dot should be left of the server's square, by five seconds or more.

import { svg } from "./dom.js";
import { mark, seconds, signed } from "./format.js";

/** The scale: these are drawn equally far apart. */
const TICKS = [1, 5, 15, 30, 60, 120, 300, 900, 3600];

/** Where a time is, in percent. */
function place(value) {
  if (value <= TICKS[0]) return 2;
  const at = TICKS.findIndex((tick) => value <= tick);
  if (at < 0) return 98;
  const [from, to] = [TICKS[at - 1], TICKS[at]];
  const share = (Math.log(value) - Math.log(from)) / (Math.log(to) - Math.log(from));
  return 2 + ((at - 1 + share) / (TICKS.length - 1)) * 96;
}

export function scale() {
  return svg("svg", { class: "scale", "aria-hidden": "true", height: 16 },
    ...TICKS.map((tick) => svg("text", { x: `${place(tick)}%`, y: 12, "text-anchor": "middle" }, mark(tick))));
}

export function marginPicture({ client_seconds: client, server_seconds: server, margin_seconds: margin, verdict }) {
  const label = client === null && server === null
    ? "neither timeout is known"
    : `client ${seconds(client)}, server ${seconds(server)}, margin ${signed(margin)}, ${verdict}`;
  const parts = TICKS.map((tick) => svg("line", { class: "tick", x1: `${place(tick)}%`, x2: `${place(tick)}%`, y1: 1, y2: 29 }));
  // A lane for each, so that which is left of which shows even when they are close.
  if (client !== null && server !== null) {
    const [left, right] = [place(client), place(server)].sort((one, two) => one - two);
    parts.push(svg("rect", { class: `gap ${verdict}`, x: `${left}%`, width: `${Math.max(0.5, right - left)}%`, y: 12, height: 6 }));
  }
  if (client !== null) {
    parts.push(svg("circle", { class: "client", cx: `${place(client)}%`, cy: 8, r: 5 }));
  }
  if (server !== null) {
    parts.push(svg("svg", { x: `${place(server)}%`, overflow: "visible" }, svg("rect", { class: "server", x: -5, y: 17, width: 10, height: 10 })));
  }
  return svg("svg", { class: "margin", role: "img", "aria-label": label, height: 30 }, ...parts);
}
