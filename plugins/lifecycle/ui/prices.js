// The price table as it is in force; an admin may write what differs from the project's own.

import { amount, call, listed } from "./figures.js";
import { make } from "./page.js";

const API = new URL("../v1/prices", import.meta.url), ME = new URL("../v1/me", import.meta.url);

function shown({ prices }) {
  const gpus = new Map();
  for (const [name, one] of Object.entries(prices.instances)) {
    const hour = one.hour / one.count;
    if (!gpus.has(one.gpu) || hour < gpus.get(one.gpu)[0]) gpus.set(one.gpu, [hour, `as in ${name}`]);
  }
  for (const [name, hour] of Object.entries(prices.gpus)) gpus.set(name, [hour, "set here"]);
  const rows = [...gpus].map(([gpu, [hour, from]]) => ({ gpu, hour, from })).sort((a, b) => a.hour - b.hour);
  const tokens = Object.entries(prices.tokens).map(([model, price]) => ({ model, ...price }));
  const parts = [listed([["GPU", (row) => row.gpu], ["An hour", (row) => amount(row.hour, prices.currency), true], ["Spot", (row) => amount(row.hour * prices.spot.factor, prices.currency), true], ["From", (row) => row.from]], rows)];
  if (tokens.length) parts.push(listed([["Model", (row) => (row.model === "*" ? "all others" : row.model)], ["A million tokens of prompts", (row) => amount(row.prompt, prices.currency), true], ["Of answers", (row) => amount(row.completion, prices.currency), true]], tokens));
  else parts.push(make("p", { class: "soft" }, "Tokens are counted and have no price."));
  return parts;
}

function form(found, after) {
  const text = make("textarea", { id: "changes", rows: 8, spellcheck: "false", "aria-label": "What differs from the project's prices, as JSON" });
  text.value = JSON.stringify(found.changes, null, 2);
  const problem = make("p", { class: "bad", role: "alert" }), save = make("button", {}, "Set the prices");
  const node = make("form", { class: "prices" }, text, problem, save);
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    save.disabled = true;
    try {
      after(await call(API, { method: "PUT", body: { changes: JSON.parse(text.value || "{}") } }));
    } catch (error) {
      problem.textContent = error instanceof SyntaxError ? `That is no JSON: ${error.message}.` : error.message;
    }
    save.disabled = false;
  });
  return make("details", {}, make("summary", { class: "soft" }, "Change prices"),
    make("p", { class: "soft" }, "As JSON, what differs from the project's table: {\"gpus\": {\"L40S\": 1.2}, \"tokens\": {\"*\": {\"prompt\": 0.2, \"completion\": 0.6}}}"), node);
}

export async function prices(place, changed) {
  const draw = async (found) => {
    const { admin } = await call(ME);
    place.replaceChildren(...shown(found), admin ? form(found, (next) => { draw(next); changed(); }) : "");
  };
  try {
    await draw(await call(API));
  } catch (error) {
    place.replaceChildren(make("p", { class: "bad" }, error.message));
  }
}
