// The page Serving: every revision as it is and as it shall be, and the traffic of each model that can be shared.

import { followTheme, make } from "./page.js";
import { show } from "./morph.js";
import { call, poll, speak } from "./server.js";
import { hour, texts } from "./language.js";
import { trafficBar } from "./standing.js";
import { reconcilerSaid, revisionsTable, servingDeeds, scaleButton, splitButton } from "./revisions.js";

const PERIOD_MS = 3000;
const t = await texts((name) => import(`./texts.${name}.js`));
speak(t);
const place = (id) => document.getElementById(id);
const CHIPS = { all: () => true, traffic: (row) => row.weight > 0 || row.mirrored, amiss: (row) => ["error", "preempted"].includes(row.state) || row.step !== "none" };
let chosen = "all", latest = null;

function draw() {
  if (!latest) return;
  const words = place("find").value.toLowerCase().split(/\s+/).filter(Boolean), every = latest.models.flatMap((model) => model.revisions);
  show(place("chips"), Object.entries(CHIPS).map(([name, wanted]) => make("button", { type: "button", "data-key": name, "aria-pressed": String(name === chosen) }, t(`serving.${name}`), " ", make("span", { class: "soft" }, String(every.filter(wanted).length)))));
  const found = latest.models.filter((model) => words.every((word) => model.model.includes(word)));
  const models = found.map((model) => ({ ...model, revisions: model.revisions.filter(CHIPS[chosen]) }));
  show(place("revisions"), revisionsTable(t, models, true));
  const shared = found.filter((model) => Object.keys(model.weights).length || model.fallback_active);
  show(place("splits"), shared.length ? make("section", { "aria-labelledby": "h-splits" }, make("h2", { id: "h-splits" }, t("traffic")), ...shared.map((model) =>
    make("div", { class: "shared", "data-key": model.model }, make("b", {}, model.model), trafficBar(t, { ...model, split: { weights: model.weights, mirror: model.mirror } }, []),
      make("span", { class: "acts" }, model.fallback_active ? make("span", { class: "warn" }, t("fallback", { fallback: model.fallback })) : splitButton(t, model), scaleButton(t, model))))) : "");
}

async function refresh() {
  latest = await call("serving/v1/models");
  const said = [reconcilerSaid(t, latest.reconciler), latest.registry_problem].filter(Boolean).join(" ");
  place("said").textContent = said;
  place("said").hidden = !said;
  draw();
}

const again = poll(refresh, PERIOD_MS, { pulse: place("pulse"), problem: place("problem"), hour });
const DEEDS = servingDeeds(t, (name) => latest.models.find((model) => model.model === name));
document.querySelector("main").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.do) DEEDS[button.dataset.do]?.(button, again);
  else if (button?.dataset.key && place("chips").contains(button)) {
    chosen = button.dataset.key;
    draw();
  }
});
place("find").addEventListener("input", draw);
document.title = t("serving");
followTheme();
