// Colours of the style sheet for what is drawn, and patterns over them.

export function colour(variable) {
  return getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
}

const cache = new Map();

/** What to fill with: the colour itself, or with one of five patterns in the page's background. */
export function fill(variable, pattern) {
  const key = `${colour(variable)} ${pattern} ${colour("--card")} ${devicePixelRatio}`;
  if (!cache.has(key)) cache.set(key, pattern === 0 ? colour(variable) : patterned(variable, pattern));
  return cache.get(key);
}

/** The same as a picture for a legend. */
export function swatch(variable, pattern) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 24;
  canvas.className = "swatch";
  canvas.setAttribute("aria-hidden", "true");
  // Two that are drawn in other colours are not the same.
  canvas.dataset.colour = colour(variable);
  const context = canvas.getContext("2d");
  context.fillStyle = fill(variable, pattern);
  context.fillRect(0, 0, 24, 24);
  return canvas;
}

function patterned(variable, pattern) {
  const size = 8;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d");
  context.fillStyle = colour(variable);
  context.fillRect(0, 0, size, size);
  context.strokeStyle = context.fillStyle = colour("--card");
  context.lineWidth = 2;
  const line = (...ends) => {
    context.beginPath();
    context.moveTo(ends[0], ends[1]);
    context.lineTo(ends[2], ends[3]);
    context.stroke();
  };
  if (pattern === 1) for (const at of [-size, 0, size]) line(at, size, at + size, 0);
  if (pattern === 2) context.fillRect(2, 2, 3, 3);
  if (pattern === 3) line(0, 4, size, 4);
  if (pattern === 4) for (const at of [-size, 0, size]) line(at, 0, at + size, size);
  if (pattern === 5) line(4, 0, 4, size);
  return context.createPattern(canvas, "repeat");
}

/** Calls back when the reader's system changes between light and dark. */
export function onChange(listener) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", listener);
  return () => dark.removeEventListener("change", listener);
}
