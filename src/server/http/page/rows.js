// What is known of each lock, and what is shown of it in the table.

/// A lock that nobody holds or waits for.
const FREE = { holders: [], waiters: [], waiting: 0 };

/// Who it is that holds or waits: a connection, or one of its owners.
function whoOf({ connection, owner }) {
  return JSON.stringify([connection, owner]);
}

/// What the server says of a lock, with the times at which things began. `before` is what it said the last time.
function digest(before, name, detail, at) {
  const { holders, waiters, waiting, closed_for } = detail;
  const known = new Map([...before?.holders ?? [], ...before?.waiters ?? []].map(place => [place.key, place]));
  const place = (fields, key, age, left) => ({
    ...fields, key, who: whoOf(fields),
    since: began(known.get(key)?.since, key, at, age),
    until: left === undefined ? undefined : began(known.get(key)?.until, key, at, -left),
  });
  const row = {
    name, waiting, at,
    // The server lists only the first of very many.
    holding: detail.holding ?? holders.length,
    holders: holders.map(holder => place(holder, `token ${holder.token}`, holder.held_for, holder.lease_left)),
    waiters: waiters.map(waiter =>
      place(waiter, whoOf(waiter), waiter.waited_for, waiter.timeout_left)),
    until: closed_for === undefined ? undefined : began(before?.until, "closed", at, -closed_for),
  };
  row.held = row.holders.reduce((first, holder) => Math.min(first, holder.since.from), Infinity);
  row.wait = row.waiters.reduce((first, waiter) => Math.min(first, waiter.since.from), Infinity);
  return row;
}

/// Who waits for which locks.
function waitsOf(rows) {
  const waits = new Map();
  for (const row of rows) {
    for (const { who } of row.waiters) waits.has(who) ? waits.get(who).push(row) : waits.set(who, [row]);
  }
  return waits;
}

/// Circles longer than this are not looked for.
const CIRCLE_MAX = 50;

/// Circles of holders that wait for each other: of each the locks with their holders, each of whom waits for the next lock.
/// Whoever holds a unit of a semaphore holds up nobody for certain.
function circlesOf(rows, waits) {
  const circles = [];
  const seen = new Set();
  const visit = (row, path) => {
    const start = path.findIndex(step => step.row === row);
    if (start >= 0) circles.push(path.slice(start));
    if (start >= 0 || seen.has(row) || path.length === CIRCLE_MAX) return;
    seen.add(row);
    for (const holder of row.holders) {
      if (!holder.slots) for (const next of waits.get(holder.who) ?? []) visit(next, [...path, { row, holder }]);
    }
  };
  for (const row of rows) if (row.waiting > 0) visit(row, []);
  return circles;
}

/// Whether any text in the row has this, which is in lower case.
function mentions(row, text) {
  const has = field => field !== undefined && String(field).toLowerCase().includes(text);
  const isOf = place => has(place.connection) || has(place.client) || has(place.owner) || has(place.label);
  return has(row.name) || row.holders.some(isOf) || row.waiters.some(isOf);
}

const byText = (one, other) => one < other ? -1 : one > other ? 1 : 0;
const holderOf = row => row.holders[0]?.connection ?? "";

/// Orders by the columns, each as it is sorted first. Moments are small for what lasts long.
const ORDERS = {
  name: (one, other) => byText(one.name, other.name),
  waiting: (one, other) => other.waiting - one.waiting,
  wait: (one, other) => one.wait === other.wait ? 0 : one.wait - other.wait,
  holder: (one, other) => byText(holderOf(one), holderOf(other)),
  held: (one, other) => one.held === other.held ? 0 : one.held - other.held,
};

/// What is stuck comes first, whatever else is asked for.
function orderBy(column, isReversed) {
  const sign = isReversed ? -1 : 1;
  return (one, other) => sign * ORDERS[column](one, other) || ORDERS.wait(one, other) || ORDERS.waiting(one, other)
    || ORDERS.held(one, other) || ORDERS.name(one, other);
}

/// What there is to say about a lock that is not plain.
function noteOf(row, now) {
  const notes = [];
  const [first] = row.holders;
  if (row.until) notes.push(`closed, opens in ${span((row.until.from - now) / 1000)}`);
  if (first?.slots) notes.push(`${count(row.holding)} of ${counted(first.slots, "unit", "units")}`);
  if (first?.mode === "shared") notes.push(row.holding === 1 ? "shared" : `shared by ${count(row.holding)}`);
  if (first?.until) notes.push(`lease ${span((first.until.from - now) / 1000)}`);
  return notes.join(", ");
}

function buildRow(row, open) {
  const element = make("tr");
  element.setAttribute("role", "row");
  element.dataset.name = row.name;
  const cell = (className, label, ...children) => {
    const cell = make("td", className, ...children);
    cell.setAttribute("role", "cell");
    if (label) cell.dataset.label = label;
    return cell;
  };
  const name = make("bdi", "name");
  put(name, row.name);
  const button = make("button", "open", name);
  if (row.name.length > 40) button.title = plain(row.name);
  button.addEventListener("click", () => open(row.name));
  const head = make("th", "lock", button);
  head.scope = "row";
  head.setAttribute("role", "rowheader");
  const parts = element.parts = {
    waiting: cell("number", "waiting"), wait: cell("number", "longest"), held: cell("number", "held for"),
    connection: make("bdi", "connection"), client: make("bdi", "client"), others: make("span", "hint"),
    label: make("bdi", "label"), notes: make("span"), next: make("bdi", "name next"),
  };
  element.append(head, parts.waiting, parts.wait,
    cell("holder", "", make("div", "few", parts.connection, " ", parts.client, " ", parts.others)), parts.held,
    cell("notes", "", make("div", "few", parts.next, " ", parts.notes, " ", parts.label)));
  return element;
}

function updateRow(element, row) {
  const { parts } = element;
  const [first] = row.holders;
  element.row = row;
  element.classList.toggle("contended", row.waiting > 0);
  set(parts.waiting, row.waiting > 0 ? count(row.waiting) : "–");
  put(parts.connection, first?.connection);
  put(parts.client, first?.client);
  put(parts.label, first?.label);
  set(parts.others, row.holding > 1 ? `+ ${count(row.holding - 1)}` : first ? "" : "nobody");
}

/// The times of a row go on.
function tickRow(element, now) {
  const { parts, row } = element;
  set(parts.wait, row.wait < Infinity ? span((now - row.wait) / 1000) : "–");
  set(parts.held, row.held < Infinity ? span((now - row.held) / 1000) : "–");
  set(parts.notes, noteOf(row, now));
}

/// Says that the holder of a lock is itself held up.
function linkRow(element, waits) {
  const [next] = element.row.holders.flatMap(holder => waits.get(holder.who) ?? []);
  put(element.parts.next, element.row.waiting > 0 ? next?.name : undefined);
}
