// The form that asks what would become of a request, and its answer in words.

import { make } from "./page.js";
import { call } from "./pool.js";
import { place, size, told, when } from "./words.js";
import { t } from "./texts.js";

const UNITS = { gpus: t("u.gpus"), fraction: t("u.fraction"), memory: t("u.memory"), mig: t("u.mig") };
const STARTS = { gpus: "1", fraction: "0.3", memory: "20GiB", mig: "1g.10gb" };

export function whatIf() {
  const form = document.getElementById("what"), answer = document.getElementById("answer");
  form.elements.kind.addEventListener("change", () => {
    document.getElementById("unit").textContent = UNITS[form.elements.kind.value];
    form.elements.size.value = STARTS[form.elements.kind.value];
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      answer.replaceChildren(said(await call("what-if", { method: "POST", body: wish(form) })));
    } catch (error) {
      answer.replaceChildren(make("p", { class: "bad" }, error.message));
    }
  });
  document.getElementById("ask").disabled = false; // before, the browser would have sent the form itself
}

// The GPU models that there are, to choose from.
export function offer(models) {
  document.getElementById("models").replaceChildren(...models.map((model) => make("option", { value: model })));
}

function wish(form) {
  const { kind, size: how, models, priority, team } = form.elements, number = Number(how.value), counted = kind.value === "gpus" || kind.value === "fraction";
  if (counted && !Number.isFinite(number)) throw new Error(t("q.number", { unit: UNITS[kind.value], text: how.value }));
  const body = { [kind.value]: counted ? number : how.value.trim() };
  if (models.value.trim()) body.models = models.value.split(",").map((one) => one.trim()).filter(Boolean);
  if (priority.value) body.priority = Number(priority.value);
  if (team.value.trim()) body.team = team.value.trim();
  return body;
}

function said(answer) {
  const lines = [];
  if (answer.impossible) lines.push(make("p", { class: "bad" }, t("q.never")));
  else if (answer.possible_now) lines.push(make("p", { class: "good" }, ...told(t("q.yes", { place: place(answer.grants) }))));
  else lines.push(make("p", { class: "warn" }, t("q.not")));
  for (const reason of answer.reasons) lines.push(make("p", {}, ...told(reason)));
  if (answer.nearest && !answer.reasons.some((reason) => reason.includes("nearest"))) lines.push(make("p", {}, t("q.nearest", { size: size(answer.nearest) })));
  if (answer.preempts.length) {
    const leases = answer.preempts.map((lease) => make("li", {}, ...told(t("q.lease", { key: lease.key, place: place(lease.grants), team: lease.team, priority: lease.priority }))));
    lines.push(make("p", {}, t("q.preempts")), make("ul", {}, ...leases));
  }
  if (answer.starts_at) lines.push(make("p", {}, t("q.starts", { at: when(answer.starts_at) })));
  return make("div", { class: "said" }, ...lines);
}
