// A table whose rows stay when their key does and change only where they differ: focus, selection and scrolling survive an update.

import { el } from "./dom.js";

/** More rows than anybody reads; the API has the rest. */
export const MOST_ROWS = 200;

/**
 * `columns`: title, `number` for alignment. Rows come with `update`: a key, and cells that are text or `[signature, node]`. Cells may
 * be a function, with the `version` that they are of: it is not called for a row that has it already. A `stacked` one has its cells
 * below each other where there is no room.
 */
export function table(label, columns, { empty, stacked } = {}) {
  const body = el("tbody");
  const heads = columns.map(({ title, hint, number }) =>
    el("th", { scope: "col", class: number && "number", title: hint }, title));
  const node = el("table", { class: stacked && "stacked" }, el("thead", null, el("tr", null, heads)), body);
  const region = el("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" }, node);
  const nothing = el("div", { class: "empty", hidden: true }, empty ?? "Nothing.");
  let known = new Map();

  function update(rows) {
    const next = new Map();
    for (const { key, version, cells, mark } of rows.slice(0, MOST_ROWS)) {
      const row = known.get(key) ?? { tr: el("tr"), signatures: [] };
      next.set(key, row);
      if (version !== undefined && row.version === version) continue;
      row.version = version;
      row.tr.className = mark ?? "";
      const written = typeof cells === "function" ? cells() : cells;
      written.forEach((cell, index) => write(row, index, cell, columns[index]));
    }
    for (const [key, { tr }] of known) if (!next.has(key)) tr.remove();
    let place = body.firstElementChild;
    for (const { tr } of next.values()) {
      if (tr === place) place = place.nextElementSibling;
      else body.insertBefore(tr, place);
    }
    known = next;
    region.hidden = next.size === 0;
    nothing.hidden = next.size > 0;
  }

  return { node: el("div", { class: "table" }, region, nothing), update, nothing };
}

function write(row, index, cell, column) {
  const [signature, child] = Array.isArray(cell) ? cell : [cell, cell];
  if (row.signatures[index] === signature && row.tr.cells[index]) return;
  row.signatures[index] = signature;
  const place = row.tr.cells[index] ?? row.tr.appendChild(el("td", { class: column?.number && "number", "data-title": typeof column?.title === "string" && column.title }));
  place.replaceChildren(...[child].flat().filter((part) => part !== null && part !== undefined));
}
