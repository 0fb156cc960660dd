// What a month has cost: by team, by model, by run; tokens by key.

import { budgets } from "./budgets.js";
import { amount, call, cards, count, listed, sheet } from "./figures.js";
import { followTheme, keepFresh, link, make } from "./page.js";
import { prices } from "./prices.js";

const PERIOD_MS = 30000, FIRST = 20;
const API = new URL("../v1/cost", import.meta.url);
const month = document.getElementById("month");
const opened = new Set();
let shown = "", asked = 0;

const hours = (value) => value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const soft = (words) => make("span", { class: "soft" }, words);

function address(format) {
  const url = new URL(API);
  if (month.value) url.searchParams.set("month", month.value);
  if (format) url.searchParams.set("format", format);
  return url;
}

function price(cost, currency) {
  return cost === null ? soft("no price") : amount(cost, currency);
}

function sums(rows, what, currency) {
  const most = Math.max(...rows.map((row) => row.cost), 0);
  const bar = (row) => { const part = make("span", { class: "share", "aria-hidden": "true" }); part.style.width = `${most ? (100 * row.cost) / most : 0}%`; return part; };
  return listed([[what, (row) => [row.name || "–", bar(row)]], ["GPU-hours", (row) => hours(row.gpu_hours), true], ["Tokens", (row) => count(row.tokens), true],
    ["Cost", (row) => [amount(row.cost, currency), row.unpriced ? soft(" + unpriced") : ""], true]], rows);
}

function run(line) {
  const [dag, ...rest] = line.run.split("/");
  return line.run ? link(`dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(rest.join("/"))}`, line.run) : line.what;
}

function gpu(line) {
  const rate = line.simulated ? " simulated: free" : line.spot ? " spot" : "";
  return [line.gpu, rate ? soft(rate) : ""];
}

// The first lines; all of them once somebody has asked for that.
function long(name, columns, rows) {
  if (rows.length <= FIRST || opened.has(name)) return [listed(columns, rows)];
  const more = make("button", { type: "button", class: "quiet" }, `All ${rows.length} lines`);
  more.addEventListener("click", () => { opened.add(name); shown = ""; refresh(); });
  return [listed(columns, rows.slice(0, FIRST)), more];
}

function draft(bill) {
  const { currency, total } = bill;
  if (!bill.gpus.length && !bill.tokens.length) return [make("p", { class: "empty" }, `Nothing was used in ${bill.month}: no lease of a GPU, no answer of a language model.`)];
  const parts = [cards([["Cost", amount(total.cost, currency)], ["GPU-hours", hours(total.gpu_hours)], ["Tokens", count(total.tokens)]])];
  if (total.unpriced) parts.push(make("p", { class: "soft" }, "Something used has no price in the table below, and is not in the cost."));
  parts.push(sheet("By team", sums(bill.by_team, "Team", currency)), sheet("By model", sums(bill.by_model, "Model", currency)));
  if (bill.gpus.length) {
    parts.push(sheet("GPUs by run", ...long("gpus", [["Run", run], ["Work", (line) => (line.run ? line.what : "")], ["Model", (line) => line.model], ["Team", (line) => line.team], ["GPU", gpu],
      ["Leases", (line) => [count(line.leases), line.running ? soft(` ${line.running} running`) : ""], true], ["GPU-hours", (line) => hours(line.gpu_hours), true], ["Cost", (line) => price(line.cost, currency), true]], bill.gpus)));
  }
  if (bill.tokens.length) {
    parts.push(sheet("Tokens by key", ...long("tokens", [["Key", (line) => line.client || "–"], ["Model", (line) => line.model], ["Team", (line) => line.team], ["Answers", (line) => count(line.requests), true],
      ["Prompt", (line) => count(line.prompt_tokens), true], ["Answer", (line) => count(line.completion_tokens), true], ["Cost", (line) => price(line.cost, currency), true]], bill.tokens),
      make("p", { class: "soft" }, "A lease counts from its grant to its end, used or not. What the models' servers cost is in their GPU-hours; a price of tokens is for those who are charged by them.")));
  }
  if (bill.left_out) parts.push(make("p", { class: "soft" }, `${count(bill.left_out)} cheaper lines are in the CSV alone.`));
  return parts;
}

async function refresh() {
  const problem = document.getElementById("problem"), turn = ++asked;
  try {
    const bill = await call(address());
    if (turn !== asked) return; // another month was chosen meanwhile
    if (!month.value) month.value = bill.month;
    document.getElementById("csv").href = address("csv").href;
    const text = JSON.stringify({ ...bill, until: 0 });
    // Only when something is new: what a reader has selected or opened stays.
    if (text !== shown) document.getElementById("cost").replaceChildren(...draft(bill));
    shown = text;
    problem.textContent = "";
    document.getElementById("pulse").textContent = `As of ${new Date(bill.until * 1000).toLocaleString()}`;
  } catch (error) {
    if (turn === asked) problem.textContent = error.message;
  }
  problem.hidden = !problem.textContent;
}

followTheme();
month.addEventListener("change", () => { if (month.validity.valid) { opened.clear(); refresh(); } });
prices(document.getElementById("prices"), () => { shown = ""; refresh(); });
const again = budgets(document.getElementById("budgets"));
keepFresh(() => Promise.all([refresh(), again.then((draw) => draw())]), PERIOD_MS);
