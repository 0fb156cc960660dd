// A model out of a file of data, in five steps on one page. Data reaches the page only as text nodes and numbers.

import { call as ask, catalogue, count, decimals, english } from "./figures.js";
import { percent } from "./language.js";
import { draw, followTheme, link, make } from "./page.js";
import { refused } from "./server.js";

const t = await catalogue("new_model");

const API = new URL("../v1/new-model", import.meta.url);
const TASKS = ["classification", "regression"];
const SPREAD = { width: 120, height: 26 };
const MOST_SHOWN = 300; // rows of a table that a page can take
const PATIENCE_S = 600; // a file of gigabytes is looked through

const part = (id) => document.getElementById(id);
const FIGURES = ["missing", "different", "violated"];
const heads = (...keys) => make("thead", {}, make("tr", {}, ...keys.map((key) => make("th", { scope: "col", class: FIGURES.includes(key) ? "number" : null }, t(`head.${key}`)))));

// What is known so far: the file, the look into it, what was chosen.
const known = { offer: null, upload: "", sent: null, seen: null, mend: false, target: "", used: new Set(), rules: new Set(), name: "", named: "" };

const call = (path, options) => ask(new URL(API.pathname + path, API), { patienceS: PATIENCE_S, ...options });
const post = (path, body) => call(path, { method: "POST", body });

function heard(status, text, path) {
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    // No JSON: the status tells.
  }
  if (status >= 400) throw refused(status, body.detail, "POST", path);
  return body;
}

// The browser tells of an upload's progress by the older interface alone.
function send(file) {
  return new Promise((resolve, reject) => {
    const url = new URL(`${API.pathname}/uploads`, API);
    url.searchParams.set("name", file.name);
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => event.total && said(t("sending", { share: percent(Math.floor((100 * event.loaded) / event.total) / 100) })));
    request.addEventListener("load", () => {
      try {
        resolve(heard(request.status, request.responseText, url.pathname));
      } catch (error) {
        reject(error);
      }
    });
    request.addEventListener("error", () => reject(new Error(t("sending.broke"))));
    request.send(file);
  });
}

const said = (words) => { part("pulse").textContent = words; };

function failed(error) {
  part("problem").textContent = error?.message ?? "";
  part("problem").hidden = !error;
  if (error) part("problem").scrollIntoView({ block: "nearest" });
}

// Runs one act at a time: buttons are out of use meanwhile.
async function busy(words, act) {
  const buttons = [...document.querySelectorAll("button")];
  buttons.forEach((button) => { button.disabled = true; });
  failed(null);
  said(words);
  try {
    await act();
  } catch (error) {
    failed(error);
  }
  said("");
  document.querySelectorAll("button").forEach((button) => { button.disabled = false; });
}

function data() {
  const written = Object.fromEntries(["separator", "decimal", "encoding"].map((name) => [name, part(name).value]));
  return known.upload ? { upload: known.upload, ...written } : { file: part("path").value.trim(), ...written };
}

async function look() {
  const file = part("file").files[0], path = part("path").value.trim();
  if (!file && !path) throw new Error(t("choose_first"));
  if (file && file !== known.sent) {
    if (file.size > known.offer.most_mib * 2 ** 20) throw new Error(t("too_large", { file: file.name, most: count(known.offer.most_mib) }));
    const kept = await send(file);
    Object.assign(known, { upload: kept.upload, sent: file, named: kept.name });
  }
  if (!file) Object.assign(known, { upload: "", sent: null, named: path.replace(/^.*[:/]/, "").replace(/\.[^.]*$/, "").toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "") });
  said(t("looking"));
  known.seen = await post("/look", data());
  Object.assign(known, { mend: false, target: "", name: "" });
  for (const id of ["model", "rules", "make"]) part(id).hidden = true;
  const names = known.seen.columns.map((column) => column.name);
  const likely = known.seen.likely_target;
  known.used = new Set(known.seen.columns.filter((column) => column.use).map((column) => column.name));
  showColumns(names, likely);
  part("columns").hidden = false;
  part("columns").scrollIntoView({ block: "start" });
}

function spread(column) {
  const most = Math.max(1, ...column.distribution.map((bar) => bar.rows)), wide = SPREAD.width / Math.max(column.distribution.length, 1);
  const svg = draw("svg", { viewBox: `0 0 ${SPREAD.width} ${SPREAD.height}`, class: "spread", role: "img", "aria-label": t("spread", { column: column.name }) });
  column.distribution.forEach((bar, index) => {
    const high = Math.max((bar.rows / most) * SPREAD.height, bar.rows ? 1 : 0);
    const rect = draw("rect", { x: index * wide + 0.5, width: Math.max(wide - 1, 0.5), y: SPREAD.height - high, height: high });
    rect.append(draw("title", {}, t("spread.bar", { value: bar.value, rows: count(bar.rows) })));
    svg.append(rect);
  });
  return svg;
}

function columnRow(column) {
  const box = make("input", { type: "checkbox", "aria-label": t("sees", { column: column.name }) });
  const row = make("tr", {},
    make("td", {}, box), make("th", { scope: "row" }, column.name), make("td", {}, column.type),
    make("td", { class: "number", "data-head": t("head.missing") }, count(column.missing)), make("td", { class: "number", "data-head": t("head.different") }, count(column.distinct)),
    make("td", {}, spread(column)), make("td", { class: "soft" }, column.examples.slice(0, 3).join(", ")), english(column.why, "td", { class: "why" }));
  const show = () => {
    const target = column.name === known.target;
    box.disabled = target;
    box.checked = !target && known.used.has(column.name);
    row.classList.toggle("off", !box.checked && !target);
  };
  box.addEventListener("change", () => {
    known.used[box.checked ? "add" : "delete"](column.name);
    show();
    if (known.plan) showRules();
    stale();
  });
  row.show = show;
  show();
  return row;
}

function showColumns(names, likely) {
  const seen = known.seen, shown = seen.columns.slice(0, MOST_SHOWN);
  const rows = shown.map(columnRow);
  const target = make("select", { id: "target" }, make("option", { value: "" }, t("choose")), ...names.map((name) => make("option", { value: name }, name)));
  const propose = async () => {
    known.target = target.value;
    rows.forEach((row) => row.show());
    if (known.target) await busy(t("proposing"), () => proposed(null));
  };
  target.addEventListener("change", propose);
  const about = t(seen.whole ? "about.whole" : "about.part", { rows: count(seen.rows), all: count(seen.all_rows), columns: count(seen.all_columns) });
  part("columns").replaceChildren(...[
    make("h2", {}, t("columns")),
    make("p", { class: "soft" }, about, seen.written && seen.written !== "{}" ? ` ${t("read_as", { written: seen.written })}` : ""),
    seen.broken_header ? mending() : null,
    seen.notes.length ? make("ul", { class: "notes" }, ...seen.notes.map((note) => english(note, "li"))) : null,
    make("div", { class: "fields" }, make("label", {}, t("target"), target)),
    make("h3", {}, t("columns.ticked")),
    make("div", { class: "scroll" }, make("table", {}, heads("seen", "column", "type", "missing", "different", "spread", "values", "note"), make("tbody", {}, ...rows))),
    seen.all_columns > shown.length ? make("p", { class: "soft" }, t("columns.more", { count: count(seen.all_columns - shown.length) })) : null,
  ].filter((node) => node !== null));
  if (likely) {
    target.value = likely;
    queueMicrotask(propose);
  }
}

function mending() {
  const box = make("input", { type: "checkbox", id: "mend" });
  box.addEventListener("change", () => { known.mend = box.checked; });
  return make("div", { class: "warning" }, english(known.seen.broken_header, "p"), make("label", {}, box, t("mend")));
}

async function proposed(task) {
  const seen = await post("/look", { ...data(), target: known.target, task });
  const plan = seen.plan;
  const fresh = known.plan?.target !== plan.target;
  known.plan = plan;
  known.rules = new Set(plan.rules.map((_, index) => index));
  if (fresh && !known.name) known.name = known.named || known.target;
  showModel();
  showRules();
  showMake();
  for (const id of ["model", "rules", "make"]) part(id).hidden = false;
}

function choice(name, value, checked, title, words) {
  const box = make("input", { type: "radio", name, value });
  box.checked = checked;
  return [box, make("label", {}, box, make("b", {}, title), make("span", {}, ...words))];
}

// A template of the project's own in the page's language; another as whoever wrote it describes it.
function described({ name, title, description }) {
  return t.has(`template.${name}`) ? [t(`template.${name}`), [t(`template.${name}.words`)]] : [title, [description]];
}

function showModel() {
  const plan = known.plan;
  const tasks = TASKS.map((task) => {
    const [box, card] = choice("task", task, task === plan.task, t(`task.${task}`), [t(`predicts.${task}`), task === plan.task ? english(` ${plan.why[0].toUpperCase()}${plan.why.slice(1)}`) : ""]);
    box.addEventListener("change", () => busy(t("proposing"), async () => {
      try {
        await proposed(task);
      } catch (error) {
        showModel(); // what was chosen before still holds
        throw error;
      }
    }));
    return card;
  });
  const fit = known.offer.templates.filter((template) => template.tasks.includes(plan.task));
  if (!fit.some((template) => template.name === known.template)) known.template = plan.template || fit[0]?.name || "";
  const templates = fit.map((template) => {
    const [box, card] = choice("template", template.name, template.name === known.template, ...described(template));
    box.addEventListener("change", () => { known.template = template.name; stale(); });
    return card;
  });
  const name = make("input", { id: "name", value: known.name, maxlength: "48", spellcheck: "false", autocomplete: "off" });
  name.addEventListener("input", () => { known.name = name.value; stale(); });
  const description = make("input", { id: "description", maxlength: "300", value: known.description ?? "", placeholder: t("model.description.hint", { target: plan.target }) });
  description.addEventListener("input", () => { known.description = description.value; stale(); });
  known.score = plan.min_score;
  const score = make("input", { id: "score", type: "number", step: "any", value: String(plan.min_score) });
  score.addEventListener("input", () => { known.score = score.value === "" ? null : Number(score.value); stale(); });
  part("model").replaceChildren(
    make("h2", {}, t("model")),
    make("fieldset", { class: "cards" }, make("legend", {}, t("model.task")), ...tasks),
    make("fieldset", { class: "cards" }, make("legend", {}, t("model.template")), ...templates),
    make("div", { class: "fields" }, make("label", {}, t("model.name"), name), make("label", { class: "wide" }, t("model.description"), description),
      make("label", {}, t("model.score", { metric: t.word("metric", plan.metric) }), score)),
    make("p", { class: "soft" }, t("model.chance", { score: decimals(plan.chance, 2) })),
    make("p", { class: "soft" }, t("model.processors")),
  );
}

function showRules() {
  // A rule about columns that the model does not see is not kept.
  const counts = (rule) => !rule.columns.length || rule.columns.some((name) => name === known.target || known.used.has(name));
  const rows = known.plan.rules.map((rule, index) => {
    if (!counts(rule)) return null;
    const box = make("input", { type: "checkbox", "aria-label": t("rules.keep", { number: index + 1 }) });
    box.checked = known.rules.has(index);
    const about = rule.columns.length > 3 ? t("rules.columns", { count: count(rule.columns.length) }) : rule.columns.join(", ") || t("rules.table");
    const row = make("tr", {}, make("td", {}, box), make("th", { scope: "row" }, about), make("td", {}, t.has(`rule.${rule.rule}`) ? t(`rule.${rule.rule}`) : rule.rule.replace(/^expect_/, "").replaceAll("_", " ")),
      make("td", {}, make("code", {}, rule.arguments.slice(0, 240))), make("td", { class: "number", "data-head": t("head.violated") }, rule.violations ? percent(rule.violations) : t("rules.never")), make("td", { class: "why soft" }, t.word("why", rule.why)));
    box.addEventListener("change", () => {
      known.rules[box.checked ? "add" : "delete"](index);
      row.classList.toggle("off", !box.checked);
      stale();
    });
    row.classList.toggle("off", !box.checked);
    return row;
  }).filter((row) => row !== null);
  part("rules").replaceChildren(
    make("h2", {}, t("rules")),
    make("p", { class: "soft" }, t("rules.words")),
    make("div", { class: "scroll" }, make("table", {}, heads("kept", "about", "rule", "arguments", "violated", "note"), make("tbody", {}, ...rows))),
  );
}

function answers(preview) {
  const all = known.plan.rules.length === known.rules.size;
  return {
    ...data(), name: known.name.trim(), target: known.target, task: known.plan.task, template: known.template, description: (known.description ?? "").trim(),
    use: known.seen.columns.length === known.seen.all_columns ? [...known.used].filter((name) => name !== known.target) : null,
    rules: all ? null : [...known.rules], min_score: known.score, mend_header: known.mend, preview,
  };
}

// Files that are shown are those of the answers as they were.
function stale() {
  part("files")?.replaceChildren();
}

function showMake() {
  const preview = make("button", { type: "button", id: "preview" }, t("make.preview")), go = make("button", { type: "button", id: "go", class: "main" }, t("make.go"));
  preview.addEventListener("click", () => busy(t("make.writing"), async () => {
    const found = await post("", answers(true));
    part("files").replaceChildren(...found.files.map((file) => make("details", {}, make("summary", {}, file.path), make("pre", {}, file.text))));
  }));
  go.addEventListener("click", () => busy(t("make.making"), async () => {
    const found = await post("", answers(false));
    known.upload = "";
    known.sent = null;
    part("make").replaceChildren(make("h2", {}, t("done")), make("div", { class: "done" },
      make("p", {}, t("done.there", { name: found.name })),
      make("p", {}, t("done.dag"), " ", link(`dags/${found.dag_id}`, found.dag_id), " ", t("done.trigger"))));
  }));
  part("make").replaceChildren(make("h2", {}, t("make")), make("p", { class: "soft" }, t("make.words")),
    make("p", { class: "acts" }, go, preview), make("div", { id: "files" }));
}

followTheme();
part("look").addEventListener("click", () => busy(t("looking"), look));
part("file").addEventListener("change", () => { part("path").value = ""; });
part("path").addEventListener("input", () => { part("file").value = ""; });
busy(t("loading"), async () => {
  known.offer = await call("");
  part("bound").textContent = t("data.most", { most: count(known.offer.most_mib) });
  part("server").hidden = !known.offer.data_folders.length;
  if (known.offer.data_folders.length) part("path").placeholder = `${known.offer.data_folders[0]}:customers.csv`;
});
