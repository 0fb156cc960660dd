// A model's latest runs with what they found, its servers, what alerts say and what they brought about.

import { link, make } from "./page.js";
import { ago, time } from "./language.js";

const TONES = {
  PASS: "good", PROMOTE: "good", success: "good", RUNNING: "good", STANDBY: "good",
  FAIL: "bad", ROLLBACK: "bad", failed: "bad", ERROR: "bad", ALARM: "bad", critical: "bad", LOST: "bad",
  NOTICE: "warn", "NOT KNOWN": "warn", INCONCLUSIVE: "warn", "ENDED BY HAND": "warn", STARTING: "warn", STOPPING: "warn", PREEMPTED: "warn", warning: "warn",
};
const MARKS = { good: "✓ ", bad: "✗ ", warn: "! ", open: "" };

export function state(t, word, text = "") {
  const tone = TONES[word] ?? "open", key = `said.${word}`;
  return make("span", { class: `state ${tone}` }, MARKS[tone] + (text || (t.has(key) ? t(key) : word.toLowerCase())));
}

// Sentences of verdicts are the judge's own, in English.
export const sentences = (list, classes = "said") => (list.length ? make("ul", { class: classes, lang: "en" }, ...list.map((words) => make("li", {}, words))) : "");

const section = (title, ...parts) => make("section", { "data-key": title, "aria-label": title }, make("h2", {}, title), ...parts);

function run(t, one) {
  const last = one.verdicts[one.verdicts.length - 1];
  const version = one.verdicts.map((verdict) => verdict.version).findLast((number) => number !== null && number !== undefined);
  const kind = (verdict) => (t.has(`kind.${verdict.kind}`) ? t(`kind.${verdict.kind}`) : verdict.kind);
  const head = make("div", {},
    state(t, one.state), last ? make("span", {}, `${kind(last)}: `, state(t, last.decision)) : "",
    version ? make("span", {}, `v${version}`) : "",
    make("span", { class: "soft", title: one.start_date ? time(one.start_date) : null }, one.start_date ? ago(one.start_date) : t("run.not_started")),
    link(`dags/${encodeURIComponent(one.dag_id)}/runs/${encodeURIComponent(one.run_id)}`, t("run")),
    one.report ? make("a", { href: `run?dag=${encodeURIComponent(one.dag_id)}&run=${encodeURIComponent(one.run_id)}` }, t("report")) : "");
  const now = one.tasks.map((task) => make("p", { class: "doing", lang: "en" }, `${task.task_id} ${task.why}`));
  const way = one.verdicts.slice(0, -1).map((verdict) => `${kind(verdict)}: ${t.has(`said.${verdict.decision}`) ? t(`said.${verdict.decision}`) : verdict.decision}`).join(" · ");
  return make("li", { class: "run", "data-key": one.run_key }, head, one.began ? make("p", { class: "soft", lang: "en" }, one.began) : "", ...now,
    last ? clamped(t, last.reasons) : "", way ? make("p", { class: "way" }, t("run.before", { way })) : "");
}

// Long messages are cut to some lines, and unfold.
function clamped(t, reasons) {
  if (!reasons.length) return "";
  if (reasons.join(" ").length < 400 && reasons.length < 5) return sentences(reasons);
  return make("details", {}, make("summary", { lang: "en" }, `${reasons[0].slice(0, 300)}${reasons[0].length > 300 ? " …" : ""} `, make("span", { class: "soft" }, t("more"))), sentences(reasons));
}

export function runs(t, model, name) {
  const look = model.runs.find((one) => one.dag_id.endsWith("_monitoring"));
  const [newest, ...older] = model.runs.filter((one) => one !== look);
  const first = make("p", { class: "soft" }, t("run.first"), " ", link(`dags/${encodeURIComponent(name)}_lifecycle`, `${name}_lifecycle`));
  const more = older.length ? make("details", {}, make("summary", {}, t("run.earlier", { count: older.length })), make("ul", { class: "runs" }, ...older.map((one) => run(t, one)))) : "";
  return [
    section(t("runs"), newest ? make("ul", { class: "runs" }, run(t, newest)) : first, more),
    look ? section(t("look"), make("ul", { class: "runs" }, run(t, look))) : "",
  ];
}

// What Prometheus has found amiss and still does.
export function alerts(t, found) {
  if (!found.length) return "";
  const rows = found.map((one) => make("li", {}, state(t, one.severity, one.name), " ", make("span", { lang: "en" }, one.summary), " ", make("span", { class: "soft" }, t("since", { at: time(one.starts_at) }))));
  return section(t("alerts"), make("ul", { class: "said" }, ...rows));
}

// What alerts and verdicts have brought about, or why they have not.
export function acts(t, model) {
  if (!model.acts.length) return "";
  const rows = model.acts.map((one) => {
    const [dag, id] = one.run_key.split(/\/(.*)/);
    const word = t.has(`act.${one.act}`) ? t(`act.${one.act}`) : one.act;
    return make("li", {}, state(t, one.state), " ", id ? link(`dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(id)}`, word) : word, " ",
      make("span", { lang: "en" }, `${one.name}: ${one.summary} ${one.reason} `), make("span", { class: "soft" }, time(one.at)));
  });
  return section(t("acts"), make("ul", { class: "said" }, ...rows));
}
