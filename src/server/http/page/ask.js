// Requests: one at a time, whoever wants them.

/// A server that is busy or stopped may need this long, in milliseconds.
const PATIENCE = 10_000;

/// The server has said no. `status` is that of HTTP.
class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/// There is no answer.
class Unanswered extends Error {}

let last = Promise.resolve();
/// How long the last answer took, in milliseconds.
let latency = 0;

/// Asks for a path, relative to the page. `fields` make it a POST. Rejects with `Refused` or `Unanswered`.
/// With another mark than that of the page the browser asks who its user is, if the server wants to know.
function ask(path, fields, mark = "page") {
  const answer = last.then(() => send(path, fields, mark));
  last = answer.catch(() => {});
  return answer;
}

async function send(path, fields, mark) {
  // Not relative to the address of the document, which may have credentials in it: `fetch` refuses those.
  const url = new URL(path, location.origin + location.pathname);
  const options = { cache: "no-store", redirect: "error", signal: AbortSignal.timeout(PATIENCE), headers: { "X-Officer": mark } };
  if (fields) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(fields);
  }
  const sent = performance.now();
  const response = await fetch(url, options).catch(unanswered);
  const isJson = response.headers.get("Content-Type") === "application/json";
  const body = await (isJson ? response.json() : response.text()).catch(unanswered);
  latency = performance.now() - sent;
  if (response.status !== 200) {
    const message = isJson ? body.message ?? body.result : body.trim();
    throw new Refused(response.status, message);
  }
  heard();
  return body;
}

function unanswered(error) {
  throw new Unanswered(error.message);
}

function query(path, fields) {
  return `${path}?${new URLSearchParams(fields)}`;
}

/// What an answer has under a name, which may be any text.
function entry(value, name) {
  return Object.hasOwn(value, name) ? value[name] : undefined;
}
