// The plugin's JSON API.

import { t } from "./texts.js";

const API = new URL("../v1/", import.meta.url), PATIENCE_MS = 10000;

export async function call(path, { method = "GET", body = null, query = {} } = {}) {
  const url = new URL(path, API);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  const headers = body ? { Accept: "application/json", "Content-Type": "application/json" } : { Accept: "application/json" };
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const answer = await fetch(url, { method, headers, signal, credentials: "same-origin", body: body && JSON.stringify(body) }).catch(() => null);
  if (!answer) throw new Error(t("server.away"));
  if (answer.ok) return answer.json();
  const said = await answer.json().then((json) => json.detail, () => "");
  if (answer.status === 401) throw new Error(t("server.session"));
  throw new Error(typeof said === "string" && said ? said : t("server.answered", { path: url.pathname, status: answer.status }));
}
