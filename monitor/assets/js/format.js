// Numbers and times as people read them. Unknown is a dash and never 0.

export const UNKNOWN = "–";

const WHOLE = new Intl.NumberFormat("en");

export function number(value) {
  return value === null || value === undefined ? UNKNOWN : WHOLE.format(value);
}

export function percent(ratio) {
  if (ratio === null || ratio === undefined) return UNKNOWN;
  const value = ratio * 100;
  if (value === 0) return "0 %";
  if (value < 0.01) return "< 0.01 %";
  return `${value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2)} %`;
}

/** A length of time; in seconds up to two minutes, as timeouts are set. */
export function seconds(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value < 0) return `−${seconds(-value)}`;
  if (value < 0.0995) return `${Math.round(value * 1000)} ms`;
  if (value < 9.95) return `${value.toFixed(1)} s`;
  if (value < 119.95) return `${Number(value.toFixed(1))} s`;
  const whole = Math.round(value);
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return hours ? `${days} d ${hours} h` : `${days} d`;
  if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
}

/** The same for the marks of a scale, which are whole. */
export function mark(value) {
  if (value < 60) return `${value}s`;
  return value < 3600 ? `${Math.round(value / 60)}m` : `${Math.round(value / 3600)}h`;
}

export function signed(value) {
  if (value === null || value === undefined) return UNKNOWN;
  return value > 0 ? `+${seconds(value)}` : seconds(value);
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const SHORT = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** A moment in the reader's own time zone, with the day unless it is today. */
export function clock(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  const today = date.toDateString() === new Date().toDateString();
  return today ? CLOCK.format(date) : `${DAY.format(date)} ${CLOCK.format(date)}`;
}

/** Marks of a time axis, as fine as they lie. */
export function moments(epochSeconds, step) {
  const format = step < 60 ? CLOCK : SHORT;
  return epochSeconds.map((at) => format.format(new Date(at * 1000)));
}

export function count(value, noun) {
  return `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** An address and port as they are typed; without a port the address alone. */
export function endpoint(address, port) {
  if (address === null || address === undefined) return `port ${port}`;
  if (port === null || port === undefined) return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
