// The page of an Officer server. Rules for whoever changes it:
// - All that clients chose (names, labels, owners, descriptions of themselves) is hostile: it is shown by `put` alone.
// - One request at a time, a round of them each second, none while the page can't be seen.
// - Elements are kept and updated, each by its key: focus, scrolling and selections stay where they are.
"use strict";

const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

// What can't be seen, or changes how the text around it is shown. Codes take its place.
const INVISIBLE = /([\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{DI}\u2800]|(?! )\p{Zs}|^ +| +$| {2,})/u;

function code(text) {
  const point = text.codePointAt(0);
  return point === 0x20 ? "␣".repeat(text.length) : `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
}

/// A text without anything that can't be seen, for where there are no elements.
function plain(text) {
  return String(text).split(INVISIBLE).map((part, index) => index % 2 ? `[${code(part)}]` : part).join("");
}

const written = new WeakMap();

/// Shows a text that a client chose. The element is a bdi, so that the text has no part in the order of what is around it.
function put(element, text) {
  text = text === undefined ? "" : String(text);
  if (written.get(element) === text) return;
  written.set(element, text);
  element.replaceChildren(...text.split(INVISIBLE).flatMap((part, index) => {
    if (part === "") return [];
    if (index % 2 === 0) return [part];
    const shown = make("span", "code");
    shown.textContent = code(part);
    return [shown];
  }));
}

/// Shows words of our own.
function set(element, text) {
  if (written.get(element) === text) return;
  written.set(element, text);
  element.textContent = text;
}

function mark(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

function hide(element, isHidden) {
  if (element.hidden !== isHidden) element.hidden = isHidden;
}

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/// A text of a client within words of our own.
function quoted(text) {
  const element = make("bdi", String(text).length > 80 ? "name long" : "name");
  put(element, text);
  return element;
}

/// A length of time, in seconds.
function span(seconds) {
  const whole = Math.floor(Math.max(0, seconds));
  const two = number => String(number).padStart(2, "0");
  if (whole < 1) return "<1s";
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h ${two(Math.floor(whole / 60) % 60)}m`;
  return `${Math.floor(whole / 86400)}d ${two(Math.floor(whole / 3600) % 24)}h`;
}

const grouped = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function count(number) {
  return grouped.format(number);
}

function counted(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

function clock(date) {
  return date.toLocaleTimeString("en-GB");
}

/// When something began, in the time of this page. What comes late makes it look younger, so the earliest of what is heard
/// about the same thing is the best, and the time shown does not go back. What can't be explained by that is believed: the
/// server was suspended, or a lease renewed. `age` is negative for what is still to come.
function began(before, key, at, age) {
  const from = at - age * 1000;
  const isSame = before && before.key === key && Math.abs(before.from - from) < 1000 + latency;
  return { key, from: isSame ? Math.min(before.from, from) : from };
}

/// Makes the children of an element those of the items, in their order. `build(item)` makes one, `update(child, item)` fills
/// it. The child that has the focus is not moved, because it would lose it.
function keep(parent, items, keyOf, build, update) {
  const known = parent.known ??= new Map();
  const wanted = new Set(items.map(keyOf));
  for (const [key, child] of known) {
    if (wanted.has(key)) continue;
    const hadFocus = child.contains(document.activeElement);
    const next = child.nextElementSibling ?? child.previousElementSibling ?? parent.closest("dialog");
    child.remove();
    known.delete(key);
    if (hadFocus) (next?.querySelector("button") ?? $("filter")).focus({ preventScroll: true });
  }
  const focused = document.activeElement;
  let at = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let child = known.get(key);
    if (!child) {
      child = build(item);
      known.set(key, child);
    }
    update(child, item);
    if (child === at) {
      at = at.nextElementSibling;
    } else if (child.contains(focused)) {
      // All between here and there come later.
      while (at !== child) {
        const later = at;
        at = at.nextElementSibling;
        parent.append(later);
      }
      at = at.nextElementSibling;
    } else {
      parent.insertBefore(child, at);
    }
  }
}
