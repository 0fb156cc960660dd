// A model's page: what it stands at, what can be done, its trial, its versions, how to call it, its runs. Data reaches the page only as text
// nodes and numbers, never as HTML.

import { followTheme, link, make } from "./page.js";
import { show } from "./morph.js";
import { call, poll, speak } from "./server.js";
import { figure, hour, milliseconds, percent, texts, time } from "./language.js";
import { lamp, trafficBar } from "./standing.js";
import { acts, alerts, runs } from "./runs.js";
import { revisionsTable, servingDeeds, splitButton } from "./revisions.js";
import { hold, retrain, rollback } from "./deeds.js";
import { Trial } from "./trial.js";
import { Versions } from "./versions.js";
import { Calling } from "./calling.js";
import { Hours } from "./hours.js";
import { Logs } from "./logs.js";

const PERIOD_MS = 2000;
const t = await texts((name) => import(`./texts.${name}.js`));
speak(t);
const place = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const SUFFIX = /_(lifecycle|rollback|monitoring|batch|labelling|labels)$/;
const dag = query.get("dag"), tab = dag !== null;
const name = tab ? dag.replace(SUFFIX, "") : query.get("name") ?? "";
// Within a DAG's tab nothing leads back to the list: that is another page of Airflow's.
if (!tab) show(place("back"), make("a", { href: "ui" }, t("back")));
document.title = name || t("head.model");
place("name").textContent = name;

const trial = new Trial(t, name), versions = new Versions(t, name), calling = new Calling(t, name), hours = new Hours(t, name), logs = new Logs(t, name);
let latest = null, served = null, servedProblem = "";

function facts(line, unknown) {
  const champion = line.aliases.champion, live = line.live;
  const role = (alias) => (unknown.includes("registry") && line.aliases[alias] === undefined ? t("unknown") : line.aliases[alias] === undefined ? t("nobody") : `v${line.aliases[alias]}`);
  const card = (key, value, tone = "") => make("div", { class: `fact ${tone}` }, make("dt", {}, t(key)), make("dd", {}, value));
  const of = (value, words) => (unknown.includes("live") || !live ? t("unknown") : value === null ? t("no_requests.short") : words(value));
  return make("dl", { class: "facts" },
    card("role.champion", role("champion"), "champion"),
    card("role.challenger", role("challenger"), line.aliases.challenger === undefined ? "" : "challenger"),
    card("role.previous", role("previous")),
    card("head.rate", of(live?.per_minute ?? null, figure)),
    card("head.errors", of(live?.error_rate ?? null, percent), live?.error_rate > 0.01 ? "bad" : ""),
    card("head.p50", of(live?.p50_ms ?? null, milliseconds)));
}

function head(line, unknown, summary) {
  const mlflow = versions.mlflow;
  const buttons = make("p", { class: "buttons" },
    make("button", { type: "button", "data-do": "retrain" }, t("retrain")),
    make("button", { type: "button", "data-do": "rollback" }, t("rollback")),
    make("button", { type: "button", "data-do": "hold" }, t(summary.hold ? "hold.release" : "hold")),
    mlflow ? make("a", { class: "button", href: mlflow, target: "_blank", rel: "noopener" }, t("mlflow")) : "",
    tab ? "" : Object.assign(link(`dags/${encodeURIComponent(name)}_lifecycle`, t("dag")), { className: "button" }));
  const held = summary.hold ? make("p", { class: "warn" }, t("held", { who: summary.hold.who, at: time(summary.hold.at), why: summary.hold.why })) : "";
  const problem = line.facts.problem ? make("pre", { class: "broken", tabindex: "0" }, line.facts.problem) : "";
  return [
    summary.description ? make("p", { class: "soft" }, summary.description) : "",
    make("p", { class: "stands" }, lamp(t, line), ...line.needs.filter((word) => word !== line.word).map((word) => make("span", { class: "need" }, t(`needs.${word}`)))),
    problem, held, buttons,
    facts(line, unknown),
    make("div", { class: "live" }, make("h2", {}, t("traffic")), trafficBar(t, line, unknown)),
  ];
}

// What its servers are at and shall be; the rest of the page does without it.
async function lookAtServers() {
  try {
    [served, servedProblem] = [await call(`serving/v1/models/${encodeURIComponent(name)}`), ""];
  } catch (error) {
    servedProblem = error.status === 404 ? "" : error.message;
    if (error.status === 404) served = null;
  }
}

function servers() {
  const problem = servedProblem ? make("p", { class: "bad" }, servedProblem) : "";
  return make("section", { "data-key": "servers", "aria-labelledby": "h-servers" }, make("h2", { id: "h-servers" }, t("servers")), problem,
    served ? [served.fallback_active ? make("p", { class: "warn" }, t("fallback", { fallback: served.fallback })) : "", revisionsTable(t, [served], false), make("p", { class: "buttons" }, splitButton(t, served))].flat().filter(Boolean).reduce((box, part) => (box.append(part), box), make("div", {})) : make("p", { class: "soft" }, t(servedProblem ? "unknown" : "none.yet")));
}

function missing(overview) {
  const words = [overview.registry_problem, overview.unknown.includes("split") || overview.unknown.includes("live") ? t("gateway.unknown") : ""].filter(Boolean).join(" ");
  place("registry").textContent = words;
  place("registry").hidden = !words;
}

async function refresh() {
  const [overview, summary, firing] = await Promise.all([call("lifecycle/v1/overview"), call("lifecycle/v1/summary", { query: { model: name } }), call("lifecycle/v1/alerts", { query: { firing: true } })]);
  const line = overview.models.find((one) => one.model === name), model = summary.models[0];
  missing(overview);
  if (!line) {
    show(place("head"), make("p", { class: "empty" }, t(tab ? "no_such.dag" : "no_such", { name: tab ? dag : name })));
    show(place("trial"));
    show(place("body"));
    return;
  }
  const facts = model ?? { hold: null, description: "", runs: [], acts: [], revisions: [], aliases: line.aliases };
  latest = { line, model: facts };
  await Promise.all([trial.look(facts), versions.look(facts), calling.look(facts), hours.look(), logs.look(facts), lookAtServers()]);
  const settle = Logs.follow();
  show(place("head"), head(line, overview.unknown, facts));
  show(place("trial"), trial.section(facts, calling));
  show(place("body"),
    alerts(t, firing.filter((one) => one.model === name)), acts(t, facts), hours.section(), versions.section(facts), calling.section(), runs(t, facts, name), servers(), logs.section(facts));
  settle();
  trial.tick();
}

const again = poll(refresh, PERIOD_MS, { pulse: place("pulse"), problem: place("problem"), hour });
const DEEDS = {
  retrain: () => retrain(t, name, latest.line, again),
  rollback: () => rollback(t, name, versions.list, again),
  hold: () => hold(t, name, latest.model.hold, again),
  ...servingDeeds(t, () => served),
};
document.querySelector("main").addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (!button || !latest) return;
  const deed = DEEDS[button.dataset.do] ?? [trial, versions, calling, logs].find((part) => part.deeds[button.dataset.do])?.deeds[button.dataset.do];
  deed?.(button, again);
});
document.querySelector("main").addEventListener("change", (event) => [versions, calling, logs].some((part) => part.changed?.(event.target, again)));
followTheme();
