// Budgets with what this month has used of them; an admin sets and removes them here.

import { call, count, listed } from "./figures.js";
import { make } from "./page.js";

const API = new URL("../v1/budgets", import.meta.url), ME = new URL("../v1/me", import.meta.url);
const LEVELS = { fine: "good", warned: "warn", "used up": "bad" };
const hours = (value) => value.toLocaleString("en", { maximumFractionDigits: 1 });
const soft = (words) => make("span", { class: "soft" }, words);

function bar(row) {
  const part = make("span", { class: `share ${LEVELS[row.level]}`, "aria-hidden": "true" });
  part.style.width = `${Math.min(100, 100 * row.share)}%`;
  return part;
}

function tokens(row) {
  if (row.tokens === null) return soft(count(row.tokens_used));
  return [`${count(row.tokens_used)} of ${count(row.tokens)}`, row.tokens_reserved ? soft(` + ${count(row.tokens_reserved)} reserved`) : ""];
}

function gpu(row) {
  return row.gpu_hours === null ? soft(hours(row.gpu_hours_used)) : `${hours(row.gpu_hours_used)} of ${hours(row.gpu_hours)}`;
}

function field(label, attributes) {
  const input = make("input", attributes);
  return [make("label", {}, `${label} `, input), input];
}

function form(after) {
  const scope = make("select", {}, ...["key", "team", "model"].map((name) => make("option", {}, name)));
  const [nameLabel, name] = field("Name", { required: "", maxlength: 63, autocomplete: "off" });
  const [tokensLabel, most] = field("Tokens a month", { type: "number", min: 0, step: 1 });
  const [gpuLabel, gpuHours] = field("GPU-hours a month", { type: "number", min: 0, step: "any" });
  const [whyLabel, why] = field("Why", { maxlength: 1000, autocomplete: "off" });
  const problem = make("p", { class: "bad", role: "alert" });
  const node = make("form", { class: "choices" }, make("label", {}, "Budget of ", scope), nameLabel, tokensLabel, gpuLabel, whyLabel, make("button", {}, "Set"), problem);
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    const number = (input) => (input.value === "" ? null : Number(input.value));
    try {
      await call(new URL(`budgets/${scope.value}/${encodeURIComponent(name.value)}`, API), { method: "PUT", body: { tokens: number(most), gpu_hours: number(gpuHours), why: why.value } });
      problem.textContent = "";
      node.reset();
      after();
    } catch (error) {
      problem.textContent = error.message;
    }
  });
  return node;
}

export async function budgets(place) {
  const rows = make("div", {}), more = make("div", {});
  place.replaceChildren(rows, more);
  const me = await call(ME).catch(() => ({ admin: false }));
  const draw = async () => {
    try {
      const found = await call(API);
      const remove = (row) => {
        const button = make("button", { type: "button", class: "quiet", "aria-label": `Remove the budget of ${row.scope} ${row.name}` }, "Remove");
        button.addEventListener("click", () => call(new URL(`budgets/${row.scope}/${encodeURIComponent(row.name)}`, API), { method: "DELETE" })
          .then(draw, (error) => button.after(make("p", { class: "bad", role: "alert" }, error.message))));
        return button;
      };
      const columns = [["Budget of", (row) => [row.name, soft(` ${row.scope}`), bar(row)]], ["Tokens", tokens, true], ["GPU-hours", gpu, true],
        ["State", (row) => make("span", { class: `state ${LEVELS[row.level]}` }, row.level)], ...(me.admin ? [["Change", remove]] : [])];
      rows.replaceChildren(found.length ? listed(columns, found) : soft("Nobody has a budget: everybody may use what they like."));
    } catch (error) {
      rows.replaceChildren(make("p", { class: "bad" }, error.message));
    }
  };
  if (me.admin) more.replaceChildren(form(draw));
  await draw();
  return draw;
}
