// The price table as it is in force; an admin may write what differs from the project's own.

import { amount, call, listed } from "./figures.js";
import { make } from "./page.js";

const EXAMPLE = '{"gpus": {"L40S": 1.2}, "tokens": {"*": {"prompt": 0.2, "completion": 0.6}}}';
const API = new URL("../v1/prices", import.meta.url), ME = new URL("../v1/me", import.meta.url);

function shown(t, { prices }) {
  const gpus = new Map();
  for (const [name, one] of Object.entries(prices.instances)) {
    const hour = one.hour / one.count;
    if (!gpus.has(one.gpu) || hour < gpus.get(one.gpu)[0]) gpus.set(one.gpu, [hour, t("price.as_in", { name })]);
  }
  for (const [name, hour] of Object.entries(prices.gpus)) gpus.set(name, [hour, t("price.set_here")]);
  const rows = [...gpus].map(([gpu, [hour, from]]) => ({ gpu, hour, from })).sort((a, b) => a.hour - b.hour);
  const tokens = Object.entries(prices.tokens).map(([model, price]) => ({ model, ...price }));
  const parts = [listed([[t("gpu"), (row) => row.gpu], [t("price.hour"), (row) => amount(row.hour, prices.currency), true], [t("spot.head"), (row) => amount(row.hour * prices.spot.factor, prices.currency), true], [t("price.from"), (row) => row.from]], rows)];
  if (tokens.length) parts.push(listed([[t("model"), (row) => (row.model === "*" ? t("price.others") : row.model)], [t("price.prompts"), (row) => amount(row.prompt, prices.currency), true], [t("price.answers"), (row) => amount(row.completion, prices.currency), true]], tokens));
  else parts.push(make("p", { class: "soft" }, t("price.none")));
  return parts;
}

function form(t, found, after) {
  const text = make("textarea", { id: "changes", rows: 8, spellcheck: "false", "aria-label": t("price.changes") });
  text.value = JSON.stringify(found.changes, null, 2);
  const problem = make("p", { class: "bad", role: "alert" }), save = make("button", {}, t("price.set"));
  const node = make("form", { class: "prices" }, text, problem, save);
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    save.disabled = true;
    try {
      after(await call(API, { method: "PUT", body: { changes: JSON.parse(text.value || "{}") } }));
    } catch (error) {
      problem.textContent = error instanceof SyntaxError ? t("price.no_json", { why: error.message }) : error.message;
    }
    save.disabled = false;
  });
  return make("details", {}, make("summary", { class: "soft" }, t("price.change")),
    make("p", { class: "soft" }, t("price.example"), " ", make("code", {}, EXAMPLE)), node);
}

export async function prices(t, place, changed) {
  const draw = async (found) => {
    const { admin } = await call(ME);
    place.replaceChildren(...shown(t, found), admin ? form(t, found, (next) => { draw(next); changed(); }) : "");
  };
  try {
    await draw(await call(API));
  } catch (error) {
    place.replaceChildren(make("p", { class: "bad" }, error.message));
  }
}
