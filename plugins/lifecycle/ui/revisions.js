// Revisions as they are and as they shall be, and what can be done to them: start, stop, restart, delete, share the traffic.

import { make } from "./page.js";
import { ask } from "./dialog.js";
import { call } from "./server.js";
import { ago, hour, time } from "./language.js";
import { state } from "./runs.js";

const STATES = { running: "RUNNING", starting: "STARTING", stopping: "STOPPING", stopped: "STOPPED", error: "ERROR", preempted: "PREEMPTED" };
const path = (model, version = null) => `serving/v1/models/${encodeURIComponent(model)}${version === null ? "" : `/revisions/${version}`}`;

const word = (t, name) => (t.has(`said.${STATES[name]}`) ? t(`said.${STATES[name]}`) : name);

// Which of the acts makes sense of a revision; whether it may be done, the server says.
function possible(row) {
  const acts = [];
  if (row.wanted !== "running" || row.state === "error") acts.push("start");
  if (row.wanted === "running") acts.push("stop", "restart");
  if (!row.weight && !row.mirrored && !["champion", "challenger"].includes(row.alias)) acts.push("delete");
  return acts;
}

function line(t, row, named) {
  const wanted = row.wanted === row.state || (row.wanted === "running" && row.state === "starting") ? "" : make("span", { class: "soft" }, ` ${t("wanted", { wanted: t(`wanted.${row.wanted}`) })}`);
  const share = row.weight ? `${row.weight} %` : row.mirrored ? t("copies") : row.standby ? t("standby") : "";
  const several = row.replicas > 1 || row.servers.length > 1 ? make("span", { class: row.ready < row.replicas ? "warn" : "soft", title: row.servers.map((one) => t("servers.one", { number: one.number, state: word(t, one.state), message: one.message })).join("\n") }, ` ${t("servers.ready", row)}`) : "";
  const due = row.due ? t("due", { at: hour(row.due), tries: row.tries }) : "";
  const buttons = possible(row).map((what) => make("button", { type: "button", class: "quiet", "data-do": `serve-${what}`, value: `${row.model}/${row.version}`, "aria-label": t(`serve.${what}.label`, row) }, t(`serve.${what}`)));
  return make("tr", { "data-key": `${row.model}/${row.version}` },
    named ? make("th", { scope: "row" }, make("a", { href: `model?name=${encodeURIComponent(row.model)}` }, row.model)) : "",
    named ? make("td", {}, `v${row.version}`) : make("th", { scope: "row" }, `v${row.version}`),
    make("td", {}, state(t, STATES[row.state]), several, wanted), make("td", { class: "soft" }, row.alias ? t(`role.${row.alias}`) : ""), make("td", { class: "number" }, share),
    make("td", { class: "soft" }, t("servers.on", row)), make("td", { class: "soft", title: time(row.updated_at) }, ago(row.updated_at)),
    make("td", {}, make("span", { class: "clamp", lang: "en", title: row.message || null }, row.message), due ? make("span", { class: "warn" }, due) : ""),
    make("td", {}, make("span", { class: "acts" }, ...buttons)));
}

// models: what GET /serving/v1/models answers of them. named: with the model's name in each row.
export function revisionsTable(t, models, named) {
  const rows = models.flatMap((model) => model.revisions.map((row) => line(t, row, named)));
  if (!rows.length) return make("p", { class: "soft" }, t("none.yet"));
  const heads = [...(named ? ["model"] : []), "version", "state", "role", "share", "server", "since", "message", "acts"].map((key) => make("th", { scope: "col", class: key === "share" ? "number" : null }, t(`servers.${key}`)));
  return make("div", { class: "scroll" }, make("table", { class: "revisions" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));
}

export const splitButton = (t, model) => (model.revisions.filter((row) => row.state === "running").length > 1
  ? make("button", { type: "button", "data-do": "serve-split", value: model.model, "aria-label": t("split.label", { model: model.model }) }, t("split")) : "");

export const scaleButton = (t, model) => (model.replicas.most > 1
  ? make("button", { type: "button", "data-do": "serve-scale", value: model.model, "aria-label": t("scale.label", { model: model.model }) }, t("scale", model.replicas)) : "");

export function reconcilerSaid(t, { alive, at }) {
  return alive ? "" : t(at ? "reconciler.away" : "reconciler.never", { at: at ? time(at) : "" });
}

// find(name) gives a model as it was read last.
export function servingDeeds(t, find) {
  const change = (what) => (button, after) => {
    const [model, version] = button.value.split("/");
    const remove = what === "delete", facts = { model, version };
    ask(t, {
      title: t(`serve.${what}.title`, facts), words: [t(`serve.${what}.words`, facts)], verb: t(`serve.${what}`), reason: t("reason"), tone: what === "start" ? "" : "bad",
      act: async ({ why }) => {
        if (remove) await call(path(model, version), { method: "DELETE", query: { why: why.trim() } });
        else await call(`${path(model, version)}/${what}`, { method: "POST", body: { why: why.trim() } });
        after();
      },
    });
  };
  return Object.fromEntries([...["start", "stop", "restart", "delete"].map((what) => [`serve-${what}`, change(what)]), ["serve-split", (button, after) => split(t, find(button.value), after)], ["serve-scale", (button, after) => scale(t, find(button.value), after)]]);
}

// How many servers a model shall have, within what its spec allows.
function scale(t, model, after) {
  const { wanted, least, most, who, why } = model.replicas;
  const count = make("input", { type: "number", name: "replicas", min: least, max: most, step: 1, value: wanted, required: "" });
  ask(t, {
    title: t("scale.title", { model: model.model }), words: [t("scale.words", { least, most }), who ? t("scale.said", { wanted, who, why }) : ""].filter(Boolean),
    fields: [make("label", {}, t("scale.field"), count)], verb: t("scale.do"), reason: t("reason"),
    act: async (values) => {
      await call(`${path(model.model)}/scale`, { method: "POST", body: { replicas: Number(values.replicas), why: values.why.trim() } });
      after();
    },
  });
}

// Sliders that always add up to a hundred, with what becomes of a hundred requests.
function split(t, model, after) {
  const versions = model.revisions.filter((row) => row.state === "running").map((row) => String(row.version)).sort((a, b) => Number(a) - Number(b));
  const weights = Object.fromEntries(versions.map((version) => [version, model.weights[version] ?? 0]));
  const preview = make("div", { class: "preview" }), inputs = {}, outputs = {};
  const told = () => {
    for (const version of versions) {
      inputs[version].value = weights[version];
      outputs[version].textContent = `${weights[version]} %`;
    }
    const bars = versions.filter((version) => weights[version]).map((version) => {
      const bar = make("i", { class: model.aliases.champion === Number(version) ? "champion" : "open" }, `v${version}`);
      bar.style.flexGrow = weights[version];
      return bar;
    });
    const words = versions.filter((version) => weights[version] !== (model.weights[version] ?? 0)).map((version) => t("split.change", { version, from: model.weights[version] ?? 0, to: weights[version] }));
    preview.replaceChildren(make("span", { class: "bar", role: "img", "aria-label": versions.map((version) => `v${version} ${weights[version]} %`).join(", ") }, ...bars), make("p", { class: "soft", role: "status" }, words.join("; ") || t("split.same")));
  };
  const move = (version) => {
    const value = Number(inputs[version].value), others = versions.filter((one) => one !== version), rest = 100 - value, had = others.reduce((sum, one) => sum + weights[one], 0);
    let left = rest;
    others.forEach((one, index) => {
      weights[one] = index === others.length - 1 ? left : Math.min(left, Math.round(had ? (rest * weights[one]) / had : rest / others.length));
      left -= weights[one];
    });
    weights[version] = value;
    told();
  };
  const sliders = versions.map((version) => {
    inputs[version] = make("input", { type: "range", min: 0, max: 100, step: 1, "aria-label": `v${version}` });
    outputs[version] = make("output", {});
    inputs[version].addEventListener("input", () => move(version));
    return make("p", { class: "slider" }, make("b", {}, `v${version}`), inputs[version], outputs[version]);
  });
  ask(t, {
    title: t("split.title", { model: model.model }), words: [t("split.words")], fields: [...sliders, preview], verb: t("split.do"), reason: t("reason"),
    act: async ({ why }) => {
      await call(`${path(model.model)}/split`, { method: "PUT", body: { weights, why: why.trim() } });
      after();
    },
  });
  told();
}
