// What the pages that speak English alone have in common (Usage, Cost, Audit, New model). Data reaches a page only as text nodes and numbers.

import { make } from "./page.js";
import { call as ask, speak } from "./server.js";
import { fill } from "./fill.js";
import english from "./shared.en.js";

const PATIENCE_S = 20; // a month's cost of a large platform

speak((key, facts) => fill(english[key], facts));
export const call = (url, options) => ask(url, { patienceS: PATIENCE_S, ...options });

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
