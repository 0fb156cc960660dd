// A model's versions: a line of them with why each went up or down, a table, and two of them side by side.

import { make } from "./page.js";
import { call } from "./server.js";
import { ago, figure, time } from "./language.js";
import { comparison } from "./compare.js";
import { state } from "./runs.js";

const KEPT_MS = 30000;
const WAYS = { up: ["good", "▲"], down: ["bad", "▼"], note: ["warn", "!"] };

export class Versions {
  constructor(t, name) {
    this.t = t;
    this.name = name;
    this.found = null;
    this.problem = "";
    this.ticked = [];
    this.comparison = null;
    this.asked = "";
    this.at = -Infinity;
    this.deeds = { compare: (_, after) => this.compare(after), uncompare: (_, after) => ((this.comparison = null), (this.ticked = []), after()) };
  }

  get mlflow() {
    return this.found?.mlflow ?? "";
  }

  // What the dialog of a return offers.
  get list() {
    return (this.found?.versions ?? []).map((one) => ({ ...one, said: this.reigned(one) }));
  }

  // Asked again when something of the model has changed, or after a while.
  async look(model) {
    const signature = JSON.stringify([model.aliases, model.revisions.map((one) => [one.version, one.state]), model.runs.map((one) => [one.run_key, one.state, one.verdicts.length])]);
    if (signature === this.asked && performance.now() - this.at < KEPT_MS) return;
    try {
      this.found = await call("lifecycle/v1/versions", { query: { model: this.name } });
      this.problem = "";
      this.asked = signature;
      this.at = performance.now();
    } catch (error) {
      this.problem = error.message;
    }
  }

  changed(input) {
    if (input.name !== "compare") return false;
    this.ticked = input.checked ? [...this.ticked, Number(input.value)].slice(-2) : this.ticked.filter((one) => one !== Number(input.value));
    for (const box of document.querySelectorAll("input[name=compare]")) box.checked = this.ticked.includes(Number(box.value));
    const button = document.querySelector("[data-do=compare]");
    if (button) button.disabled = this.ticked.length !== 2;
    return true;
  }

  async compare(after) {
    const [a, b] = [...this.ticked].sort((one, other) => one - other);
    try {
      this.comparison = await call("lifecycle/v1/compare", { query: { model: this.name, a, b } });
    } catch (error) {
      this.comparison = { problem: error.message };
    }
    await after();
    document.getElementById("h-compare")?.focus();
  }

  reigned(one) {
    const { t } = this, last = one.reigns.at(-1);
    if (!last && one.role === "champion") return t("version.now");
    if (!last) return t(one.moved.length && one.role !== "previous" ? "version.never" : "unknown");
    return last.until ? t("version.until", { at: time(last.until) }) : t("version.since", { at: time(last.since) });
  }

  // Oldest first, as time runs.
  line() {
    const { t } = this;
    const items = [...this.found.versions].reverse().slice(-12).map((one) => {
      const last = one.moved.at(-1), [tone, mark] = WAYS[last?.way] ?? ["open", "○"];
      return make("li", { class: `${one.role} ${tone}`, "data-key": String(one.version) },
        make("b", {}, make("span", { class: `mark ${tone}`, "aria-hidden": "true" }, mark), ` v${one.version}`, one.role ? make("span", { class: "role soft" }, ` ${t.has(`role.${one.role}`) ? t(`role.${one.role}`) : one.role}`) : ""),
        last ? make("span", { class: "what" }, t.has(`moved.${last.kind}.${last.way}`) ? t(`moved.${last.kind}.${last.way}`) : `${last.kind} ${last.decision}`, ", ", ago(last.at)) : make("span", { class: "soft" }, t("version.untold")),
        one.why ? make("span", { class: "why", lang: "en", title: one.why }, one.why) : "");
    });
    return make("ol", { class: "line-of-versions", "aria-label": t("versions.line"), tabindex: "0" }, ...items);
  }

  table() {
    const { t } = this;
    const heads = ["compare", "version", "role", "score", "champion", "server", "report"].map((key) => make("th", { scope: "col" }, t(`versions.${key}`)));
    const rows = this.found.versions.map((one) => {
      const box = make("input", { type: "checkbox", name: "compare", value: one.version, "aria-label": t("versions.tick", { version: one.version }) });
      box.checked = this.ticked.includes(one.version);
      const score = one.score === null ? make("span", { class: "soft" }, t("none.kept")) : make("span", {}, `${one.metric} ${figure(one.score)}`, one.low === null || one.high === null ? "" : make("span", { class: "soft" }, ` (${figure(one.low)} – ${figure(one.high)})`));
      const [dag, run] = one.run_key.split(/\/(.*)/);
      return make("tr", { "data-key": `v${one.version}` },
        make("td", {}, box), make("th", { scope: "row" }, `v${one.version}`), make("td", {}, t.has(`role.${one.role}`) ? t(`role.${one.role}`) : one.role),
        make("td", {}, score), make("td", {}, this.reigned(one)), make("td", {}, one.state ? state(t, one.state) : "", " ", make("span", { class: "soft" }, t(one.warm ? "warm" : "cold"))),
        make("td", {}, run ? make("a", { href: `run?dag=${encodeURIComponent(dag)}&run=${encodeURIComponent(run)}` }, t("report")) : ""));
    });
    return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));
  }

  section() {
    const { t } = this;
    const box = (...parts) => make("section", { "data-key": "versions", "aria-labelledby": "h-versions" }, make("h2", { id: "h-versions" }, t("versions")), ...parts);
    if (!this.found) return box(make("p", { class: this.problem ? "bad" : "soft" }, this.problem || t("loading")));
    if (!this.found.versions.length) return box(make("p", { class: "soft" }, t("versions.none")));
    const problem = this.problem ? make("p", { class: "bad" }, this.problem) : "";
    const close = make("button", { type: "button", "data-do": "uncompare" }, t("compare.close"));
    const button = make("button", { type: "button", "data-do": "compare", disabled: this.ticked.length === 2 ? null : "" }, t("compare"));
    return box(problem, this.line(), make("details", { open: "" }, make("summary", {}, t("versions.table")), this.table(), make("p", { class: "buttons" }, button)), this.comparison ? comparison(t, this.comparison, close) : "");
  }
}
