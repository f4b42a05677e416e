// Pieces that several views have: cards, states with a sign beside their colour, fields of a filter, events as rows.

import { el, outside, visible } from "./dom.js";
import { clock, endpoint, seconds } from "./format.js";
import { link, peerLink, url } from "./route.js";

export function card(title, ...children) {
  return el("section", { class: "card" }, title && el("h2", null, title), ...children);
}

/** What a cluster calls an address, before it: `namespace/service`, else the pod; nothing where it has no name. Names are not ours. */
export function called(name) {
  return name ? [outside(`${name.namespace}/${name.service ?? name.pod}`), " "] : [];
}

/** Whose network namespace it is: pod, container or unit, else its number; nothing for the daemon's own. Names are not ours. */
export function whoseNamespace(netns, cgroup) {
  if (netns === null || netns === undefined) return "";
  const { pod, pod_uid: uid, container_id: id, unit } = cgroup ?? {};
  if (pod) return `${pod.namespace}/${pod.name}`;
  if (id) return `container ${id.slice(0, 12)}`;
  return unit ?? (uid ? `pod ${uid}` : `network namespace ${netns}`);
}

/** A word with a sign, so that its colour need not be seen. */
const SIGNS = {
  quiet: "✓", aligned: "✓", works: "✓", resolved: "✓",
  attention: "!", tight: "!", degraded: "!", pending: "…", warning: "!",
  wrong: "✕", misaligned: "✕", missing: "✕", firing: "✕", critical: "✕",
  unknown: "?",
};

export function badge(state) {
  return el("span", { class: `badge ${state}` }, el("span", { "aria-hidden": "true" }, `${SIGNS[state] ?? "·"} `), state);
}

export function tile(label, value, note) {
  return el("div", { class: "tile" }, el("dt", null, label), el("dd", null, value, note && el("small", null, note)));
}

/** Which of several, each a link that can be shared. */
export function choice(label, current, options, route) {
  return el("nav", { class: "choice", "aria-label": label }, ...options.map(({ name, title }) =>
    link(route(name), { "aria-current": name === current ? "true" : null }, title)));
}

/** A form whose fields are the URL's parameters. `go` gets the route with what was entered. */
export function filters(label, route, fields, go) {
  const inputs = fields.map(({ name, title, options, any, hint, check }) => {
    const value = route[name] ?? "";
    const input = check
      ? el("input", { type: "checkbox", name, checked: value === "true" })
      : options
        ? el("select", { name }, ...["", ...options].map((option) =>
          el("option", { value: option, selected: option === value }, option || any || "any")))
        : el("input", { name, value, placeholder: hint, size: 14, autocomplete: "off", spellcheck: "false" });
    return [name, input, el("label", { class: check && "check" }, el("span", null, title), input)];
  });
  const submit = (event) => {
    event?.preventDefault();
    const entered = inputs.map(([name, input]) => [name, input.type === "checkbox" ? (input.checked ? "true" : "") : input.value.trim()]);
    go({ ...route, event: "", ...Object.fromEntries(entered) });
  };
  // What was typed waits for Enter: it fires both events, and the first one would take the form away from the second.
  const change = (event) => event.target.matches("select, [type=checkbox]") && submit();
  return el("form", { class: "filters", role: "search", "aria-label": label, on: { submit, change } },
    ...inputs.map(([, , node]) => node), el("button", { type: "submit" }, "Apply"),
    el("a", { href: url({ view: route.view }), "data-route": true, class: "clear" }, "Clear"));
}

export const EVENT_COLUMNS = [
  { title: "time" },
  { title: "what" },
  { title: "peer" },
  { title: "cause" },
  { title: "idle before", number: true },
  { title: "on this host" },
];

/** An event as a row of `table`. */
export function eventRow(event, route) {
  return { key: event.id, version: event, cells: () => eventCells(event, route) };
}

function eventCells(event, route) {
  const of = event.peer ?? { peer: event.remote.addr, port: event.local.port, role: "server" };
  const whose = owner(event);
  return [
    [event.time, link({ ...route, event: event.id }, { class: "when", title: visible(event.time) }, clock(event.time))],
    event.kind.replaceAll("_", " "),
    [`${JSON.stringify(event.remote_name)} ${of.peer} ${of.port}`, event.peer
      ? [...called(event.remote_name), peerLink(event.peer, endpoint(of.peer, of.port)), el("span", { class: "soft" }, ` ${of.role}`)]
      : el("span", null, ...called(event.remote_name), event.remote.addr, el("span", { class: "soft" }, ` to our port ${event.local.port}`))],
    [`${event.cause} ${event.confidence} ${event.final} ${event.burst?.id}`, event.cause
      ? [el("code", null, event.cause), el("span", { class: "soft" }, ` ${event.confidence}${event.final ? "" : ", not final yet"}${event.burst ? `, in a burst of ${event.burst.connections}` : ""}`)]
      : el("span", { class: "soft" }, "no reset")],
    event.idle ? `${event.idle.at_least ? "≥ " : ""}${seconds(event.idle.seconds)}` : seconds(null),
    [whose, whose ? outside(whose) : ""],
  ];
}

/** Whose socket it was, as far as that is known. Names are not ours. */
function owner({ owner, process, cgroup }) {
  const pod = cgroup?.pod ? `${cgroup.pod.namespace}/${cgroup.pod.name} ` : "";
  if (owner) return `${pod}${owner.comm}[${owner.pid}]${owner.exiting ? " exiting" : ""}`;
  if (process) return `${pod}${process.comm}[${process.pid}]`;
  if (pod) return pod.trim();
  return cgroup?.container_id ? `container ${cgroup.container_id.slice(0, 12)}` : cgroup?.unit ?? "";
}

/** Everything that is known of an event, as it came. */
export function eventDetails(event, close) {
  const rows = [];
  const walk = (value, path) => {
    if (value === null || value === undefined) return;
    if (typeof value === "object" && !Array.isArray(value)) {
      for (const [key, inner] of Object.entries(value)) walk(inner, path ? `${path}.${key}` : key);
    } else {
      rows.push([path, Array.isArray(value) ? value.join(", ") : String(value)]);
    }
  };
  walk(event, "");
  const evidence = new Set(event.evidence);
  return el("section", { class: "card details", "aria-label": `Event ${event.id}` },
    el("h2", null, `Event ${event.id}`, el("a", { href: url(close), "data-route": true, class: "clear" }, "Close")),
    el("p", { class: "soft" }, "Fields marked with ◆ led to the verdict. What is not known is left out."),
    el("dl", { class: "fields" }, ...rows.flatMap(([path, value]) => {
      const led = evidence.has(path) || [...evidence].some((fact) => path.startsWith(`${fact}.`));
      return [el("dt", { class: led && "led" }, led ? "◆ " : "", path), el("dd", null, outside(value))];
    })));
}
