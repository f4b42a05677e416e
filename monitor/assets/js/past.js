// The last hours as charts: resets by cause, stacked, and the share of connections that were reset; what nobody watched is hatched.

import { el, set, say } from "./dom.js";
import { clock, moments, number, percent } from "./format.js";
import { axis, BELOW, CURSOR, PADDING, plot } from "./plot.js";
import { colour, fill, swatch } from "./theme.js";
import { CAUSES, look, meaning } from "./words.js";

/** What is kept, and how finely. */
export const RANGES = [
  { name: "30m", step: 10, seconds: 1_800, title: "30 min" },
  { name: "6h", step: 60, seconds: 21_600, title: "6 h" },
  { name: "24h", step: 300, seconds: 86_400, title: "24 h" },
];

/** More causes than these are one of `other causes`; the table has them all. */
const MOST_CAUSES = 6;
const TABLE_ROWS = 100;
/** A daemon that is young shows no more than it can know, but at least this. */
const LEAST_SECONDS = 300;

export function range(route) {
  return RANGES.find(({ name }) => name === route.range) ?? RANGES[0];
}

export function pastCharts() {
  const resets = plot("Resets by cause", 180);
  const ratio = plot("Share of ended connections that were reset", 100);
  const legend = el("ul", { class: "legend" });
  const readout = el("p", { class: "readout" });
  const numbers = el("tbody");
  const details = el("details", { on: { toggle: () => fillTable() } },
    el("summary", null, "The same as a table"),
    el("div", { class: "scroll tall", role: "region", tabindex: "0", "aria-label": "Resets by interval" },
      el("table", null, el("thead", null, el("tr", null,
        ...["from", "resets", "causes", "reset", "ended", "share"].map((title) => el("th", { scope: "col" }, title)))), numbers)));
  let shown = null;

  function update(history, past, wanted) {
    shown = { ...rows(history, past), step: history.step_seconds };
    const watched = shown.end - Math.floor(Date.parse(history.since) / 1000);
    shown.start = shown.end - Math.min(wanted.seconds, Math.max(LEAST_SECONDS, watched));
    const causes = shown.causes.map(({ cause }) => cause).join(" ");
    const key = `${causes} ${wanted.name}`;
    const xs = shown.points.map(({ from }) => from);
    // Of a stack the whole is drawn first, and what is below over it.
    const sums = xs.map(() => 0);
    const stacked = [...shown.causes].reverse().map(({ values }) =>
      values.map((value, at) => (value === null ? null : (sums[at] += value)))).reverse();
    resets.update({
      key,
      data: [xs, ...stacked],
      summary: `${number(shown.total)} in the last ${wanted.title}${shown.causes.map(({ cause, total }) => `; ${cause} ${number(total)}`).join("")}`,
      options: () => options(shown.causes, () => shown, () => [shown.start, shown.end], sayAt),
    });
    ratio.update({
      key,
      data: [xs.map((from) => from + shown.step / 2), shown.points.map(({ share }) => (share === null ? null : share * 100))],
      summary: `${percent(past?.sums.connection_ratio)} over the last ${wanted.title}`,
      options: () => ratioOptions(() => shown, () => [shown.start, shown.end], sayAt),
    });
    set(legend, ...shown.causes.map(({ cause, total }) => el("li", null,
      swatch(look(cause).variable, look(cause).pattern), el("code", null, cause), " ", el("b", null, number(total)),
      el("span", { class: "soft" }, ` ${meaning(cause)}`))));
    if (!readout.dataset.at) say(readout, shown.total ? "Point at a bar for its numbers." : "No reset in this time.");
    fillTable();
  }

  function sayAt(at) {
    const point = at === null || at === undefined ? null : shown.points[at];
    readout.dataset.at = point ? at : "";
    if (!point) return;
    const causes = point.causes.map(([cause, count]) => `${cause} ${number(count)}`).join(", ");
    say(readout, point.known
      ? `${clock(point.from * 1000)}: ${number(point.resets)} resets${causes && ` (${causes})`}, ${number(point.reset)} of ${number(point.closed)} connections reset, ${percent(point.share)}`
      : `${clock(point.from * 1000)}: not watched`);
  }

  function fillTable() {
    if (!details.open || !shown) return;
    const rows = shown.points.filter(({ resets, reset, known }) => !known || resets || reset).reverse().slice(0, TABLE_ROWS);
    set(numbers, ...rows.map(({ from, known, resets, causes, reset, closed, share }) => el("tr", null,
      el("td", null, clock(from * 1000)),
      ...(known
        ? [number(resets), causes.map(([cause, count]) => `${cause} ${count}`).join(", "), number(reset), number(closed), percent(share)]
        : ["not watched", "", "", "", ""]).map((text) => el("td", null, text)))));
  }

  const node = el("div", { class: "past" }, el("h3", null, "Resets by cause"), resets.node, legend,
    el("h3", null, "Share of ended connections that were reset"), ratio.node, readout, details);
  return { node, update, destroy: () => [resets, ratio].forEach((one) => one.destroy()) };
}

/** Points with everything that is said of them, and causes with their values, the most frequent ones. */
function rows(history, past) {
  const start = Math.floor(Date.parse(history.start) / 1000);
  const step = history.step_seconds;
  const sums = new Map();
  for (const lists of [past?.resets_sent ?? {}, past?.resets_received ?? {}]) {
    for (const [cause, values] of Object.entries(lists)) {
      const before = sums.get(cause);
      sums.set(cause, before ? before.map((value, at) => (value === null ? null : value + (values[at] ?? 0))) : values);
    }
  }
  const total = (values) => values.reduce((sum, value) => sum + (value ?? 0), 0);
  const all = [...sums].map(([cause, values]) => ({ cause, values, total: total(values) })).sort((one, two) => two.total - one.total);
  const causes = all.slice(0, all.length > MOST_CAUSES ? MOST_CAUSES - 1 : MOST_CAUSES);
  const rest = all.slice(causes.length);
  if (rest.length) {
    const values = rest[0].values.map((value, at) => (value === null ? null : rest.reduce((sum, one) => sum + one.values[at], 0)));
    causes.push({ cause: "other causes", values, total: total(values) });
  }
  causes.sort((one, two) => CAUSES.indexOf(one.cause) - CAUSES.indexOf(two.cause));
  const points = Array.from({ length: history.intervals }, (_, at) => {
    const of = all.map(({ cause, values }) => [cause, values[at] ?? 0]).filter(([, count]) => count > 0);
    const [closed, reset] = [past?.closed[at] ?? null, past?.reset[at] ?? null];
    return {
      from: start + at * step,
      known: past ? closed !== null : history.total.closed[at] !== null,
      resets: of.reduce((sum, [, count]) => sum + count, 0),
      causes: of,
      reset,
      closed,
      share: closed ? Math.min(1, reset / closed) : null,
    };
  });
  return { points, causes, total: all.reduce((sum, one) => sum + one.total, 0), end: start + history.intervals * step };
}

function options(causes, shown, limits, sayAt) {
  return {
    legend: { show: false },
    padding: PADDING,
    cursor: { ...CURSOR, sync: { key: "past" } },
    scales: { x: { range: limits }, y: { range: (_, __, most) => [0, Math.max(1, most ?? 0) * 1.08] } },
    axes: [
      axis({ ...BELOW, space: 70, values: (_, splits, __, ___, step) => moments(splits, step) }),
      axis({ size: 52, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7], values: (_, splits) => splits.map(number) }),
    ],
    series: [{}, ...causes.map(({ cause }) => {
      const { variable, pattern } = look(cause);
      const bars = uPlot.paths.bars({ align: 1, size: [1, Infinity], gap: 0 });
      return { label: cause, paths: bars, fill: () => fill(variable, pattern), stroke: () => colour(variable), width: 0, points: { show: false } };
    })],
    hooks: { setCursor: [(chart) => sayAt(pointedAt(chart, shown()))], drawClear: [(chart) => unwatched(chart, shown())] },
  };
}

function ratioOptions(shown, limits, sayAt) {
  return {
    legend: { show: false },
    padding: PADDING,
    cursor: { ...CURSOR, sync: { key: "past" } },
    scales: { x: { range: limits }, y: { range: (_, __, most) => [0, Math.max(0.1, most ?? 0) * 1.08] } },
    axes: [
      axis({ ...BELOW, space: 70, values: (_, splits, __, ___, step) => moments(splits, step) }),
      axis({ size: 52, values: (_, splits) => splits.map((value) => `${Number(value.toFixed(2))} %`) }),
    ],
    series: [{}, { label: "share", stroke: () => colour("--ink"), width: 1.5, points: { show: true, size: 4 } }],
    hooks: { setCursor: [(chart) => sayAt(pointedAt(chart, shown()))] },
  };
}

/** The interval under the cursor: the library knows only the nearest beginning of one. */
function pointedAt(chart, { points, step }) {
  const { left } = chart.cursor;
  return left === undefined || left === null || left < 0 ? null : Math.floor((chart.posToVal(left, "x") - points[0].from) / step);
}

/** Hatches the intervals in which nobody looked. */
function unwatched(chart, { points, step }) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.fillStyle = fill("--line", 1);
  ctx.globalAlpha = 0.6;
  for (const { from, known } of points) {
    if (known) continue;
    const left = Math.max(bbox.left, chart.valToPos(from, "x", true));
    const right = Math.min(bbox.left + bbox.width, chart.valToPos(from + step, "x", true));
    if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
  }
  ctx.restore();
}
