// The curves of a trial, as its looks have them: errors, times, what the judge bounds, and what only some kinds of models have.

import { make } from "./page.js";
import { chart } from "./curves.js";
import { milliseconds, percent } from "./language.js";

const ARMS = ["stable", "canary"];

// versions: { stable, canary }.
export function curves(t, { plan, series }, versions) {
  const steps = plan.steps.map((weight, index) => ({ at: index * plan.step_s, words: `${weight} %` }));
  const key = () => ARMS.map((arm) => make("b", { class: arm }, `${arm === "stable" ? "—" : "- -"} v${versions[arm]} `));
  const figure = (title, about, options) => make("figure", { "data-key": title }, make("h3", {}, title), make("p", { class: "key" }, ...about), chart({ title, series, steps, ...options }));
  const limit = (value, show, what = "limit") => (value ? [{ value, words: t(`curve.${what}`, { value: show(value) }), class: "" }] : []);
  const harm = (kind) => figure(t(`curve.${kind}_harm`), [t("curve.meaning")], {
    show: percent, curves: [{ key: `${kind}_harm`, class: "canary" }], band: { lower: `${kind}_harm_lower`, upper: `${kind}_harm_upper` },
    levels: [
      { value: plan[`${kind}_margin`], words: t("curve.back", { value: percent(plan[`${kind}_margin`]) }), class: "bad" },
      { value: plan[`${kind}_tolerance`], words: t("curve.promote", { value: percent(plan[`${kind}_tolerance`]) }), class: "good" },
    ],
  });
  const times = (name, title, low, high, most) => figure(title, key(), {
    show: milliseconds, fromZero: true, levels: limit(most, milliseconds, high === "p99" ? "limit_p99" : "limit_p95"),
    curves: ARMS.flatMap((arm) => [{ key: `${arm}_${name}${low}_ms`, class: arm }, { key: `${arm}_${name}${high}_ms`, class: `${arm} thin` }]),
  });
  const share = (name, title, levels = []) => figure(title, key(), { show: percent, fromZero: true, levels, curves: ARMS.map((arm) => ({ key: `${arm}_${name}`, class: arm })) });
  const last = series.at(-1), seen = (name) => ARMS.some((arm) => Number.isFinite(last?.[`${arm}_${name}`]));
  const chat = plan.chat ? [
    seen("ttft_p50_ms") ? times("ttft_", t("curve.ttft"), "p50", "p95", plan.chat.max_ttft_ms) : "",
    seen("tpot_p50_ms") ? times("tpot_", t("curve.tpot"), "p50", "p95", plan.chat.max_tpot_ms) : "",
    seen("bad_ends") ? share("bad_ends", t("curve.bad_ends")) : "",
    seen("right") ? share("right", t("curve.right", { known: last.known })) : "",
  ] : [];
  // How many live rows the arms of a table's trial answered differently, beside what the held-out rows allow.
  const answers = last && Number.isFinite(last.differ) ? figure(t("curve.differ", { compared: last.compared }), [], {
    show: percent, fromZero: true, curves: [{ key: "differ", class: "canary" }],
    levels: [{ value: last.differ_allowed, words: t("curve.back", { value: percent(last.differ_allowed) }), class: "bad" }],
  }) : "";
  if (!last) return make("p", { class: "soft" }, t("trial.first"));
  return make("div", { class: "curves" },
    share("error_rate", t("curve.errors"), limit(plan.max_error_rate, percent)), harm("error"),
    times("", t("curve.times"), "p50", "p99", plan.max_p99_ms), harm("latency"), ...chat, answers);
}
