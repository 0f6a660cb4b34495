// What the tests ask of the page. Runs before the page's own scripts, and shares no name with them.
"use strict";
window.testing = (() => {
  const shown = (element) => element?.checkVisibility({ opacityProperty: true, visibilityProperty: true }) ?? false;
  const all = (selector) => [...document.querySelectorAll(selector)];
  const rows = () => all("#locks tr[data-name]").filter(shown);
  // Of one row, as text, one entry for each cell.
  const cells = (name) => {
    const row = rows().find((row) => row.dataset.name === name);
    return row && [...row.cells].map((cell) => cell.textContent.trim());
  };
  const text = (selector) => {
    const element = document.querySelector(selector);
    return shown(element) ? element.textContent : "";
  };
  const state = () => document.querySelector("#status")?.dataset.state;
  const isAsking = () => document.querySelector("dialog#question")?.open ?? false;

  // What went wrong, and what it cost.
  const seen = { errors: [], longest: 0, answers: [], hidden: [] };
  addEventListener("error", (event) => seen.errors.push(String(event.message)));
  addEventListener("unhandledrejection", (event) => seen.errors.push(String(event.reason)));
  document.addEventListener("securitypolicyviolation", (event) =>
    seen.errors.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`),
  );
  const observe = (type, handle) =>
    new PerformanceObserver((list) => list.getEntries().forEach(handle)).observe({ type, buffered: true });
  observe("longtask", (entry) => (seen.longest = Math.max(seen.longest, entry.duration)));
  observe("resource", (entry) => seen.answers.push(entry.startTime));
  // When it was hidden, and shown again, by turns.
  document.addEventListener("visibilitychange", (event) => seen.hidden.push(event.timeStamp));

  // Until what is asked for is so, for as long as it may take.
  const until = async (milliseconds, ask) => {
    const end = performance.now() + milliseconds;
    for (;;) {
      const value = await ask();
      if (value) return value;
      if (performance.now() > end) return null;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  return { shown, all, rows, cells, text, state, isAsking, seen, until };
})();
