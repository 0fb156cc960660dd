// What a model stands at, in the page's words: a lamp with its sentence, and the bar of its traffic.

import { make } from "./page.js";

const MARKS = { good: "✓", bad: "✗", warn: "!", open: "○" };

export const roleOf = (aliases, version) => Object.keys(aliases).find((name) => aliases[name] === Number(version)) ?? "";

export function sentence(t, model) {
  const { word, facts } = model;
  if (word === "gpu" && facts.minutes === null) return t("word.gpu.unknown");
  if (word === "under_way") return t("word.under_way", { task: t.has(`task.${facts.task}`) ? t(`task.${facts.task}`) : facts.task });
  if (["trial", "mirror", "paused", "hold"].includes(word) && facts.version === null) return t(`word.${word}.unknown`);
  return t(`word.${word}`, facts);
}

export const lamp = (t, model) => make("span", { class: `lamp ${model.tone}` }, make("span", { class: "mark", "aria-hidden": "true" }, MARKS[model.tone]), make("span", { class: "text" }, sentence(t, model)));

// Widths by share; versions too narrow for their words say them when pointed at, and to a screen reader.
export function trafficBar(t, model, unknown) {
  if (unknown.includes("split") || model.elsewhere) return make("span", { class: "soft" }, t("unknown"));
  const parts = Object.entries(model.split?.weights ?? {});
  if (!parts.length) return make("span", { class: "soft" }, t("traffic.none"));
  const said = parts.map(([version, weight]) => `v${version} ${weight} %`);
  if (model.split.mirror) said.push(t("traffic.mirror", { version: model.split.mirror }));
  const bars = parts.map(([version, weight]) => {
    const bar = make("i", { class: roleOf(model.aliases, version) || "open" }, weight >= 30 ? `v${version}` : "");
    bar.style.flexGrow = weight;
    return bar;
  });
  return make("span", { class: "bar", role: "img", "aria-label": said.join(", "), title: said.join(", ") }, ...bars);
}
