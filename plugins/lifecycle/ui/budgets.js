// Budgets with what this month has used of them; an admin sets and removes them here.

import { call, count, decimals, listed } from "./figures.js";
import { figure } from "./language.js";
import { make } from "./page.js";

const API = new URL("../v1/budgets", import.meta.url), ME = new URL("../v1/me", import.meta.url);
const LEVELS = { fine: "good", warned: "warn", "used up": "bad" };
const hours = (value) => (value < 1 ? figure(value) : decimals(value, 1, 0));
const soft = (words) => make("span", { class: "soft" }, words);

function bar(row) {
  const part = make("span", { class: `share ${LEVELS[row.level]}`, "aria-hidden": "true" });
  part.style.width = `${Math.min(100, 100 * row.share)}%`;
  return part;
}

function tokens(t, row) {
  if (row.tokens === null) return soft(count(row.tokens_used));
  return [t("budget.part", { used: count(row.tokens_used), most: count(row.tokens) }), row.tokens_reserved ? soft(` ${t("budget.reserved", { count: count(row.tokens_reserved) })}`) : ""];
}

function gpu(t, row) {
  return row.gpu_hours === null ? soft(hours(row.gpu_hours_used)) : t("budget.part", { used: hours(row.gpu_hours_used), most: hours(row.gpu_hours) });
}

function field(label, attributes) {
  const input = make("input", attributes);
  return [make("label", {}, `${label} `, input), input];
}

function form(t, after) {
  const scope = make("select", {}, ...["key", "team", "model"].map((name) => make("option", { value: name }, t(`scope.${name}`))));
  const [nameLabel, name] = field(t("budget.name"), { required: "", maxlength: 63, autocomplete: "off" });
  const [tokensLabel, most] = field(t("budget.tokens"), { type: "number", min: 0, step: 1 });
  const [gpuLabel, gpuHours] = field(t("budget.gpu_hours"), { type: "number", min: 0, step: "any" });
  const [whyLabel, why] = field(t("budget.why"), { maxlength: 1000, autocomplete: "off" });
  const problem = make("p", { class: "bad", role: "alert" });
  const node = make("form", { class: "choices" }, make("label", {}, `${t("budget.of")} `, scope), nameLabel, tokensLabel, gpuLabel, whyLabel, make("button", {}, t("budget.set")), problem);
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

export async function budgets(t, place) {
  const rows = make("div", {}), more = make("div", {});
  place.replaceChildren(rows, more);
  const me = await call(ME).catch(() => ({ admin: false }));
  const draw = async () => {
    try {
      const found = await call(API);
      const remove = (row) => {
        const button = make("button", { type: "button", class: "quiet", "aria-label": t("budget.remove.label", { scope: t(`scope.${row.scope}`), name: row.name }) }, t("budget.remove"));
        button.addEventListener("click", () => call(new URL(`budgets/${row.scope}/${encodeURIComponent(row.name)}`, API), { method: "DELETE" })
          .then(draw, (error) => button.after(make("p", { class: "bad", role: "alert" }, error.message))));
        return button;
      };
      const columns = [[t("budget.of"), (row) => [row.name, soft(` ${t(`scope.${row.scope}`)}`), bar(row)]], [t("tokens"), (row) => tokens(t, row), true], [t("gpu_hours"), (row) => gpu(t, row), true],
        [t("budget.state"), (row) => make("span", { class: `state ${LEVELS[row.level]}` }, t(`level.${row.level}`))], ...(me.admin ? [[t("budget.change"), remove]] : [])];
      rows.replaceChildren(found.length ? listed(columns, found) : soft(t("budget.none")));
    } catch (error) {
      rows.replaceChildren(make("p", { class: "bad" }, error.message));
    }
  };
  if (me.admin) more.replaceChildren(form(t, draw));
  await draw();
  return draw;
}
