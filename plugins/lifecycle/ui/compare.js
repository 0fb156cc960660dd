// Two versions side by side: scores, slices, parameters, data, and how spec and code differ.

import { make } from "./page.js";
import { figure } from "./language.js";

const interval = (pair) => (pair ? `${figure(pair[0])}${Number.isFinite(pair[1]) && Number.isFinite(pair[2]) ? ` (${figure(pair[1])} – ${figure(pair[2])})` : ""}` : "");

function change(row) {
  if (!row.a || !row.b || row.a[0] === null || row.b[0] === null) return "";
  return `${row.b[0] >= row.a[0] ? "+" : "−"}${figure(Math.abs(row.b[0] - row.a[0]))}`;
}

// both: what /v1/compare answers, or { problem }. more: what stands beside the title.
export function comparison(t, both, ...more) {
  const title = make("h3", { id: "h-compare", tabindex: "-1" }, both.problem ? t("compare") : t("compare.title", { a: both.a, b: both.b }));
  if (both.problem) return make("div", { class: "compare" }, title, make("p", { class: "bad" }, both.problem), ...more);
  const missing = () => make("span", { class: "soft" }, t("none.kept"));
  const heads = ["", `v${both.a}`, `v${both.b}`, t("compare.change")].map((text) => make("th", { scope: "col" }, text));
  const grid = (caption, rows) => (rows.length ? make("div", { class: "scroll", "data-key": caption }, make("table", {}, make("caption", {}, caption), make("thead", {}, make("tr", {}, ...heads.map((head) => head.cloneNode(true)))),
    make("tbody", {}, ...rows.map(([name, a, b, differs]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, a || missing()), make("td", {}, b || missing()), make("td", {}, differs)))))) : "");
  const scores = (list) => list.map((row) => [row.name, interval(row.a), interval(row.b), change(row)]);
  const plain = (name, pair) => [name, String(pair[0] ?? ""), String(pair[1] ?? ""), t(pair[0] === pair[1] ? "compare.same" : "compare.differs")];
  const data = [plain(t("compare.rows"), both.data.rows), plain(t("compare.columns"), both.data.columns), ...(both.data.md5 ? [plain(t("compare.md5"), both.data.md5)] : [])];
  const params = (both.params ?? []).map((row) => plain(row.name, [row.a, row.b]));
  const difference = (caption, lines, none) => make("details", { open: lines?.length ? "" : null, "data-key": caption },
    make("summary", {}, caption, " ", make("span", { class: "soft" }, lines === null ? none : lines.length ? t("compare.lines", { lines: lines.filter((line) => /^[+-](?![+-]{2})/.test(line)).length }) : t("compare.same"))),
    lines?.length ? make("pre", { class: "diff", tabindex: "0" }, ...lines.map((text) => make("span", { class: text.startsWith("+") ? "plus" : text.startsWith("-") ? "minus" : "" }, `${text}\n`))) : "");
  return make("div", { class: "compare" }, title, ...more,
    both.registry_problem ? make("p", { class: "warn" }, both.registry_problem, " ", t("compare.unknown")) : "",
    grid(t("compare.scores"), scores(both.scores)), grid(t("compare.slices"), scores(both.slices)), grid(t("compare.params"), params), grid(t("compare.data"), data),
    difference(t("compare.spec"), both.spec, ""), difference(t("compare.code"), both.code, both.registry_problem ? t("unknown") : t("none.kept")));
}
