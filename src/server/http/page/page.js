// The page itself: rounds of requests, the state of the connection, filter, order, and the table.

/// A round each second, in milliseconds; times are shown four times as often, so that none is late by much.
const ROUND = 1_000;
const TICK = 250;
/// An answer is overdue after this.
const OVERDUE = 4_000;
/// Rows that a round asks for, and requests of each of its listings. Rows that are known, and that are in the table.
const ROWS_ASKED = 1_000;
const REQUESTS_MAX = 5;
const ROWS_KEPT = 1_000;
const ROWS_SHOWN = 750;
/// After somebody points at a row or has moved among them, the others keep their places for this long.
const STEADY = 1_500;

const rows = new Map();
const sorting = { column: "wait", isReversed: false };
let filter = "";
let round = 0;
let heardAt;
let heardOn;
let lost;
let isRunning = false;
let isWanted = false;
let timer;
let steadyUntil = 0;
/// Since when the page can be seen.
let seenAt = 0;
/// Why there are no figures. Undefined: there are.
let noFigures;
let stats;
/// Who waits for which locks, and the circles of holders in the last round.
let waits = new Map();
let circles = new Set();

/// A listing that is read again and again, a piece of it in each round.
class Sweep {
  /// `covers(row)`: whether a lock would be in it.
  constructor(fields, covers) {
    Object.assign(this, { fields, covers, after: undefined, begun: 0, began: 0, seconds: undefined, isWhole: false, isDone: false });
  }

  /// Reads on, up to a number of rows. Returns how many came.
  async read(limit) {
    let came = 0;
    if (!this.after) [this.begun, this.began] = [round, performance.now()];
    for (let request = 0; request < REQUESTS_MAX && came < limit && !document.hidden; request += 1) {
      const answer = await ask(query("api/locks", { ...this.fields, limit: limit - came, ...this.after && { after: this.after } }));
      const at = performance.now();
      for (const [name, detail] of Object.entries(answer.value)) {
        came += 1;
        learn(name, detail, at);
      }
      this.after = answer.next;
      if (!this.after) {
        // What was not there while all of it was read is gone.
        for (const [name, row] of rows) if (row.round < this.begun && this.covers(row)) rows.delete(name);
        this.isWhole = this.begun === round;
        this.isDone = true;
        this.seconds = (at - this.began) / 1000;
        return came;
      }
    }
    this.isWhole = false;
    return came;
  }
}

const everything = new Sweep({}, () => true);
/// What is stuck, for servers with more locks than can be looked at each second.
const contended = new Sweep({ contended: true }, row => row.waiting > 0);
let begins;

function learn(name, detail, at) {
  const row = digest(rows.get(name), name, detail, at);
  row.round = round;
  rows.set(name, row);
  return row;
}

/// Everything that is asked for in one second.
async function runRound() {
  round += 1;
  const { name } = view;
  if (name !== undefined) {
    const answer = await ask(query("api/locks", { name }));
    const detail = entry(answer.value, name);
    if (!detail) rows.delete(name);
    const at = performance.now();
    const row = detail ? learn(name, detail, at) : digest(undefined, name, FREE, at);
    if (view.name === name) view.show(row);
  }
  if (noFigures === undefined && !document.hidden) await readFigures();
  let left = ROWS_ASKED;
  if (!everything.isWhole) left -= await contended.read(left / 2);
  if (begins) left -= await begins.read(Math.ceil(left / 2));
  await everything.read(left);
  forget();
}

/// Figures are for admins, as are kicks.
async function readFigures(mark) {
  try {
    const answer = await ask("api/stats", undefined, mark);
    noFigures = undefined;
    stats = answer.value;
    figures.take(stats, performance.now());
  } catch (error) {
    if (![401, 403].includes(error.status)) throw error;
    stats = undefined;
    noFigures = error.status;
  }
  document.body.classList.toggle("reader", noFigures !== undefined);
  hide($("no-figures"), noFigures === undefined);
  set($("no-figures"), noFigures === undefined ? "" : `${noFigures === 401 ? "You are" : "Your user is"} shown locks, but no figures, and can't kick or revoke: all `
    + "that needs a user with admin = true.");
  hide($("sign-in"), noFigures !== 401);
}

/// Keeps the rows that come first.
function forget() {
  if (rows.size <= ROWS_KEPT) return;
  const order = orderBy(sorting.column, sorting.isReversed);
  const sorted = [...rows.values()].sort((one, other) => matches(other) - matches(one) || order(one, other));
  for (const row of sorted.slice(ROWS_KEPT)) rows.delete(row.name);
}

function matches(row) {
  return filter === "" || row.name.startsWith(filter) || mentions(row, filter.toLowerCase());
}

async function next() {
  clearTimeout(timer);
  if (document.hidden) return;
  if (isRunning) {
    isWanted = true;
    return;
  }
  [isRunning, isWanted] = [true, false];
  const began = performance.now();
  try {
    await runRound();
    lost = undefined;
    waits = waitsOf(rows.values());
    showCircles();
  } catch (error) {
    lost ??= { since: heardOn ?? new Date(), at: heardAt ?? began };
    lost.reason = reasonOf(error);
    lost.isFinal = error.status === 401;
  }
  isRunning = false;
  show();
  // Whoever is nobody any longer would be counted each time as one who guesses.
  if (lost?.isFinal) return;
  timer = setTimeout(next, isWanted ? 0 : Math.max(ROUND / 4, ROUND - (performance.now() - began)));
}

/// Why there is nothing new. Undefined: there is no answer.
function reasonOf(error) {
  if (error instanceof Unanswered) return undefined;
  if (error.status === 401) return "The server no longer knows who you are. Reload this page to sign in.";
  if (error instanceof Refused) return `The server refuses (${error.status}): ${plain(error.message)}.`;
  console.error(error);
  return `This page has failed (${error.message}). Reload it.`;
}

function heard() {
  [heardAt, heardOn] = [performance.now(), new Date()];
}

/// Everything that depends on what is known.
function show() {
  const found = [...rows.values()].filter(matches).sort(orderBy(sorting.column, sorting.isReversed));
  waits = waitsOf(rows.values());
  showRows(found.slice(0, ROWS_SHOWN));
  const isEmpty = found.length === 0 && heardAt !== undefined;
  hide($("empty"), !isEmpty);
  hide($("locks"), isEmpty && filter === "");
  if (isEmpty) set($("empty"), emptiness());
  hide($("more"), found.length <= ROWS_SHOWN);
  set($("more"), `These are the first ${count(ROWS_SHOWN)} of ${count(found.length)} rows. The filter finds others.`);
  showNote();
  showSummary();
  tick();
}

/// Warns of holders that wait for each other. What was read at different moments may look like that, so not at once.
function showCircles() {
  const found = new Map(circlesOf(rows.values(), waits).map(circle =>
    [JSON.stringify(circle.map(({ row, holder }) => [row.name, holder.key]).sort()), circle]));
  const lasting = [...found].filter(([key]) => circles.has(key)).slice(0, 5);
  circles = new Set(found.keys());
  keep($("circles"), lasting, ([key]) => key, ([, circle]) => {
    const steps = circle.flatMap(({ row, holder }, index) => {
      const name = circle[(index + 1) % circle.length].row.name;
      const button = make("button", "open", quoted(row.name));
      button.addEventListener("click", () => openLock(row.name));
      return [make("li", "", ...named(holder), " holds ", button, " and waits for ", quoted(name))];
    });
    return make("div", "", make("strong", "", "Deadlock: these wait for each other. Revoke or kick one of them."), make("ul", "", ...steps));
  }, () => {});
}

function showRows(found) {
  const body = $("locks").tBodies[0];
  if (performance.now() < steadyUntil) {
    const places = new Map([...body.children].map((child, index) => [child.dataset.name, index]));
    const placeOf = row => places.get(row.name) ?? Infinity;
    found.sort((one, other) => placeOf(one) === placeOf(other) ? 0 : placeOf(one) - placeOf(other));
  }
  keep(body, found, row => row.name, row => buildRow(row, openLock), (element, row) => {
    updateRow(element, row);
    linkRow(element, waits);
  });
}

function emptiness() {
  if (filter !== "" && everything.isWhole) return "No lock has a name, a holder, a waiter or a label with this text.";
  if (filter !== "" && begins?.isDone) return "No lock has a name that begins like this.";
  if (!everything.isWhole) return "Looking …";
  return noFigures === undefined
    ? "Nobody holds a lock, and nobody waits for one. Programs that hang wait for something else, or for another server than this."
    : "There is no lock that your user may see.";
}

function showNote() {
  const isPartial = !everything.isWhole && heardAt !== undefined;
  const all = everything.seconds > 1.5 ? `in ${span(everything.seconds)}` : "more slowly";
  const parts = [];
  if (isPartial) parts.push(`There are many locks. Those that somebody waits for are looked at every second, all others ${all}; the `
    + `first ${count(ROWS_KEPT)} in this order are kept.`);
  if (isPartial && filter !== "") parts.push("The filter finds every name that begins with it; any other text, only in the rows that are kept.");
  set($("note"), parts.join(" "));
}

function showSummary() {
  let text = "";
  let waiters = 0;
  let contended = 0;
  for (const row of rows.values()) {
    waiters += row.waiting;
    contended += row.waiting > 0;
  }
  if (stats) {
    waiters = stats.waiters;
    text = `${counted(stats.locks, "lock", "locks")}, ${counted(waiters, "waiter", "waiters")}, `
      + `${counted(stats.connections, "connection", "connections")}, up for ${span(stats.uptime)}`;
  } else if (heardAt !== undefined) {
    text = `${counted(rows.size, "lock", "locks")}, ${counted(waiters, "waiter", "waiters")} for ${count(contended)} of them`;
  }
  set($("summary"), text);
  document.title = `${waiters > 0 ? `${count(waiters)} waiting – ` : ""}Officer ${location.host}`;
}

/// The times go on, and silence becomes visible.
function tick() {
  if (document.hidden) return;
  const now = performance.now();
  const silent = heardAt === undefined ? 0 : now - heardAt;
  const isOverdue = now - Math.max(heardAt, seenAt) > OVERDUE;
  const state = lost ? "gone" : heardAt === undefined || isOverdue ? "stale" : "live";
  mark($("status"), "data-state", state);
  document.body.classList.toggle("dimmed", state !== "live" && heardAt !== undefined);
  const text = {
    live: "Live",
    stale: heardAt === undefined ? "Asking the server …" : `No answer since ${clock(heardOn)}.`,
    gone: lost?.reason ?? (heardAt === undefined ? "The server does not answer." : `No connection since ${clock(lost?.since ?? new Date())}.`),
  }[state];
  set($("status"), state === "live" || heardAt === undefined ? text : `${text} Below is what was there then.`);
  set($("since"), state === "live" || heardAt === undefined ? "" : `${span(silent / 1000)} ago`);
  // What is not known to go on stays as it was.
  const shownAt = state === "live" ? now : Math.min(now, (heardAt ?? now) + (lost ? 0 : OVERDUE));
  for (const element of $("locks").tBodies[0].children) tickRow(element, shownAt);
  if (view.name !== undefined) view.tick(shownAt);
}

/// Says what came of something: a refusal, or that it is done.
function say(refused, done) {
  set($("message"), refused);
  set($("done"), done);
}

function openLock(name) {
  view.open(name, rows.get(name));
}

function sortBy(column) {
  sorting.isReversed = sorting.column === column && !sorting.isReversed;
  sorting.column = column;
  steadyUntil = 0;
  // What comes first now may have been dropped.
  everything.after = undefined;
  showSorting();
  show();
}

function showSorting() {
  for (const head of document.querySelectorAll("#locks th[data-sort]")) {
    const isDown = ["name", "holder"].includes(head.dataset.sort) === sorting.isReversed;
    if (head.dataset.sort === sorting.column) head.setAttribute("aria-sort", isDown ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}

function filterBy(text) {
  filter = text;
  steadyUntil = 0;
  const isPrefix = text !== "" && new TextEncoder().encode(text).length <= 1024;
  begins = isPrefix ? new Sweep({ prefix: text }, row => row.name.startsWith(text)) : undefined;
  show();
  if (!isRunning) clearTimeout(timer);
  if (!isRunning) timer = setTimeout(next, TICK);
  isWanted = isRunning;
}

const figures = new Figures(openLock);
const view = new LockView(next, place => waits.get(place.who) ?? []);

put($("host"), location.host);
for (const head of document.querySelectorAll("#locks th[data-sort]")) {
  head.firstElementChild.addEventListener("click", () => sortBy(head.dataset.sort));
}
showSorting();
$("filter").addEventListener("input", event => filterBy(event.target.value));
document.addEventListener("visibilitychange", () => {
  seenAt = performance.now();
  next();
});
$("sign-in").addEventListener("click", () => readFigures("sign in").catch(() => {}).then(next));
document.addEventListener("keydown", event => {
  const isTyping = event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey;
  if (event.key === "/" && !isTyping && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    $("filter").focus();
  } else if (event.key === "Escape" && event.target === $("filter")) {
    event.preventDefault();
    event.target.value = "";
    filterBy("");
  } else if (["ArrowDown", "ArrowUp"].includes(event.key) && event.target.closest("#locks tbody")) {
    const row = event.target.closest("tr");
    const other = event.key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling;
    if (other) event.preventDefault();
    other?.querySelector("button").focus();
  }
});
for (const kind of ["pointermove", "pointerdown", "keydown"]) {
  $("locks").tBodies[0].addEventListener(kind, () => steadyUntil = performance.now() + STEADY, { passive: true });
}
setInterval(tick, TICK);
next();
