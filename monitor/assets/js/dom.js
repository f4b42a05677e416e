// Elements from text. Names of processes, pods and hosts are hostile: they only ever become text nodes, and what could turn the
// line around or hide in it is shown as its number.

const SVG = "http://www.w3.org/2000/svg";
// Controls, formats (bidi marks among them), line and paragraph separators, lone surrogates, unassigned.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}\u115f\u1160\u3164\uffa0\u034f]/u;

/** An element with attributes and children. Attributes with `null`, `undefined` or `false` are left out; `on` has listeners. */
export function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for a picture. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Text from outside, apart from what is around it, with its hidden characters made visible. */
export function outside(text) {
  const node = el("bdi");
  let plain = "";
  const flush = () => {
    if (plain) node.append(plain);
    plain = "";
  };
  for (const character of String(text)) {
    if (HIDDEN.test(character)) {
      flush();
      node.append(el("span", { class: "hidden-character" }, escaped(character)));
    } else {
      plain += character;
    }
  }
  flush();
  return node;
}

function escaped(character) {
  return `\\u{${character.codePointAt(0).toString(16)}}`;
}

/** The same as plain text, for attributes. */
export function visible(text) {
  return [...String(text)].map((character) => (HIDDEN.test(character) ? escaped(character) : character)).join("");
}

/** Replaces what is in a node, unless it says the same already: focus and selection stay. */
export function set(node, ...children) {
  const next = [...el("div", null, ...children).childNodes];
  const same = next.length === node.childNodes.length && next.every((child, at) => child.isEqualNode(node.childNodes[at]));
  if (!same) node.replaceChildren(...next);
}

/** Text that changes. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
