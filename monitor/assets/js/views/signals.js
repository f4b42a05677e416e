// How well this kernel serves us, and whether our own account is even.

import { el, outside, set } from "../dom.js";
import { number, seconds } from "../format.js";
import { badge, card, tile } from "../parts.js";
import { table } from "../table.js";

export function signals(root) {
  const tiles = el("dl", { class: "tiles" });
  const rows = table("Signals", [{ title: "status" }, { title: "signal" }, { title: "hook" }, { title: "why, and what to do" }]);
  const stories = table("Stories by kind", [
    { title: "kind" }, { title: "seen", number: true }, { title: "told", number: true }, { title: "lost", number: true }, { title: "suppressed", number: true },
  ]);
  const fills = table("How full bounded things are", [{ title: "what" }, { title: "used", number: true }, { title: "of", number: true }]);
  root.append(el("h1", null, "Signals"), card(null, tiles), card("What serves each signal", rows.node),
    el("div", { class: "columns" }, card("Stories by kind", stories.node), card("How full bounded things are", fills.node)));

  function update({ signals: { signals: all, kernel }, status }) {
    set(tiles,
      tile("kernel", outside(kernel)), tile("version", status.version), tile("watching for", seconds(Math.floor(status.uptime_seconds))),
      tile("resets counted differently", number(status.unattributed), "than by the kernel's OutRsts"),
      tile("overflows counted differently", number(status.unattributed_overflows)),
      tile("records not understood", number(status.undecodable)));
    rows.update(all.map(({ signal, hook, status: how, why, advice }) => ({
      key: signal,
      cells: [[how, badge(how)], [signal, el("code", null, signal)], [hook, el("code", null, hook)], [why, advice].filter(Boolean).join("; ")],
    })));
    stories.update(Object.entries(status.stories).map(([kind, { seen, decoded, lost, suppressed }]) => ({
      key: kind,
      cells: [[kind, el("code", null, kind)], number(seen), number(decoded), number(lost), number(suppressed)],
    })));
    fills.update(Object.entries(status.fills).map(([name, { used, capacity }]) => ({
      key: name,
      cells: [[name, el("code", null, name)], number(used), number(capacity)],
    })));
  }

  return { title: "Signals", paths: { signals: "/api/v1/signals", status: "/api/v1/status" }, update };
}
