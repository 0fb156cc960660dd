// The end of a server's log, followed while the page is open.

import { make } from "./page.js";
import { call } from "./server.js";

const MOST = 400; // lines kept on the page

export class Logs {
  constructor(t, name) {
    this.t = t;
    this.name = name;
    this.version = null;
    this.opened = false;
    this.lines = [];
    this.cursor = "";
    this.said = "";
    this.deeds = {};
  }

  // Which versions have a server, the champion's first.
  versions(model) {
    const known = model.revisions.map((one) => one.version);
    return known.sort((a, b) => (b === model.aliases.champion) - (a === model.aliases.champion) || b - a);
  }

  async look(model) {
    const known = this.versions(model);
    if (!known.includes(this.version)) this.turn(known[0] ?? null);
    if (!document.getElementById("logs")?.open || this.version === null) return;
    try {
      const found = await call(`serving/v1/models/${encodeURIComponent(this.name)}/revisions/${this.version}/logs`, { query: this.cursor ? { after: this.cursor } : { lines: MOST } });
      this.lines = [...this.lines, ...found.lines].slice(-MOST);
      this.cursor = found.cursor;
      this.said = found.where;
    } catch (error) {
      this.said = error.message;
    }
  }

  turn(version) {
    Object.assign(this, { version, lines: [], cursor: "", said: "" });
  }

  changed(input, after) {
    if (input.id !== "log-version") return false;
    this.turn(Number(input.value));
    after();
    return true;
  }

  section(model) {
    const { t } = this, known = this.versions(model);
    if (!known.length) return "";
    const choice = make("select", { id: "log-version" }, ...known.map((one) => make("option", { value: one, ...(one === this.version ? { selected: "" } : {}) }, `v${one}`)));
    const text = this.lines.join("\n");
    const end = make("pre", { class: "log", tabindex: "0", role: "log", "aria-live": "off", "aria-label": t("logs") }, text || t("logs.none"));
    return make("details", { id: "logs", "data-key": "logs" }, make("summary", {}, t("logs")),
      make("p", {}, make("label", {}, t("logs.of"), " ", choice)), this.said ? make("p", { class: "warn", lang: "en" }, this.said) : "", end);
  }

  // At the end of the log a reader sees what comes; further up it stays where it is.
  static follow() {
    const pre = document.querySelector(".log");
    if (!pre) return () => {};
    const atEnd = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 30;
    return () => atEnd && (pre.scrollTop = pre.scrollHeight);
  }
}
