// How long connections had been quiet before their resets, with the timeouts of both sides drawn in: where a bar stands at a line,
// that side's timer is the likely reason.

import { el, set } from "./dom.js";
import { count, mark as tick, number, seconds } from "./format.js";
import { axis, BELOW, CURSOR, plot } from "./plot.js";
import { colour, fill } from "./theme.js";

export function idleChart() {
  const chart = plot("Idle time before the reset", 210);
  const legend = el("ul", { class: "legend" });
  const nothing = el("p", { class: "empty" }, "No reset of which the quiet time before is known.");
  const node = el("div", null, chart.node, legend, nothing);

  function update(histogram, timeouts) {
    const total = histogram?.counts.reduce((sum, one) => sum + one, 0) ?? 0;
    chart.node.hidden = legend.hidden = !total;
    nothing.hidden = Boolean(total);
    if (!total) return;
    const { bounds_seconds: bounds, counts } = histogram;
    const lines = marks(timeouts);
    // The buckets that say something, and one on each side.
    const [first, last] = shown(bounds, counts, lines);
    chart.update({
      key: JSON.stringify([lines, first, last]),
      data: [counts.map((_, at) => at), counts],
      summary: `${count(total, "reset")}; ${counts.map((one, at) => (one ? `${label(bounds, at)}: ${number(one)}` : "")).filter(Boolean).join(", ")}`,
      options: () => options(bounds, lines, first, last),
    });
    set(legend, ...lines.map(({ title, value, dashed }) => el("li", null,
      el("span", { class: dashed ? "line dashed" : "line", "aria-hidden": "true" }), `${title} `, el("b", null, seconds(value)))),
    lines.length ? null : el("li", { class: "soft" }, "Neither side's timeout is known yet: three closes of quiet connections teach one."));
  }

  return { node, update, destroy: chart.destroy };
}

function marks(timeouts) {
  const of = (side, title, dashed) => side?.timeouts.slice(0, 2).map(({ seconds: value }) => ({ title, value, dashed })) ?? [];
  return [...of(timeouts?.local, "our timeout", false), ...of(timeouts?.remote, "the peer’s timeout", true)];
}

function shown(bounds, counts, lines) {
  const places = counts.flatMap((one, at) => (one ? [at] : []));
  places.push(...lines.map(({ value }) => Math.floor(place(bounds, value))));
  return [Math.max(0, Math.min(...places) - 2), Math.min(counts.length, Math.max(...places) + 3)];
}

function label(bounds, at) {
  if (at === 0) return `up to ${seconds(bounds[0])}`;
  if (at === bounds.length) return `above ${seconds(bounds.at(-1))}`;
  return `${seconds(bounds[at - 1])} to ${seconds(bounds[at])}`;
}

/** Where a time is among buckets that are drawn equally wide. */
function place(bounds, value) {
  const at = bounds.findIndex((bound) => value <= bound);
  if (at < 0) return bounds.length + 0.5;
  const from = at ? bounds[at - 1] : 0;
  return at + (value - from) / (bounds[at] - from);
}

function options(bounds, lines, first, last) {
  return {
    legend: { show: false },
    padding: [24, 16, 0, 0],
    cursor: { ...CURSOR, x: false },
    scales: { x: { time: false, range: () => [first, last] }, y: { range: (_, __, most) => [0, Math.max(1, most ?? 0) * 1.08] } },
    axes: [
      axis({
        ...BELOW,
        splits: () => Array.from({ length: last - first + 1 }, (_, at) => first + at),
        values: (_, splits) => splits.map((at) => (at > 0 && at <= bounds.length ? tick(bounds[at - 1]) : at === 0 ? "0" : "")),
      }),
      axis({ size: 46, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6], values: (_, splits) => splits.map(number) }),
    ],
    series: [{}, {
      paths: uPlot.paths.bars({ align: 1, size: [0.86, Infinity] }),
      fill: () => fill("--timer", 0),
      stroke: () => colour("--timer"),
      width: 0,
      points: { show: false },
    }],
    hooks: { draw: [(chart) => lines.forEach((line, at) => mark(chart, bounds, line, at))] },
  };
}

function mark({ ctx, bbox, valToPos }, bounds, { value, dashed }, at) {
  const x = valToPos(place(bounds, value), "x", true);
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour("--ink");
  ctx.lineWidth = 2 * ratio;
  ctx.setLineDash(dashed ? [5 * ratio, 4 * ratio] : []);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top - 4 * ratio);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.font = `${11 * ratio}px system-ui, "DejaVu Sans", sans-serif`;
  const text = `${dashed ? "peer" : "we"} ${seconds(value)}`;
  const right = x + ctx.measureText(text).width + 8 * ratio > bbox.left + bbox.width;
  ctx.textAlign = right ? "right" : "left";
  ctx.fillText(text, x + (right ? -5 : 5) * ratio, bbox.top - (at % 2 ? 2 : 12) * ratio + 4 * ratio);
  ctx.restore();
}

