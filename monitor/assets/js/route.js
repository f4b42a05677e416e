// Which view, of what: all of it is in the URL, so that a link can be shared and reopened.

import { el } from "./dom.js";

/** What a URL asks for: `view` and the other parameters, all text. */
export function parse(search) {
  const { view = "overview", ...parameters } = Object.fromEntries(new URLSearchParams(search));
  return { view, ...parameters };
}

/** The URL for it. Empty parameters are left out, and what is usual, too. */
export function url({ view, ...parameters }) {
  const query = new URLSearchParams(view === "overview" ? {} : { view });
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return text ? `/?${text}` : "/";
}

/** The same as query of the API: only these names, without empty ones. */
export function query(route, names) {
  const wanted = new URLSearchParams();
  for (const name of names) {
    if (route[name]) wanted.set(name, route[name]);
  }
  const text = wanted.toString();
  return text ? `&${text}` : "";
}

export function link(route, attributes, ...children) {
  return el("a", { href: url(route), "data-route": true, ...attributes }, ...children);
}

/** A link to all that is known of a peer. */
export function peerLink(peer, ...children) {
  const { peer: address, port, role, netns } = peer;
  return link({ view: "peer", peer: address, port, role, netns }, null, ...children);
}
