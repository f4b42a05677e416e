// What every chart has in common: uPlot in the page's colours, as wide as there is room, drawn anew when the system's colours change.

import { el } from "./dom.js";
import { colour, onChange } from "./theme.js";

/** `options` makes uPlot's options for a width; it is called anew when colours or `key` change. */
export function plot(label, height) {
  const canvas = el("div", { class: "canvas", role: "img", "aria-label": label });
  let chart = null;
  let made = null;
  let latest = null;

  function draw() {
    if (!latest || !canvas.clientWidth) return;
    const { key, options, data, summary } = latest;
    canvas.setAttribute("aria-label", `${label}: ${summary}`);
    if (chart && made === key) {
      chart.setData(data);
      return;
    }
    chart?.destroy();
    made = key;
    chart = new uPlot({ width: canvas.clientWidth, height, ...options() }, data, canvas);
  }

  const again = () => {
    made = null;
    draw();
  };
  const size = new ResizeObserver(() => {
    if (chart && canvas.clientWidth && chart.width !== canvas.clientWidth) chart.setSize({ width: canvas.clientWidth, height });
    else if (!chart) draw();
  });
  size.observe(canvas);
  const ended = onChange(again);

  return {
    node: canvas,
    update(next) {
      latest = next;
      draw();
    },
    destroy() {
      size.disconnect();
      ended();
      chart?.destroy();
    },
  };
}

/** The axis below takes no more than its words do. */
export const BELOW = { size: 28 };

/** An axis in quiet colours. */
export function axis(more) {
  return {
    stroke: colour("--soft"),
    font: '11px system-ui, "DejaVu Sans", sans-serif',
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1, size: 4 },
    ...more,
  };
}

export const CURSOR = { points: { show: false }, drag: { x: false, y: false }, y: false };
export const PADDING = [10, 8, 0, 0];
