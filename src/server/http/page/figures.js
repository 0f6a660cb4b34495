// What `stats` says: the hottest locks, grants per second, and the histograms of waits and holds.

/// For how long samples are kept, and how far apart two may be for a line between them.
const MINUTES = 5;
const WINDOW = MINUTES * 60_000;
const GAP = 3_500;

/// The rows of a histogram: all buckets up to a bound in seconds.
const ROWS = [[0.001, "up to 1 ms"], [0.01, "10 ms"], [0.1, "100 ms"], [1, "1 s"], [10, "10 s"], [60, "1 min"], [600, "10 min"],
  [3600, "1 h"], [Infinity, "longer"]];

const HOTTEST_FEW = 8;

class Figures {
  /// `open(name)` shows a lock.
  constructor(open) {
    this.samples = [];
    this.open = open;
    this.showsAll = false;
    this.line = draw("g", {});
    this.base = make("span", "axis");
    this.top = make("span", "axis");
    this.chart = draw("svg", { viewBox: "0 0 300 64", preserveAspectRatio: "none", role: "img" },
      draw("path", { class: "grid", d: "M0 63.5H300M0 .5H300" }), this.line);
    $("grants").append(this.top, this.chart, this.base);
    for (const [id, what] of [["waits", "Grants by how long they were waited for"], ["holds", "Holds that ended, by how long they lasted"]]) {
      $(id).replaceChildren(make("caption", "hint", what), histogramHead(), make("tbody"));
    }
    $("all-hottest").addEventListener("click", () => {
      this.showsAll = !this.showsAll;
      this.showHottest();
    });
  }

  /// Takes an answer in.
  take(stats, at) {
    const last = this.samples.at(-1);
    // A server that was started again counts from 0.
    const isNew = !last || stats.uptime < last.stats.uptime || stats.grants < last.stats.grants;
    const life = isNew ? (last?.life ?? 0) + 1 : last.life;
    const passed = isNew ? 0 : stats.uptime - last.stats.uptime;
    const isNext = passed > 0 && at - last.at < GAP && passed * 1000 < GAP;
    const rate = isNext ? (stats.grants - last.stats.grants) / passed : undefined;
    this.samples.push({ at, stats, life, rate });
    while (this.samples[0].at < at - WINDOW) this.samples.shift();
    this.show();
  }

  show() {
    this.showHottest();
    this.showGrants();
    const last = this.samples.at(-1);
    const first = this.samples.find(sample => sample.life === last.life);
    for (const [id, key] of [["waits", "wait"], ["holds", "hold"]]) {
      showHistogram($(id), last.stats[key], first.stats[key], last.stats.uptime - first.stats.uptime);
    }
  }

  showHottest() {
    const all = this.samples.at(-1)?.stats.hottest ?? [];
    const rows = this.showsAll ? all : all.slice(0, HOTTEST_FEW);
    const most = all.length > 0 ? all[0].waited : 1;
    keep($("hottest"), rows, row => row.name, row => this.buildHot(row), (item, row) => {
      mark(item.bar, "width", most > 0 ? (100 * row.waited / most).toFixed(1) : 0);
      set(item.time, span(row.waited));
      set(item.waits, row.waits > 0 ? `${count(row.waits)} new` : "");
    });
    hide($("hottest").nextElementSibling, all.length > 0);
    hide($("all-hottest"), all.length <= HOTTEST_FEW);
    set($("all-hottest"), this.showsAll ? "Show fewer" : `Show all ${all.length}`);
  }

  buildHot(row) {
    const button = make("button", "open", quoted(row.name));
    button.addEventListener("click", () => this.open(row.name));
    const item = make("li");
    item.bar = draw("rect", { height: 4, rx: 1 });
    item.time = make("span", "number");
    item.waits = make("span", "hint number");
    item.append(button, item.time, item.waits,
      draw("svg", { viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" }, item.bar));
    return item;
  }

  showGrants() {
    const now = this.samples.at(-1).at;
    const most = Math.max(...this.samples.map(sample => sample.rate ?? 0));
    const top = roundUp(most);
    const x = sample => 300 - 300 * (now - sample.at) / WINDOW;
    const y = sample => 63 - 62 * sample.rate / top;
    let path = "";
    let isOn = false;
    for (const sample of this.samples) {
      if (sample.rate !== undefined) path += `${isOn ? "L" : "M"}${x(sample).toFixed(2)} ${y(sample).toFixed(2)}`;
      isOn = sample.rate !== undefined;
    }
    this.path ??= this.line.appendChild(draw("path", { class: "line" }));
    mark(this.path, "d", path || "M0 0");
    const current = this.samples.at(-1).rate;
    const words = current === undefined ? "measuring …" : `now ${perSecond(current)}, at most ${perSecond(most)}`;
    set(this.top, `${perSecond(top)} per second`);
    set(this.base, `the last ${MINUTES} minutes: ${words}`);
    mark(this.chart, "aria-label", `Grants per second in the last ${MINUTES} minutes: ${words}`);
  }
}

function perSecond(rate) {
  return rate < 10 && rate % 1 !== 0 ? rate.toFixed(1) : count(Math.round(rate));
}

/// The next of 1, 2, 5, 10, 20, …
function roundUp(number) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(1, number)));
  return [1, 2, 5, 10].map(times => times * unit).find(top => top >= number);
}

function histogramHead() {
  const head = make("tr");
  for (const [text, scope] of [["within", ""], ["", ""], ["lately", "number"], ["since the start", "number"]]) {
    head.append(text ? make("th", scope, text) : make("td"));
  }
  return make("thead", "", head);
}

/// The counts of the buckets in each of our rows.
function sums({ bounds, counts }) {
  const rows = ROWS.map(() => 0);
  counts.forEach((number, index) => rows[ROWS.findIndex(([bound]) => (bounds[index] ?? Infinity) <= bound)] += number);
  return rows;
}

function showHistogram(table, now, before, seconds) {
  const whole = sums(now);
  const lately = sums(before).map((number, index) => whole[index] - number);
  // A page that was just opened has counted nothing yet. The heading of what is drawn stands out.
  const isLately = lately.some(number => number > 0);
  const drawn = isLately ? lately : whole;
  const most = Math.max(1, ...drawn);
  table.tHead.rows[0].cells[2].classList.toggle("drawn", isLately);
  table.tHead.rows[0].cells[3].classList.toggle("drawn", !isLately);
  set(table.tHead.rows[0].cells[2], seconds < 1 ? "lately" : `last ${span(Math.min(seconds, WINDOW / 1000)).replace(" 00s", "")}`);
  const body = table.tBodies[0];
  keep(body, ROWS.map((_, index) => index), index => index, buildBucket, (row, index) => {
    mark(row.bar, "width", drawn[index] ? Math.max(1.5, 100 * drawn[index] / most).toFixed(1) : 0);
    set(row.cells[2], lately[index] ? compact.format(lately[index]) : "–");
    set(row.cells[3], whole[index] ? compact.format(whole[index]) : "–");
  });
}

function buildBucket(index) {
  const label = make("th", "number", ROWS[index][1]);
  label.scope = "row";
  const row = make("tr");
  row.bar = draw("rect", { height: 8, rx: 1 });
  row.append(label,
    make("td", "bar", draw("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, row.bar)),
    make("td", "number"), make("td", "number"));
  return row;
}
