// One lock: who holds it, its queue, and how to end that.

/// Rows of a list. What is left out is counted.
const LIST_MAX = 75;

class LockView {
  /// `refresh()` asks for everything as soon as possible. `waitsFor(place)`: the locks that a holder waits for.
  constructor(refresh, waitsFor) {
    this.waitsFor = waitsFor;
    this.dialog = $("lock");
    this.question = $("question");
    this.refresh = refresh;
    $("lock-close").addEventListener("click", () => this.dialog.close());
    $("question-no").addEventListener("click", () => this.question.close());
    $("question-yes").addEventListener("click", () => {
      const { act } = this;
      this.question.close();
      act();
    });
    for (const dialog of [this.dialog, this.question]) {
      dialog.addEventListener("click", event => event.target === dialog && dialog.close());
      dialog.addEventListener("close", () => this.closed(dialog));
    }
    $("closed").querySelector("button").addEventListener("click", () => this.askOpen());
  }

  get name() {
    return this.dialog.open ? this.row?.name : undefined;
  }

  open(name, row) {
    this.opener = document.activeElement;
    this.show(row ?? digest(undefined, name, FREE, performance.now()));
    if (!row) set($("lock-summary"), "Asking …");
    say("", "");
    this.dialog.showModal();
    $("says-here").append($("says"));
    this.dialog.scrollTop = 0;
    this.refresh();
  }

  /// Goes on to the lock that a holder waits for.
  follow(place) {
    const [next] = this.waitsFor(place);
    if (!next) return;
    this.show(next);
    $("lock-close").focus();
    this.refresh();
  }

  closed(dialog) {
    if (dialog === this.question) {
      this.act = undefined;
      if (!this.dialog.contains(document.activeElement)) $("lock-close").focus();
      return;
    }
    say("", "");
    $("says-there").append($("says"));
    const row = $("locks").tBodies[0].known?.get(this.row.name)?.querySelector("button");
    const isThere = this.opener.isConnected && this.opener !== document.body;
    (isThere ? this.opener : row ?? $("filter")).focus();
  }

  show(row) {
    this.row = row;
    put($("lock-name"), row.name);
    keep($("holders"), row.holders.slice(0, LIST_MAX), place => place.key, place => this.buildPlace(place, true), (item, place) => {
      updatePlace(item, place);
      const [next] = this.waitsFor(place);
      put(item.parts.next.firstElementChild, next?.name);
      hide(item.parts.next, !next);
    });
    keep($("queue"), row.waiters.slice(0, LIST_MAX), place => place.key, place => this.buildPlace(place, false), updatePlace);
    const left = (all, shown) => all > shown ? `and ${count(all - shown)} more` : "";
    set($("holders-note"), left(row.holding, Math.min(row.holders.length, LIST_MAX)) || (row.holding > 0 ? "" : "Nobody holds it."));
    set($("queue-note"), left(row.waiting, Math.min(row.waiters.length, LIST_MAX)) || (row.waiting > 0 ? "" : "Nobody waits."));
    hide($("closed"), !row.until);
    this.tick(performance.now());
  }

  tick(now) {
    const { row } = this;
    const held = row.holders.length > 0 ? `Held for ${span((now - row.held) / 1000)}. ` : "";
    const note = noteOf(row, now);
    set($("lock-summary"), row.waiting > 0
      ? `${held}${counted(row.waiting, "waits", "wait")}, the longest for ${span((now - row.wait) / 1000)}. ${note}`
      : row.holders.length > 0 || note ? `${held}${note}` : "Nobody holds this lock or waits for it.");
    if (row.until) set($("closed").firstElementChild, `Nobody gets it for ${span((row.until.from - now) / 1000)}.`);
    for (const list of [$("holders"), $("queue")]) for (const item of list.children) tickPlace(item, now);
  }

  buildPlace(place, isHolder) {
    const item = make("li");
    const parts = item.parts = {
      connection: make("bdi", "connection"), client: make("bdi", "client"), owner: make("bdi", "owner"),
      label: make("bdi", "label"), facts: make("span"), time: make("span", "time number"),
    };
    const kick = make("button", "kick", "Kick");
    kick.setAttribute("aria-label", `Kick ${plain(place.connection)}`);
    kick.addEventListener("click", () => this.askKick(item.place, isHolder));
    const buttons = make("span", "acts", kick);
    if (isHolder) {
      const next = parts.next = make("button", "open next", make("bdi", "name"));
      next.addEventListener("click", () => this.follow(item.place));
      const revoke = make("button", "revoke", "Revoke");
      revoke.setAttribute("aria-label", `Revoke from ${plain(place.connection)}`);
      revoke.addEventListener("click", () => this.askRevoke(item.place));
      buttons.prepend(revoke);
    }
    item.isHolder = isHolder;
    item.append(make("div", "who", parts.connection, " ", parts.client), parts.time,
      make("div", "more", parts.owner, parts.label, parts.facts, ...isHolder ? [parts.next] : []), buttons);
    return item;
  }

  /// Asks before something is done. The texts are words of our own and elements with those of clients.
  confirm(title, yes, paragraphs, act) {
    $("question-title").replaceChildren(...title);
    $("question-text").replaceChildren(...paragraphs.map(parts => make("p", "", ...parts)));
    set($("question-yes"), yes);
    this.act = act;
    this.question.showModal();
  }

  /// What becomes of the lock.
  afterwards(gone) {
    const next = this.row.waiters.find(waiter => waiter.connection !== gone);
    const after = next ? ["Next in the queue is ", ...named(next), "."] : ["Nobody else waits for it."];
    return [after, ["The client's work is not stopped. Until it notices, two clients may do the same work."]];
  }

  askRevoke(place) {
    const { name } = this.row;
    this.confirm(["Revoke ", quoted(name), "?"], "Revoke", [
      [...named(place), " loses this lock. It keeps its connection, and everything else that it holds and waits for."],
      ...this.afterwards(place.connection),
    ], () => this.execute(place, `${plain(place.connection)} has lost the lock.`, "api/revoke", { name, token: place.token }));
  }

  askKick(place, isHolder) {
    const { name } = this.row;
    const others = make("span");
    const loses = isHolder ? " loses " : " leaves the queue of ";
    this.confirm(["Kick ", quoted(place.connection), "?"], "Kick", [
      [...named(place), loses, quoted(name), " and everything else that it holds and waits for: its connection is closed, and its "
        + "session ends. ", others],
      ...isHolder ? this.afterwards(place.connection) : [],
    ], () => this.execute(place, `${plain(place.connection)} was kicked.`, "api/kick", { connection: place.connection }));
    describe(place.connection, others);
  }

  askOpen() {
    const { name } = this.row;
    this.confirm(["Open ", quoted(name), "?"], "Open", [
      ["It is closed so that whoever held it last can finish, or notice that it has lost the lock. Opened now, it passes on at once."],
      ...this.afterwards(),
    ], () => this.execute(undefined, "The lock is open.", "api/revoke", { name }));
  }

  /// Does it, if the place is still what the question was about.
  async execute(place, done, path, fields) {
    const { name } = this.row;
    try {
      if (place && path === "api/kick") {
        const answer = await ask(query("api/locks", { name }));
        const row = digest(undefined, name, entry(answer.value, name) ?? FREE, performance.now());
        if (![...row.holders, ...row.waiters].some(other => other.key === place.key)) {
          throw new Refused(404, "it is no longer on this lock, so it was not kicked");
        }
      }
      await ask(path, fields);
      say("", done);
    } catch (error) {
      say(refusal(error, place), "");
    }
    this.refresh();
  }
}

/// Why something was not done.
function refusal(error, place) {
  const who = place ? `${plain(place.connection)}: ` : "";
  if (!(error instanceof Refused)) return `${who}the server does not answer. It may have been done all the same: look at the list.`;
  switch (error.message) {
    case "kick_failed": return `${who}there is no such connection any longer. Nobody was kicked.`;
    case "revoke_failed": return `${who}that hold has ended by itself. Nothing was revoked.`;
    default: return `${who}the server refuses (${error.status}): ${plain(error.message)}`;
  }
}

/// A connection with what it says of itself.
function named(place) {
  return place.client ? [quoted(place.connection), " (", quoted(place.client), ")"] : [quoted(place.connection)];
}

/// Pages of connections that are looked through for one.
const PAGES_MAX = 10;

/// Says what else a connection holds, and when it was heard of.
async function describe(connection, element) {
  let after;
  try {
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const answer = await ask(query("api/connections", after ? { after } : {}));
      const row = entry(answer.value, connection);
      if (row) {
        set(element, `It holds ${counted(row.holds, "lock", "locks")}, waits for ${count(row.waits)}, and last sent something `
          + `${span(row.silent_for)} ago.`);
        return;
      }
      after = answer.next;
      if (!after) return;
    }
  } catch {
    // The question is complete without it.
  }
}

function updatePlace(item, place) {
  const { parts } = item;
  item.place = place;
  put(parts.connection, place.connection);
  put(parts.client, place.client);
  put(parts.owner, place.owner);
  put(parts.label, place.label);
}

function tickPlace(item, now) {
  const { parts, place } = item;
  set(parts.time, span((now - place.since.from) / 1000));
  const facts = [];
  if (place.mode === "shared") facts.push("shared");
  if (place.slots) facts.push(`1 of ${counted(place.slots, "unit", "units")}`);
  if (place.priority) facts.push(`priority ${place.priority}`);
  if (place.until) facts.push(`${item.isHolder ? "lease ends" : "gives up"} in ${span((place.until.from - now) / 1000)}`);
  if (place.token !== undefined) facts.push(`token ${place.token}`);
  set(parts.facts, facts.join(", "));
}
