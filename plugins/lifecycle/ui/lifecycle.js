// The lifecycle's page: asks the plugin's JSON API every two seconds and shows what it says.
// Data reaches the page only as text nodes and numbers, never as HTML.

import { chart, milliseconds, percent } from "./curves.js";
import { clock, followTheme, keepFresh, link, make } from "./page.js";

const PERIOD_MS = 2000;
const API = new URL("../v1/", import.meta.url);
const TONES = {
  PASS: "good", PROMOTE: "good", success: "good", RUNNING: "good", STANDBY: "good",
  FAIL: "bad", ROLLBACK: "bad", failed: "bad", ERROR: "bad",
  ALARM: "bad", NOTICE: "warn", "NOT KNOWN": "warn",
  INCONCLUSIVE: "warn", "ENDED BY HAND": "warn", STARTING: "warn", STOPPING: "warn", PREEMPTED: "warn",
  critical: "bad", warning: "warn",
};
const MARKS = { good: "✓ ", bad: "✗ ", warn: "! ", open: "" };
const ARMS = ["stable", "canary"];
const opened = new Set();
let shown = "";

function state(word, text = word) {
  const tone = TONES[word] ?? "open";
  return make("span", { class: `state ${tone}` }, MARKS[tone] + text.toLowerCase());
}

async function ask(path, parameters = {}) {
  const url = new URL(path, API);
  for (const [key, value] of Object.entries(parameters)) url.searchParams.set(key, value);
  const answer = await fetch(url, { credentials: "same-origin", headers: { Accept: "application/json" } });
  if (answer.status === 401 || answer.status === 403) throw new Error("Airflow's session has ended, or you may not view plugins. Log in and reload.");
  if (!answer.ok) throw new Error(`${url.pathname} answered ${answer.status}.`);
  return answer.json();
}

const roleOf = (model, version) => Object.keys(model.aliases).find((name) => model.aliases[name] === Number(version)) ?? "";

function roles(model) {
  const names = ["champion", "challenger", "previous"];
  const cards = names.map((name) => {
    const version = model.aliases[name];
    return make("li", { class: version === undefined ? "none" : name }, make("span", { class: "soft" }, name), make("b", {}, version === undefined ? "–" : `v${version}`));
  });
  return make("ul", { class: "roles" }, ...cards);
}

function traffic(model) {
  const parts = Object.entries(model.split?.weights ?? {});
  if (!parts.length) return make("p", { class: "soft" }, "No revision gets traffic through this machine's gateway.");
  const bars = parts.map(([version, weight]) => {
    const bar = make("li", { class: roleOf(model, version) }, `v${version}: ${weight} %`);
    bar.style.flexGrow = weight;
    return bar;
  });
  const mirror = model.split.mirror ? make("p", { class: "soft" }, `v${model.split.mirror} gets a copy of all of it.`) : "";
  return make("div", {}, make("ul", { class: "split", "aria-label": "live traffic" }, ...bars), mirror);
}

function revisions(model) {
  if (!model.revisions.length) return make("p", { class: "soft" }, "None yet.");
  const rows = model.revisions.slice(0, 6).map((row) =>
    make("tr", {}, make("th", { scope: "row" }, `v${row.version}`), make("td", {}, state(row.state)), make("td", { class: "soft" }, roleOf(model, row.version)),
      make("td", { class: "soft" }, `${row.backend} on ${row.target}`), make("td", { class: "soft" }, clock(row.updated_at)), make("td", {}, row.message)));
  const heads = ["Version", "State", "Role", "Server", "Since", "Message"].map((words) => make("th", { scope: "col" }, words));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));
}

function run(one) {
  const last = one.verdicts[one.verdicts.length - 1];
  const version = one.verdicts.map((verdict) => verdict.version).findLast((number) => number !== null && number !== undefined);
  const head = make("div", {},
    state(one.state), last ? make("span", {}, `${last.kind}: `, state(last.decision)) : "",
    version ? make("span", {}, `v${version}`) : "",
    make("span", { class: "soft" }, one.start_date ? clock(one.start_date) : "not started"),
    link(`dags/${encodeURIComponent(one.dag_id)}/runs/${encodeURIComponent(one.run_id)}`, "run"),
    one.report ? link(`lifecycle/report/${encodeURIComponent(one.report)}/`, "report", true) : "");
  const now = one.tasks.map((task) => make("p", { class: "now" }, `${task.task_id} ${task.why}`));
  const said = (last?.reasons ?? []).map((reason) => make("li", {}, reason));
  const way = one.verdicts.slice(0, -1).map((verdict) => `${verdict.kind}: ${verdict.decision.toLowerCase()}`).join(" · ");
  return make("li", { class: "run" }, head, one.began ? make("p", { class: "soft" }, one.began) : "", ...now, said.length ? make("ul", { class: "said" }, ...said) : "", way ? make("p", { class: "way" }, `before: ${way}`) : "");
}

function figure(title, key, options) {
  return make("figure", {}, make("h4", {}, title), make("p", { class: "key" }, ...key), chart({ title, ...options }));
}

function trial(one, model) {
  const { plan, series } = one, versions = { stable: model.aliases.champion, canary: model.aliases.challenger };
  const steps = plan.steps.map((weight, index) => ({ at: index * plan.step_s, words: `${weight} %` }));
  const arms = ARMS.map((arm) => make("b", { class: arm }, `${arm === "stable" ? "—" : "- -"} ${arm}${versions[arm] ? ` (v${versions[arm]})` : ""} `));
  const meaning = "Estimate, and the room between the judge's bounds. Above the margin with its lower bound: rolled back at once. Below the tolerance with its upper bound, at the end: promoted.";
  const harm = (kind, title) => figure(title, [meaning], {
    series, steps, show: percent,
    curves: [{ key: `${kind}_harm`, class: "canary" }], band: { lower: `${kind}_harm_lower`, upper: `${kind}_harm_upper` },
    levels: [
      { value: plan[`${kind}_margin`], words: `rollback above ${percent(plan[`${kind}_margin`])}`, class: "bad" },
      { value: plan[`${kind}_tolerance`], words: `promotion below ${percent(plan[`${kind}_tolerance`])}`, class: "good" },
    ],
  });
  const last = series[series.length - 1];
  const head = make("div", {}, make("h4", {}, one.mirrored ? "Canary: mirrored traffic" : `Canary: ${last.weight} % of traffic`), make("p", {}, state(one.decision), " ", one.reasons.join(" ")));
  const waiting = one.waiting.length ? make("div", {}, make("h3", {}, "Why it is waiting"), make("ul", {}, ...one.waiting.map((words) => make("li", {}, words)))) : "";
  const curves = make("div", { class: "curves" },
    figure("Cumulative error rate", arms, {
      series, steps, show: percent, fromZero: true, curves: ARMS.map((arm) => ({ key: `${arm}_error_rate`, class: arm })),
      levels: [{ value: plan.max_error_rate, words: `limit ${percent(plan.max_error_rate)}`, class: "" }],
    }),
    harm("error", "Harm in error rate"),
    figure("Latency, p50 and p99 (thin)", arms.map((arm) => arm.cloneNode(true)), {
      series, steps, show: milliseconds, fromZero: true,
      curves: ARMS.flatMap((arm) => [{ key: `${arm}_p50_ms`, class: arm }, { key: `${arm}_p99_ms`, class: `${arm} thin` }]),
      levels: plan.max_p99_ms ? [{ value: plan.max_p99_ms, words: `limit of p99: ${milliseconds(plan.max_p99_ms)}`, class: "" }] : [],
    }),
    harm("latency", "Harm in latency"),
    ...(plan.chat ? chats(series, steps, plan.chat, arms) : []),
    ...answers(series, steps));
  return make("div", { class: "trial" }, head, waiting, curves);
}

// What a language model's trial looks at besides: the time of its tokens, and whose answers to the same live prompts are right.
function chats(series, steps, plan, arms) {
  const last = series[series.length - 1], key = () => arms.map((arm) => arm.cloneNode(true));
  const time = (name, title, limit) => figure(`${title}, p50 and p95 (thin)`, key(), {
    series, steps, show: milliseconds, fromZero: true,
    curves: ARMS.flatMap((arm) => [{ key: `${arm}_${name}_p50_ms`, class: arm }, { key: `${arm}_${name}_p95_ms`, class: `${arm} thin` }]),
    levels: limit ? [{ value: limit, words: `limit of p95: ${milliseconds(limit)}`, class: "" }] : [],
  });
  const share = (name, title) => figure(title, key(), { series, steps, show: percent, fromZero: true, curves: ARMS.map((arm) => ({ key: `${arm}_${name}`, class: arm })) });
  const seen = (name) => ARMS.some((arm) => Number.isFinite(last[`${arm}_${name}`]));
  return [
    ...(seen("ttft_p50_ms") ? [time("ttft", "Time to the first token", plan.max_ttft_ms)] : []),
    ...(seen("tpot_p50_ms") ? [time("tpot", "Time of each further token", plan.max_tpot_ms)] : []),
    ...(seen("bad_ends") ? [share("bad_ends", "Answers cut off or empty")] : []),
    ...(seen("right") ? [share("right", `Right answers to ${last.known} live prompts asked of both`)] : []),
  ];
}

// How many live rows the arms of a table's trial answered differently, beside what the held-out rows allow.
function answers(series, steps) {
  const last = series[series.length - 1];
  if (!last || !Number.isFinite(last.differ)) return [];
  return [figure(`${last.compared} live rows asked of both: answered differently`, [], {
    series, steps, show: percent, fromZero: true, curves: [{ key: "differ", class: "canary" }],
    levels: [{ value: last.differ_allowed, words: `rollback above ${percent(last.differ_allowed)}`, class: "bad" }],
  })];
}

// What Prometheus has found amiss and still does.
function alerts(found) {
  if (!found.length) return "";
  const rows = found.map((one) => make("li", {}, state(one.severity, one.name), ` ${one.summary} `, make("span", { class: "soft" }, `since ${clock(one.starts_at)}`)));
  return make("div", { class: "alerts" }, make("h3", {}, "Alerts"), make("ul", { class: "said" }, ...rows));
}

// What alerts and verdicts have brought about, or why they have not; and who holds it.
function acts(model) {
  const held = model.hold ? make("p", {}, state("HELD"), ` by ${model.hold.who} since ${clock(model.hold.at)}: ${model.hold.why}`) : "";
  if (!model.acts.length) return held;
  const rows = model.acts.map((one) => {
    const [dag, run] = one.run_key.split(/\/(.*)/);
    const what = run ? link(`dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(run)}`, one.act) : one.act;
    return make("li", {}, state(one.state), " ", what, ` because of ${one.name}: ${one.summary} ${one.reason} `, make("span", { class: "soft" }, clock(one.at)));
  });
  return make("div", { class: "alerts" }, held, make("h3", {}, "What alerts brought about"), make("ul", { class: "said" }, ...rows));
}

function card(model, live, firing) {
  const title = make("div", {}, make("h2", {}, model.model), model.description ? make("p", { class: "soft" }, model.description) : "");
  const look = model.runs.find((one) => one.dag_id.endsWith("_monitoring"));
  const [newest, ...older] = model.runs.filter((one) => one !== look);
  if (!newest && !model.revisions.length && !Object.keys(model.aliases).length) {
    const first = make("p", { class: "soft" }, "Nothing has run yet: trigger ", link(`dags/${encodeURIComponent(model.model)}_lifecycle`, `${model.model}_lifecycle`), ".");
    return make("section", { class: "model", "aria-label": model.model }, title, first);
  }
  const more = make("details", { "data-model": model.model }, make("summary", { class: "soft" }, `${older.length} earlier`), make("ul", { class: "runs" }, ...older.map(run)));
  more.open = opened.has(model.model);
  more.addEventListener("toggle", () => (more.open ? opened.add(model.model) : opened.delete(model.model)));
  return make("section", { class: "model", "aria-label": model.model }, title, alerts(firing), acts(model), roles(model),
    make("h3", {}, "Live traffic"), traffic(model),
    live ? trial(live, model) : "",
    make("h3", {}, "Latest runs"), newest ? make("ul", { class: "runs" }, run(newest)) : make("p", { class: "soft" }, "None yet: trigger its lifecycle DAG."),
    older.length ? more : "",
    ...(look ? [make("h3", {}, "Latest look at production"), make("ul", { class: "runs" }, run(look))] : []),
    make("h3", {}, "Revisions"), revisions(model));
}

// What moves comes first, then what serves, then what waits for its first run.
function place(model) {
  return onTrial(model) ? 0 : model.runs.some((one) => one.tasks.length) ? 1 : model.revisions.length || model.runs.length ? 2 : 3;
}

// A canary is on trial while its run is under way, has come to its task, and has no verdict of it yet.
function onTrial(model) {
  return model.runs.find((one) => one.tasks.some((task) => task.task_id === "canary") && !one.verdicts.some((verdict) => verdict.kind === "canary"));
}

async function look(model) {
  const one = onTrial(model);
  // Its first look comes only after look_s seconds.
  return one ? ask("trial", { run_key: one.run_key }).catch(() => null) : null;
}

async function refresh() {
  const problem = document.getElementById("problem"), pulse = document.getElementById("pulse");
  try {
    const summary = await ask("summary");
    summary.models.sort((a, b) => place(a) - place(b) || a.model.localeCompare(b.model));
    const live = await Promise.all(summary.models.map(look));
    const firing = await ask("alerts", { firing: true });
    const text = JSON.stringify([summary, live, firing]);
    if (text !== shown) {
      // Only when something is new: what a reader has selected or opened stays.
      const cards = summary.models.map((model, index) => card(model, live[index], firing.filter((one) => one.model === model.model)));
      const names = new Set(summary.models.map((model) => model.model)), others = firing.filter((one) => !names.has(one.model));
      if (others.length) cards.unshift(make("section", { class: "model", "aria-label": "platform" }, make("h2", {}, "Platform"), alerts(others)));
      const none = make("p", { class: "empty" }, "There is no model yet: add a folder with a model.yaml under include/models/.");
      document.getElementById("models").replaceChildren(...(cards.length ? cards : [none]));
      shown = text;
    }
    problem.textContent = summary.registry_problem;
    pulse.textContent = `As of ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    problem.textContent = error.message;
  }
  problem.hidden = !problem.textContent;
}

followTheme();
keepFresh(refresh, PERIOD_MS);
