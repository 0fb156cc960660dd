// A run's tab: a first fold that answers, what changed since the version before, and the report itself. Data reaches the page only as text
// nodes and numbers, never as HTML.

import { draw, followTheme, link, make } from "./page.js";
import { show } from "./morph.js";
import { call, poll, speak } from "./server.js";
import { figure, hour, texts } from "./language.js";
import { comparison } from "./compare.js";
import { sentences } from "./runs.js";
import { curves } from "./trial_curves.js";

const PERIOD_MS = 4000;
const t = await texts((name) => import(`./texts.${name}.js`));
speak(t);
const place = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search), dag = query.get("dag") ?? "", run = query.get("run") ?? "";
const CURVES = { errors: "error_harm", "error limit": "errors", latency: "latency_harm", "p99 limit": "times" };
let both = null;

const MARKS = { good: "✓", bad: "✗", warn: "!", open: "○" };
const label = (found) => (t.has(`label.${found.label}`) ? t(`label.${found.label}`) : found.label);

// The rule that decided, as a sentence, with its chart.
function rule(found) {
  if (!found.rule) return "";
  const { kind, name, figure: value, bar, detail } = found.rule;
  const kindName = t.has(`kind.${kind}`) ? t(`kind.${kind}`) : kind;
  return make("section", { "data-key": "rule", "aria-labelledby": "h-rule" }, make("h2", { id: "h-rule" }, t("rule.decided", { kind: kindName })),
    make("p", { lang: "en" }, make("b", {}, `${name}: `), `${value}; `, make("span", { class: "soft" }, bar)), detail ? make("p", { lang: "en" }, detail) : "",
    chartOf(found));
}

function chartOf(found) {
  const wanted = CURVES[found.rule?.name];
  if (found.rule?.kind === "canary" && found.trial) {
    const all = curves(t, found.trial, { stable: found.before ?? "?", canary: found.version ?? "?" }), title = t(`curve.${wanted ?? "errors"}`);
    return make("div", { class: "one" }, [...all.children].find((one) => one.dataset.key === title) ?? "");
  }
  return found.rule?.kind === "gate" && found.scores ? intervals(found) : "";
}

// The gate's metric of both versions, each with its interval.
function intervals({ scores, version, before }) {
  const rows = [[version ? `v${version}` : t("report.this"), scores.mine, "canary"], ...(scores.champion ? [[before ? `v${before}` : t("role.champion"), scores.champion, "stable"]] : [])];
  const known = rows.flatMap(([, pair]) => pair).filter(Number.isFinite), low = Math.min(...known), high = Math.max(...known), room = (high - low) * 0.15 || Math.abs(high) * 0.1 || 1;
  const x = (value) => 70 + ((value - low + room) / (high - low + 2 * room)) * 240;
  const svg = draw("svg", { viewBox: `0 0 330 ${28 * rows.length + 26}`, class: "curve", role: "img" });
  svg.append(draw("title", {}, rows.map(([name, [value]]) => `${name}: ${scores.metric} ${figure(value)}`).join(", ")));
  rows.forEach(([name, [value, from, to], look], index) => {
    const y = 18 + 28 * index;
    svg.append(draw("text", { x: 62, y: y + 4, "text-anchor": "end" }, name));
    if (Number.isFinite(from) && Number.isFinite(to)) svg.append(draw("line", { x1: x(from), x2: x(to), y1: y, y2: y, class: `line ${look}` }));
    svg.append(draw("circle", { cx: x(value), cy: y, r: 5, class: look }), draw("text", { x: x(value), y: y - 8, "text-anchor": "middle" }, figure(value)));
  });
  svg.append(draw("text", { x: 190, y: 28 * rows.length + 20, "text-anchor": "middle" }, scores.metric));
  return make("figure", { class: "one" }, svg);
}

function fold(found) {
  const links = [
    link(`dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(run)}`, t("run")),
    found.report ? make("a", { href: `report/${encodeURIComponent(found.report)}/`, target: "_blank", rel: "noopener" }, t("report.alone")) : "",
    found.mlflow ? make("a", { href: found.mlflow, target: "_blank", rel: "noopener" }, "MLflow") : "",
    found.report && found.has_docs ? make("a", { href: `report/${encodeURIComponent(found.report)}/data_docs/index.html`, target: "_blank", rel: "noopener" }, t("report.data")) : "",
    make("a", { href: `model?name=${encodeURIComponent(found.model)}` }, t("report.model", { model: found.model })),
  ].filter(Boolean);
  const changed = found.before && found.version && found.before !== found.version;
  return [
    make("div", { class: `outcome ${found.tone}` }, make("p", { class: "label" }, make("span", { "aria-hidden": "true" }, `${MARKS[found.tone]} `), label(found)), make("p", { lang: "en" }, found.sentence), sentences(found.reasons.slice(0, 6))),
    found.began ? make("p", { class: "soft", lang: "en" }, found.began) : "",
    make("p", { class: "links" }, ...links.flatMap((one, index) => (index ? [" · ", one] : [one]))),
    found.registry_problem ? make("p", { class: "warn" }, found.registry_problem) : "",
    make("p", { class: "buttons" },
      changed ? make("button", { type: "button", "data-do": "changed", "aria-expanded": String(Boolean(both)) }, t("report.changed", { before: found.before })) : "",
      make("button", { type: "button", "data-do": "markdown" }, t("report.markdown"))),
    make("textarea", { id: "markdown", readonly: "", rows: 8, "aria-label": t("report.markdown"), hidden: "" }),
    both ? comparison(t, both) : "",
    rule(found),
  ];
}

// The report has no rights of its own: it is shown in a frame, and loads itself again while MLflow is away.
function frame(found) {
  if (!found.report) return make("p", { class: "soft" }, t(["running", "queued"].includes(found.state) ? "report.later" : "report.none"));
  const theme = document.documentElement.dataset.theme ?? "";
  return make("iframe", { "data-key": "frame", src: `report/${encodeURIComponent(found.report)}/${theme ? `?theme=${theme}` : ""}`, title: t("report.whole"), sandbox: "allow-popups", loading: "lazy" });
}

let found = null;
async function refresh() {
  if (found && !["running", "queued"].includes(found.state) && found.report && !found.registry_problem) return; // it will not change any more
  found = await call("lifecycle/v1/outcome", { query: { run_key: `${dag}/${run}` } }).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  });
  paint();
}

function paint() {
  place("name").textContent = found ? `${found.model}${found.version ? ` v${found.version}` : ""}` : run;
  document.title = t("report");
  if (!found) return void show(place("fold"), make("p", { class: "empty" }, t("report.foreign")));
  show(place("fold"), fold(found));
  place("markdown").value = found.markdown;
  show(place("report"), frame(found));
}

const DEEDS = {
  async changed() {
    if (both) both = null;
    else both = await call("lifecycle/v1/compare", { query: { model: found.model, a: found.before, b: found.version } }).catch((error) => ({ problem: error.message }));
    paint();
  },
  async markdown(button) {
    const text = place("markdown");
    try {
      await navigator.clipboard.writeText(found.markdown);
      button.textContent = t("copied");
      setTimeout(() => (button.textContent = t("report.markdown")), 1500);
    } catch {
      // A frame may be denied the clipboard: then the text is shown, selected.
      text.hidden = false;
      text.select();
    }
  },
};
document.querySelector("main").addEventListener("click", (event) => DEEDS[event.target.closest("[data-do]")?.dataset.do]?.(event.target.closest("[data-do]")));
followTheme();
poll(refresh, PERIOD_MS, { pulse: place("pulse"), problem: place("problem"), hour });
