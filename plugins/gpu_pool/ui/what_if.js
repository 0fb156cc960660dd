// The form that asks what would become of a request, and its answer in words.

import { make } from "./page.js";
import { call } from "./server.js";
import { place, when } from "./words.js";

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

function wish(form) {
  const { kind, size, models, priority, team } = form.elements, number = Number(size.value);
  const body = { [kind.value]: kind.value === "gpus" || kind.value === "fraction" ? number : size.value.trim() };
  if (!Number.isFinite(number) && (kind.value === "gpus" || kind.value === "fraction")) throw new Error(`${UNITS[kind.value]}: ${size.value} is no number.`);
  if (models.value.trim()) body.models = models.value.split(",").map((one) => one.trim()).filter(Boolean);
  if (priority.value) body.priority = Number(priority.value);
  if (team.value.trim()) body.team = team.value.trim();
  return body;
}

function said(answer) {
  const lines = [];
  if (answer.impossible) lines.push(make("p", { class: "bad" }, "Never, as things are."));
  else if (answer.possible_now) lines.push(make("p", { class: "good" }, `Yes, at once: ${place(answer.grants)}.`));
  else lines.push(make("p", { class: "warn" }, "Not now."));
  for (const reason of answer.reasons) lines.push(make("p", {}, reason));
  if (answer.preempts.length) lines.push(make("p", {}, `To start sooner it would stop: ${answer.preempts.map((lease) => `${lease.key} (priority ${lease.priority})`).join(", ")}.`));
  if (answer.starts_at) lines.push(make("p", {}, `Without stopping anyone it would start about ${when(answer.starts_at)}.`));
  return make("div", { class: "said" }, ...lines);
}
