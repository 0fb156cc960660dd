// A model out of a file of data, in five steps on one page. Data reaches the page only as text nodes and numbers.

import { call as ask, count } from "./figures.js";
import { draw, followTheme, link, make } from "./page.js";
import { refused } from "./server.js";

const API = new URL("../v1/new-model", import.meta.url);
const TASKS = { classification: "a class", regression: "a number" };
const SPREAD = { width: 120, height: 26 };
const MOST_SHOWN = 300; // rows of a table that a page can take
const PATIENCE_S = 600; // a file of gigabytes is looked through

const part = (id) => document.getElementById(id);
const percent = (share) => (share ? `${(100 * share).toLocaleString("en", { maximumSignificantDigits: 2 })} %` : "none");

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
    request.upload.addEventListener("progress", (event) => event.total && said(`Sending: ${Math.floor((100 * event.loaded) / event.total)} %`));
    request.addEventListener("load", () => {
      try {
        resolve(heard(request.status, request.responseText, url.pathname));
      } catch (error) {
        reject(error);
      }
    });
    request.addEventListener("error", () => reject(new Error("The file did not arrive: the connection broke, or it is too large. Try again.")));
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
  if (!file && !path) throw new Error("Choose a file first.");
  if (file && file !== known.sent) {
    if (file.size > known.offer.most_mib * 2 ** 20) throw new Error(`${file.name} is over ${known.offer.most_mib} MiB. Put it into a data folder of the platform's and name it there.`);
    const kept = await send(file);
    Object.assign(known, { upload: kept.upload, sent: file, named: kept.name });
  }
  if (!file) Object.assign(known, { upload: "", sent: null, named: path.replace(/^.*[:/]/, "").replace(/\.[^.]*$/, "").toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "") });
  said("Looking …");
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
  const svg = draw("svg", { viewBox: `0 0 ${SPREAD.width} ${SPREAD.height}`, class: "spread", role: "img", "aria-label": `How ${column.name} is spread` });
  column.distribution.forEach((bar, index) => {
    const high = Math.max((bar.rows / most) * SPREAD.height, bar.rows ? 1 : 0);
    const rect = draw("rect", { x: index * wide + 0.5, width: Math.max(wide - 1, 0.5), y: SPREAD.height - high, height: high });
    rect.append(draw("title", {}, `${bar.value}: ${count(bar.rows)} rows`));
    svg.append(rect);
  });
  return svg;
}

function columnRow(column) {
  const box = make("input", { type: "checkbox", "aria-label": `The model sees ${column.name}` });
  const row = make("tr", {},
    make("td", {}, box), make("th", { scope: "row" }, column.name), make("td", {}, column.type),
    make("td", { class: "number", "data-head": "Missing" }, count(column.missing)), make("td", { class: "number", "data-head": "Different" }, count(column.distinct)),
    make("td", {}, spread(column)), make("td", { class: "soft" }, column.examples.slice(0, 3).join(", ")), make("td", { class: "why" }, column.why));
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
  const target = make("select", { id: "target" }, make("option", { value: "" }, "choose …"), ...names.map((name) => make("option", { value: name }, name)));
  const propose = async () => {
    known.target = target.value;
    rows.forEach((row) => row.show());
    if (known.target) await busy("Proposing …", () => proposed(null));
  };
  target.addEventListener("change", propose);
  const about = seen.whole ? `${count(seen.rows)} rows` : `${count(seen.rows)} rows looked at, of about ${count(seen.all_rows)}`;
  const heads = ["Seen", "Column", "Type", "Missing", "Different", "Spread", "Values", ""];
  part("columns").replaceChildren(...[
    make("h2", {}, "2. What is to be predicted, and from what"),
    make("p", { class: "soft" }, `${about}, ${count(seen.all_columns)} columns.${seen.written && seen.written !== "{}" ? ` Read as ${seen.written}` : ""}`),
    seen.broken_header ? mending() : null,
    seen.notes.length ? make("ul", { class: "notes" }, ...seen.notes.map((note) => make("li", {}, note))) : null,
    make("div", { class: "fields" }, make("label", {}, "Column to predict", target)),
    make("h3", {}, "Columns: those that are ticked the model sees"),
    make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))), make("tbody", {}, ...rows))),
    seen.all_columns > shown.length ? make("p", { class: "soft" }, `And ${count(seen.all_columns - shown.length)} more, which are taken as they are proposed.`) : null,
  ].filter((node) => node !== null));
  if (likely) {
    target.value = likely;
    queueMicrotask(propose);
  }
}

function mending() {
  const box = make("input", { type: "checkbox", id: "mend" });
  box.addEventListener("change", () => { known.mend = box.checked; });
  return make("div", { class: "warning" }, make("p", {}, known.seen.broken_header), make("label", {}, box, "Correct the names in the model's copy of the file, as they are below"));
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
  return [box, make("label", {}, box, make("b", {}, title), make("span", {}, words))];
}

function showModel() {
  const plan = known.plan;
  const tasks = Object.entries(TASKS).map(([task, what]) => {
    const [box, card] = choice("task", task, task === plan.task, task, task === plan.task ? `Predicts ${what}: ${plan.why}` : `Predicts ${what}.`);
    box.addEventListener("change", () => busy("Proposing …", async () => {
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
    const [box, card] = choice("template", template.name, template.name === known.template, template.title, template.description);
    box.addEventListener("change", () => { known.template = template.name; stale(); });
    return card;
  });
  const name = make("input", { id: "name", value: known.name, maxlength: "48", spellcheck: "false", autocomplete: "off" });
  name.addEventListener("input", () => { known.name = name.value; stale(); });
  const description = make("input", { id: "description", maxlength: "300", value: known.description ?? "", placeholder: `Predicts ${plan.target}.` });
  description.addEventListener("input", () => { known.description = description.value; stale(); });
  known.score = plan.min_score;
  const score = make("input", { id: "score", type: "number", step: "any", value: String(plan.min_score) });
  score.addEventListener("input", () => { known.score = score.value === "" ? null : Number(score.value); stale(); });
  part("model").replaceChildren(
    make("h2", {}, "3. The model"),
    make("fieldset", { class: "cards" }, make("legend", {}, "Task"), ...tasks),
    make("fieldset", { class: "cards" }, make("legend", {}, "What is trained"), ...templates),
    make("div", { class: "fields" }, make("label", {}, "Name", name), make("label", { class: "wide" }, "Description", description),
      make("label", {}, `The first version must reach (${plan.metric})`, score)),
    make("p", { class: "soft" }, `A model that has learnt nothing reaches ${plan.chance.toFixed(2)}. Later versions must be no worse than the one in production.`),
    make("p", { class: "soft" }, "It trains on processors; a GPU is asked for by train.resources in model.yaml."),
  );
}

function showRules() {
  // A rule about columns that the model does not see is not kept.
  const counts = (rule) => !rule.columns.length || rule.columns.some((name) => name === known.target || known.used.has(name));
  const rows = known.plan.rules.map((rule, index) => {
    if (!counts(rule)) return null;
    const box = make("input", { type: "checkbox", "aria-label": `Keep rule ${index + 1}` });
    box.checked = known.rules.has(index);
    const about = rule.columns.length > 3 ? `${rule.columns.length} columns` : rule.columns.join(", ") || "the table";
    const row = make("tr", {}, make("td", {}, box), make("th", { scope: "row" }, about), make("td", {}, rule.rule.replace(/^expect_/, "").replaceAll("_", " ")),
      make("td", {}, make("code", {}, rule.arguments.slice(0, 240))), make("td", { class: "number", "data-head": "Violated by" }, percent(rule.violations)), make("td", { class: "why soft" }, rule.why));
    box.addEventListener("change", () => {
      known.rules[box.checked ? "add" : "delete"](index);
      row.classList.toggle("off", !box.checked);
      stale();
    });
    row.classList.toggle("off", !box.checked);
    return row;
  }).filter((row) => row !== null);
  const heads = ["Kept", "About", "Rule", "", "Violated by", ""];
  part("rules").replaceChildren(
    make("h2", {}, "4. What every file of data must keep"),
    make("p", { class: "soft" }, "Proposed from this one. A run whose data breaks a rule ends before it trains."),
    make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))), make("tbody", {}, ...rows))),
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
  const preview = make("button", { type: "button", id: "preview" }, "Show the files"), go = make("button", { type: "button", id: "go", class: "main" }, "Make the model");
  preview.addEventListener("click", () => busy("Writing …", async () => {
    const found = await post("", answers(true));
    part("files").replaceChildren(...found.files.map((file) => make("details", {}, make("summary", {}, file.path), make("pre", {}, file.text))));
  }));
  go.addEventListener("click", () => busy("Making it, and checking it …", async () => {
    const found = await post("", answers(false));
    known.upload = "";
    known.sent = null;
    part("make").replaceChildren(make("h2", {}, "5. Done"), make("div", { class: "done" },
      make("p", {}, `${found.name} is there, and checked. Its README.md says what was decided and why.`),
      make("p", {}, "Its DAG is in Airflow within a minute: ", link(`dags/${found.dag_id}`, found.dag_id), ". Trigger it there for the first version.")));
  }));
  part("make").replaceChildren(make("h2", {}, "5. Make it"), make("p", { class: "soft" }, "The folder is checked before it is put in place. Nothing that is there is written over."),
    make("p", { class: "acts" }, go, preview), make("div", { id: "files" }));
}

followTheme();
part("look").addEventListener("click", () => busy("Looking …", look));
part("file").addEventListener("change", () => { part("path").value = ""; });
part("path").addEventListener("input", () => { part("file").value = ""; });
busy("Loading …", async () => {
  known.offer = await call("");
  part("bound").append(` At most ${count(known.offer.most_mib)} MiB from here.`);
  part("server").hidden = !known.offer.data_folders.length;
  if (known.offer.data_folders.length) part("path").placeholder = `${known.offer.data_folders[0]}:customers.csv`;
});
