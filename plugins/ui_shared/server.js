// Asks the plugins' JSON APIs and Airflow's own. What fails is a sentence for a person; a server that hangs is given up on.

const AIRFLOW = new URL("../../", import.meta.url); // wherever Airflow is mounted
const PATIENCE_S = 10;

// The texts that a failure is told in: set once by the page.
let words = (key, facts) => `${key} ${JSON.stringify(facts ?? {})}`;
export const speak = (t) => (words = t);

export class Failed extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

// path: within Airflow ("lifecycle/v1/overview", "api/v2/dags/…"), or a whole URL.
export async function call(path, { method = "GET", body = null, query = {}, kind = "json", patienceS = PATIENCE_S } = {}) {
  const url = new URL(path, AIRFLOW);
  for (const [key, value] of Object.entries(query)) if (value !== null && value !== undefined) url.searchParams.set(key, value);
  const headers = { Accept: kind === "json" ? "application/json" : "*/*", ...(body ? { "Content-Type": "application/json" } : {}) };
  let answer;
  try {
    answer = await fetch(url, { method, headers, signal: AbortSignal.timeout(1000 * patienceS), credentials: "same-origin", body: body && JSON.stringify(body) });
    if (answer.ok) return await (kind === "json" ? answer.json() : answer.text());
  } catch (error) {
    throw new Failed(error.name === "TimeoutError" ? words("server.hangs", { seconds: patienceS }) : words("server.away"), 0);
  }
  const said = await answer.json().then((json) => json.detail, () => "");
  throw refused(answer.status, said, method, url.pathname);
}

// What the server's refusal is to a person; said: its "detail".
export function refused(status, said, method, path) {
  if (status === 401) return new Failed(words("server.session"), status);
  if (status === 403 && (!said || said === "Forbidden")) {
    return new Failed(method === "GET" ? words("server.forbidden") : words("server.may_not"), status);
  }
  const detail = typeof said === "string" ? said : Array.isArray(said) ? said.map((one) => one.msg ?? "").join(" ") : "";
  return new Failed(detail || words("server.answered", { path, status }), status);
}

// Keeps a page fresh: refresh() is called now, every period while the page is looked at, and at once when it is looked at again; never twice
// at a time. What it throws is shown with since when, and what was known stays, marked as old.
export function poll(refresh, periodMs, { pulse, problem, now = () => new Date(), hour }) {
  let turning = null, good = null, timer = 0;
  const turn = async () => {
    clearTimeout(timer);
    try {
      await refresh();
      good = now();
      document.body.classList.remove("stale");
      say(problem, "");
      pulse.textContent = words("pulse", { at: hour(good) });
    } catch (error) {
      document.body.classList.toggle("stale", good !== null);
      say(problem, good ? words("server.since", { why: error.message, at: hour(good) }) : error.message);
      if (!good) pulse.textContent = words("pulse.never");
    }
    timer = setTimeout(once, periodMs);
  };
  const once = () => {
    if (document.hidden) {
      timer = setTimeout(once, periodMs);
      return Promise.resolve();
    }
    turning ??= turn().finally(() => (turning = null));
    return turning;
  };
  document.addEventListener("visibilitychange", () => document.hidden || once());
  once();
  return once;
}

function say(place, sentence) {
  if (place.textContent !== sentence) place.textContent = sentence;
  place.hidden = !sentence;
}
