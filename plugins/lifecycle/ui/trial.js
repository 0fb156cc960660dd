// A trial as a control room: the rail of its steps with a countdown, a lamp a rule, what a person may do, and the curves.

import { make } from "./page.js";
import { call } from "./server.js";
import { ago, countdown, figure, time } from "./language.js";
import { curves } from "./trial_curves.js";
import { order } from "./deeds.js";
import { sentences, state } from "./runs.js";

const SILENT_S = 20; // without a request for so long, the page says how to send some
const LAMPS = { true: ["good", "✓"], false: ["bad", "✗"], null: ["open", "○"] };

// A canary is on trial while its run is under way, has come to its task, and has no verdict of it yet.
const underWay = (model) => model.runs.find((one) => one.tasks.some((task) => task.task_id === "canary") && !one.verdicts.some((verdict) => verdict.kind === "canary"));

export class Trial {
  constructor(t, name) {
    this.t = t;
    this.name = name;
    this.run = null;
    this.found = null;
    this.problem = "";
    this.deeds = Object.fromEntries(["pause", "resume", "promote", "end"].map((what) => [`order-${what}`, (button, after) => order(t, this.run.run_key, what, this.version, after)]));
    setInterval(() => this.tick(), 1000);
  }

  async look(model) {
    this.run = underWay(model) ?? null;
    this.version = model.aliases.challenger ?? "?";
    this.champion = model.aliases.champion ?? "?";
    this.problem = "";
    if (!this.run) return void (this.found = null);
    try {
      this.found = await call("lifecycle/v1/trial", { query: { run_key: this.run.run_key } });
      this.at = performance.now();
    } catch (error) {
      if (error.status !== 404) this.problem = error.message;
      if (error.status === 404) this.found = null; // its first look comes only after some seconds
    }
  }

  // Seconds of the trial that have passed by now, as far as the page can tell: its clock stands while it is paused.
  passed() {
    const { passed_s, age_s, paused, longest_s, plan } = this.found;
    const since = paused ? 0 : Math.min(age_s + (performance.now() - this.at) / 1000, 2 * plan.look_s);
    return Math.min(passed_s + since, longest_s);
  }

  // Between two polls the clock goes on by itself.
  tick() {
    const clock = document.getElementById("countdown");
    if (clock && this.found) clock.textContent = this.clock();
    const done = document.querySelector(".rail [aria-current] .done");
    if (done && this.found) done.style.width = `${100 * this.place().share}%`;
  }

  place() {
    const { plan, longest_s } = this.found, passed = this.passed(), mirror_s = longest_s - plan.steps.length * plan.step_s;
    if (this.found.mirrored || passed < mirror_s) return { step: -1, share: mirror_s ? passed / mirror_s : 1, left: mirror_s - passed };
    const step = Math.min(Math.floor((passed - mirror_s) / plan.step_s), plan.steps.length - 1), into = passed - mirror_s - step * plan.step_s;
    return { step, share: Math.min(into / plan.step_s, 1), left: Math.max(plan.step_s - into, 0) };
  }

  clock() {
    const { plan, longest_s, paused } = this.found, { step, left } = this.place(), next = plan.steps[step + 1];
    if (paused) return this.t("trial.stands", { left: countdown(longest_s - this.passed()) });
    if (step === plan.steps.length - 1) return left > 0 ? this.t("trial.decides", { left: countdown(left) }) : this.t("trial.about_to");
    return this.t("trial.next", { percent: next, left: countdown(left), end: countdown(longest_s - this.passed()) });
  }

  rail() {
    const { plan, longest_s } = this.found, { step, share } = this.place(), mirror = longest_s > plan.steps.length * plan.step_s;
    const stops = [...(mirror ? [[-1, this.t("trial.mirror")]] : []), ...plan.steps.map((percent, index) => [index, `${percent} %`]), [plan.steps.length, this.t("trial.promote")]];
    const items = stops.map(([index, words]) => {
      const done = make("span", { class: "done" });
      done.style.width = `${100 * (index < step ? 1 : index === step ? share : 0)}%`;
      const track = index === plan.steps.length ? "" : make("span", { class: "track" }, done);
      return make("li", { class: index < step ? "past" : index === step ? "here" : "", "aria-current": index === step ? "step" : null }, make("b", {}, words), track);
    });
    return make("ol", { class: `rail ${this.found.paused ? "paused" : ""}`, "aria-label": this.t("trial.rail") }, ...items);
  }

  lamps() {
    const { rules, per_s, plan, requests, longest_s } = this.found, left_s = longest_s - this.passed();
    const rows = rules.map((rule) => {
      const [tone, mark] = LAMPS[String(rule.passed)];
      const waits = rule.passed === null ? this.when(rule, { per_s, plan, requests, left_s }) : "";
      return make("li", { class: `rule ${tone}`, "data-key": rule.name },
        make("span", { class: "dot", "aria-hidden": "true" }, mark),
        make("div", {}, make("b", {}, this.t.has(`rule.${rule.name}`) ? this.t(`rule.${rule.name}`) : rule.name), make("span", { class: "sr" }, this.t(`lamp.${tone}`)),
          make("span", { class: "figures", lang: "en" }, make("span", {}, rule.figure), make("span", { class: "soft" }, rule.bar))),
        make("p", { class: "soft" }, waits, waits ? " " : "", make("span", { lang: "en" }, rule.detail)));
    });
    return make("ul", { class: "rules", "aria-label": this.t("trial.rules") }, ...rows);
  }

  // When an open rule is decided, at the pace of the latest looks.
  when(rule, { per_s, plan, requests, left_s }) {
    if (rule.name === "requests") {
      const missing = plan.min_requests - requests;
      if (missing <= 0) return "";
      return per_s > 0 ? this.t("rule.requests.when", { missing: figure(missing), left: countdown(missing / per_s) }) : this.t("rule.requests.never", { missing: figure(missing) });
    }
    if (!(per_s > 0)) return this.t("rule.when.never");
    return this.t("rule.when", { n: figure(Math.round(per_s * left_s)), left: countdown(left_s) });
  }

  // What to do when nobody calls: a trial without requests ends inconclusive.
  silence(calling) {
    const { per_s, requests, passed_s, paused } = this.found;
    if (paused || per_s > 0 || (requests > 0 && per_s === null) || passed_s < Math.min(SILENT_S, 2 * this.found.plan.look_s)) return "";
    const words = requests ? this.t("trial.silent.now") : this.t("trial.silent", { version: this.version, seconds: figure(Math.round(passed_s)) });
    return make("div", { class: "silent", role: "status" }, make("p", {}, make("b", {}, words), " ", this.t("trial.silent.why")), calling.loop());
  }

  deedsShown() {
    const { t } = this, last = this.found?.orders.at(-1)?.order, final = last === "promote" || last === "end";
    const button = (what, tone = "") => make("button", { type: "button", class: tone, "data-do": `order-${what}`, disabled: final ? "" : null }, t(`order.${what}`));
    return make("p", { class: "buttons" }, this.found?.paused ? button("resume", "main") : button("pause"), button("promote"), button("end"));
  }

  orders() {
    const { orders } = this.found;
    if (!orders.length) return "";
    return make("ul", { class: "said orders", "aria-label": this.t("trial.orders") }, ...orders.map((one) => make("li", { title: time(one.at) }, `${this.t(`order.${one.order}.done`, { who: one.who })} `, make("span", { class: "soft" }, ago(one.at)), `: ${one.why}`)));
  }

  section(model, calling) {
    const { t } = this;
    if (!this.run) return "";
    const title = make("h2", { id: "h-trial" }, t("trial.title", { canary: this.version, stable: this.champion }));
    const problem = this.problem ? make("p", { class: "bad" }, t("trial.unknown", { why: this.problem })) : "";
    const box = (...parts) => make("section", { class: "trial", "data-key": "trial", "aria-labelledby": "h-trial" }, title, problem, ...parts);
    if (!this.found) return box(make("p", { class: "soft" }, this.problem ? "" : t("trial.first")), this.deedsShown());
    const { decision, reasons, paused } = this.found;
    return box(
      this.rail(),
      make("p", { id: "countdown", class: `countdown ${paused ? "warn" : ""}` }, this.clock()),
      decision === "CONTINUE" ? "" : make("p", {}, state(t, decision), " ", sentences(reasons)),
      this.silence(calling),
      this.deedsShown(), this.orders(), this.lamps(),
      make("details", { open: "" }, make("summary", {}, t("trial.curves")), curves(t, this.found, { stable: this.champion, canary: this.version })));
  }
}
