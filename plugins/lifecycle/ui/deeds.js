// What a person does to a model: each asks for a reason, and is done by Airflow's API or the plugin's, with the rights of whoever is logged in.

import { make } from "./page.js";
import { ask } from "./dialog.js";
import { call } from "./server.js";

// A run of a paused DAG would wait unseen.
async function begin(t, dag, conf, note) {
  const known = await call(`api/v2/dags/${encodeURIComponent(dag)}`);
  if (known.is_paused) throw new Error(t("dag.paused", { dag }));
  await call(`api/v2/dags/${encodeURIComponent(dag)}/dagRuns`, { method: "POST", body: { logical_date: null, conf, note: `Why: ${note.replace(/\s+/g, " ")}` } });
}

export function retrain(t, name, line, after) {
  const words = [t("retrain.words")];
  if (line.word === "broken") words.push(t("retrain.broken"));
  if (["queued", "running"].includes(line.run?.state)) words.push(t("retrain.queued"));
  ask(t, {
    title: t("retrain.title", { name }), words, verb: t("retrain"), reason: t("reason"),
    act: async ({ why }) => {
      await begin(t, `${name}_lifecycle`, {}, why.trim());
      after();
    },
  });
}

// versions: those that production can go back to, newest first, with what is known of each.
export function rollback(t, name, versions, after) {
  const possible = versions.filter((one) => one.role !== "champion");
  const option = (one) => make("option", { value: one.version, ...(one.role === "previous" ? { selected: "" } : {}) }, [`v${one.version}`, one.score === null ? "" : `${one.metric} ${Number(one.score.toPrecision(4))}`, one.role ? t(`role.${one.role}`) : "", one.said, t(one.warm ? "warm" : "cold")].filter(Boolean).join(" · "));
  ask(t, {
    title: t("rollback.title", { name }), words: [t(possible.length ? "rollback.words" : "rollback.none")], verb: t("rollback.verb"), reason: t("reason"), tone: "bad",
    fields: possible.length ? [make("label", {}, t("rollback.to"), make("select", { name: "version", required: "" }, ...possible.map(option)))] : [],
    act: async ({ version, why }) => {
      if (!version) throw new Error(t("rollback.none"));
      await begin(t, `${name}_rollback`, { version: Number(version), reason: why.trim() }, why.trim());
      after();
    },
  });
}

export function hold(t, name, held, after) {
  ask(t, {
    title: t(held ? "hold.release.title" : "hold.title", { name }), words: [t(held ? "hold.release.words" : "hold.words")], verb: t(held ? "hold.release" : "hold"), reason: t("reason"),
    act: async ({ why }) => {
      await call("lifecycle/v1/holds", { method: "POST", body: { model: name, held: !held, why: why.trim() } });
      after();
    },
  });
}

// pause, resume, promote or end a trial.
export function order(t, runKey, what, version, after) {
  ask(t, {
    title: t(`order.${what}.title`, { version }), words: [t(`order.${what}.words`, { version })], verb: t(`order.${what}`), reason: t("reason"), tone: what === "end" ? "bad" : "",
    act: async ({ why }) => {
      await call("lifecycle/v1/orders", { method: "POST", body: { run_key: runKey, order: what, why: why.trim() } });
      after();
    },
  });
}
