// The page Models: a row a model, kept up by one poll for all of them. Data reaches the page only as text nodes and numbers, never as HTML.

import { followTheme, link, make } from "./page.js";
import { show } from "./morph.js";
import { call, poll, speak } from "./server.js";
import { ago, hour, language, milliseconds, percent, figure, texts, time } from "./language.js";
import { lamp, roleOf, sentence, trafficBar } from "./standing.js";

const PERIOD_MS = 3000;
const t = await texts((name) => import(`./texts.${name}.js`));
speak(t);
const place = (id) => document.getElementById(id);
const CHIPS = {
  all: () => true,
  needs: (model) => model.needs.length > 0,
  trial: (model) => ["trial", "paused", "mirror", "hold"].includes(model.word),
  broken: (model) => model.word === "broken" || model.word === "down",
};
let chosen = "all", latest = null;

// What needs a person comes first, then what moves, then the others by name.
const ORDER = (model) => (model.needs.length ? 0 : ["trial", "paused", "mirror", "gpu", "under_way"].includes(model.word) ? 1 : model.word === "idle" ? 3 : 2);
const found = (model, words) => words.every((word) => `${model.model} ${model.description} ${model.task} ${sentence(t, model)}`.toLowerCase().includes(word));

function row(model, unknown) {
  const name = make("a", { href: `model?name=${encodeURIComponent(model.model)}`, title: model.description || null }, model.model);
  const now = make("td", { class: "now", title: model.facts.problem ?? sentence(t, model) }, lamp(t, model), ...needs(model));
  return make("tr", { "data-key": model.model },
    make("th", { scope: "row" }, name),
    now,
    make("td", { class: "traffic" }, trafficBar(t, model, unknown)),
    ...figures(model, unknown),
    make("td", { class: "drift" }, drift(model)),
    make("td", { class: "last" }, run(model.run)));
}

// Why a person is needed beyond what the row's sentence says already.
const needs = (model) => model.needs.filter((word) => word !== model.word).map((word) => make("span", { class: "need" }, t(`needs.${word}`)));

function figures(model, unknown) {
  const dim = (key, text) => make("td", { class: "number soft", "data-head": t(key) }, text);
  const keys = ["head.rate", "head.errors", "head.p50"];
  if (unknown.includes("live") || !model.live) return keys.map((key) => dim(key, t("unknown")));
  const { per_minute, error_rate, p50_ms } = model.live;
  const nothing = () => [make("span", { "aria-hidden": "true" }, "–"), make("span", { class: "sr" }, t("no_requests"))];
  const cell = (key, value, text, tone = "") => make("td", { class: `number ${tone}`, "data-head": t(key) }, ...(value === null ? nothing() : [text]));
  return [
    cell(keys[0], per_minute, figure(per_minute), per_minute ? "" : "soft"),
    cell(keys[1], error_rate, error_rate === null ? "" : percent(error_rate), error_rate > 0.01 ? "bad" : ""),
    cell(keys[2], p50_ms, p50_ms === null ? "" : milliseconds(p50_ms)),
  ];
}

const DRIFTS = { PASS: "good", NOTICE: "warn", ALARM: "bad", "NOT KNOWN": "warn" };

function drift(model) {
  if (!model.drift) return make("span", { class: "soft" }, t("drift.none"));
  const tone = DRIFTS[model.drift.decision] ?? "open";
  return make("span", { class: tone, title: time(model.drift.at) }, t(`drift.${model.drift.decision}`));
}

function run(last) {
  if (!last) return make("span", { class: "soft" }, t("run.none"));
  const words = [t(`run.${last.state}`), last.at ? ago(last.at) : ""].filter(Boolean).join(", ");
  const node = link(`dags/${encodeURIComponent(last.dag_id)}/runs/${encodeURIComponent(last.run_id)}`, words);
  if (last.at) node.title = time(last.at);
  return node;
}

function draw() {
  if (!latest) return;
  const words = place("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const all = [...latest.models].sort((a, b) => ORDER(a) - ORDER(b) || a.model.localeCompare(b.model, language));
  const chips = Object.entries(CHIPS).map(([name, wanted]) =>
    make("button", { type: "button", "data-key": name, "aria-pressed": String(name === chosen) }, t(`chip.${name}`), " ", make("span", { class: "soft" }, String(all.filter(wanted).length))));
  show(place("chips"), chips);
  const shown = all.filter(CHIPS[chosen]).filter((model) => found(model, words));
  const heads = ["model", "now", "traffic", "rate", "errors", "p50", "drift", "run"].map((name) => make("th", { scope: "col", class: `head-${name}` }, t(`head.${name}`)));
  const table = make("table", { class: "models", "aria-label": t("models") }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...shown.map((model) => row(model, latest.unknown))));
  const none = make("p", { class: "empty" }, all.length ? t("none_found") : t("no_model"));
  show(place("models"), shown.length ? table : none);
  const count = t("shown", { shown: shown.length, all: all.length });
  if (place("count").textContent !== count) place("count").textContent = count;
}

async function refresh() {
  latest = await call("lifecycle/v1/overview");
  const missing = [latest.registry_problem, latest.unknown.includes("split") || latest.unknown.includes("live") ? t("gateway.unknown") : ""].filter(Boolean).join(" ");
  place("registry").textContent = missing;
  place("registry").hidden = !missing;
  draw();
}

place("chips").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  chosen = button.dataset.key;
  draw();
});
place("find").addEventListener("input", draw);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, textarea, select")) {
    event.preventDefault();
    place("find").focus();
  }
});
document.title = t("models");
followTheme();
poll(refresh, PERIOD_MS, { pulse: place("pulse"), problem: place("problem"), hour });
