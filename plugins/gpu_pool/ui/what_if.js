// The form that asks what would become of a request, and its answer in words.

import { make } from "./page.js";
import { call } from "./server.js";
import { place, size, told, when } from "./words.js";

const UNITS = { gpus: "Number", fraction: "Share (0.3)", memory: "Size (20GiB)", mig: "Profile (1g.10gb)" };
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
}

// The GPU models that there are, to choose from.
export function offer(models) {
  document.getElementById("models").replaceChildren(...models.map((model) => make("option", { value: model })));
}

function wish(form) {
  const { kind, size: how, models, priority, team } = form.elements, number = Number(how.value), counted = kind.value === "gpus" || kind.value === "fraction";
  if (counted && !Number.isFinite(number)) throw new Error(`${UNITS[kind.value]}: ${how.value} is no number.`);
  const body = { [kind.value]: counted ? number : how.value.trim() };
  if (models.value.trim()) body.models = models.value.split(",").map((one) => one.trim()).filter(Boolean);
  if (priority.value) body.priority = Number(priority.value);
  if (team.value.trim()) body.team = team.value.trim();
  return body;
}

function said(answer) {
  const lines = [];
  if (answer.impossible) lines.push(make("p", { class: "bad" }, "✗ Never, as things are."));
  else if (answer.possible_now) lines.push(make("p", { class: "good" }, ...told(`✓ Yes, at once: ${place(answer.grants)}.`)));
  else lines.push(make("p", { class: "warn" }, "! Not now."));
  for (const reason of answer.reasons) lines.push(make("p", {}, ...told(reason)));
  if (answer.nearest && !answer.reasons.some((reason) => reason.includes("nearest"))) lines.push(make("p", {}, `The nearest possible: ${size(answer.nearest)}.`));
  if (answer.preempts.length) {
    const leases = answer.preempts.map((lease) => make("li", {}, ...told(`${lease.key}: ${place(lease.grants)}, team ${lease.team}, priority ${lease.priority}`)));
    lines.push(make("p", {}, "Once first in line, it would have these told to stop:"), make("ul", {}, ...leases));
  }
  if (answer.starts_at) lines.push(make("p", {}, `Without stopping anyone it would start about ${when(answer.starts_at)}.`));
  return make("div", { class: "said" }, ...lines);
}
