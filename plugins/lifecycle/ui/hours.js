// What a model was asked in the last hours: requests and errors a minute, and times, out of the gateway's log.

import { make } from "./page.js";
import { call } from "./server.js";
import { chart } from "./curves.js";
import { figure, milliseconds, time } from "./language.js";

const EVERY_MS = 60000, MINUTE_S = 60;
const clock = (at) => time(at, { timeStyle: "short" });

// Every step that is known, those without a request included.
function dense({ since, until, known_since: known, step_s: step, steps }) {
  const of = new Map(steps.map((one) => [Date.parse(one.at), one])), found = [], first = Math.max(Date.parse(since), Date.parse(known));
  // The step under way is left out: it would look like a fall.
  for (let at = first; at + 1000 * step <= Date.parse(until); at += 1000 * step) {
    const { requests = 0, errors = 0, p50_ms = null, p95_ms = null } = of.get(at) ?? {};
    found.push({ at_s: (at - first) / 1000, requests: (requests * MINUTE_S) / step, errors: (errors * MINUTE_S) / step, p50_ms, p95_ms, at });
  }
  return found;
}

export class Hours {
  constructor(t, name) {
    Object.assign(this, { t, name, found: null, problem: "", due: 0 });
  }

  async look() {
    if (Date.now() < this.due) return;
    this.due = Date.now() + EVERY_MS;
    try {
      [this.found, this.problem] = [await call(`serving/v1/models/${encodeURIComponent(this.name)}/metrics`), ""];
    } catch (error) {
      this.problem = error.status === 404 ? "" : error.message;
    }
  }

  figures(series) {
    const { t } = this, ends = [clock(series[0].at), clock(series.at(-1).at)], about = { series, ends, fromZero: true };
    const key = (one, other) => make("p", { class: "key" }, make("b", { class: "stable" }, `— ${t(one)} `), make("b", { class: "canary" }, `- - ${t(other)}`));
    const drawn = (title, one, other, options) => make("figure", { "data-key": title }, make("h3", {}, title), key(one, other), chart({ title, ...about, ...options }));
    const seen = series.some((step) => step.p50_ms !== null);
    return make("div", { class: "curves hours" },
      drawn(t("hours.requests"), "hours.all", "hours.errors", { show: figure, curves: [{ key: "requests", class: "stable" }, { key: "errors", class: "canary" }] }),
      seen ? drawn(t("hours.times"), "hours.p50", "hours.p95", { show: milliseconds, curves: [{ key: "p50_ms", class: "stable" }, { key: "p95_ms", class: "canary" }] }) : "");
  }

  section() {
    const { t, found, problem } = this;
    const series = found?.known_since ? dense(found) : [];
    const since = found?.known_since && found.known_since > found.since ? make("p", { class: "soft" }, t("hours.since", { at: time(found.known_since) })) : "";
    const body = series.some((step) => step.requests) ? this.figures(series) : make("p", { class: "soft" }, t(series.length ? "hours.none" : "hours.unknown"));
    return make("section", { "data-key": "hours", "aria-labelledby": "h-hours" }, make("h2", { id: "h-hours" }, t("hours")), problem ? make("p", { class: "bad" }, problem) : "", body, since);
  }
}
