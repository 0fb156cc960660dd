// Figures as the pages Usage, Cost and Audit show them. Data reaches a page only as text nodes and numbers.

import { make } from "./page.js";

const PATIENCE_MS = 20000;

export const count = (value) => Math.round(value).toLocaleString("en");

// As fine as it takes to see small amounts.
export function amount(value, currency = "USD") {
  const fine = value && value < 1 ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  const figure = value.toLocaleString("en", fine);
  return currency === "USD" ? `$${figure}` : `${figure} ${currency}`;
}

export function cards(pairs) {
  return make("ul", { class: "sums" }, ...pairs.map(([name, value]) => make("li", {}, make("span", { class: "soft" }, name), make("b", {}, value))));
}

export function sheet(title, ...parts) {
  return make("section", { class: "sheet", "aria-label": title }, make("h2", {}, title), ...parts);
}

// Columns: [head, cell of a row, whether it is a figure]; the first column heads its row.
export function listed(columns, rows) {
  const heads = columns.map(([head, , figure]) => make("th", { scope: "col", class: figure ? "number" : null }, head));
  const line = (row) => make("tr", {}, ...columns.map(([head, cell, figure], index) =>
    make(index ? "td" : "th", { ...(index ? {} : { scope: "row" }), class: figure ? "number" : null, "data-head": figure ? head : null }, ...[cell(row)].flat())));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows.map(line))));
}

export async function call(url, { method = "GET", body = null } = {}) {
  const headers = body ? { Accept: "application/json", "Content-Type": "application/json" } : { Accept: "application/json" };
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const answer = await fetch(url, { method, headers, signal, credentials: "same-origin", body: body && JSON.stringify(body) }).catch(() => null);
  if (!answer) throw new Error("The server does not answer.");
  if (answer.ok) return answer.json();
  const said = await answer.json().then((json) => json.detail, () => "");
  if (answer.status === 401) throw new Error("Airflow's session has ended. Log in and reload.");
  throw new Error(typeof said === "string" && said ? said : `${url.pathname} answered ${answer.status}.`);
}
