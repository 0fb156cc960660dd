// The plugin's JSON API.

const API = new URL("../v1/", import.meta.url);

export async function call(path, { method = "GET", body = null, query = {} } = {}) {
  const url = new URL(path, API);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  const headers = body ? { Accept: "application/json", "Content-Type": "application/json" } : { Accept: "application/json" };
  const answer = await fetch(url, { method, headers, credentials: "same-origin", body: body && JSON.stringify(body) });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const said = await answer.json().then((json) => json.detail, () => "");
  if (answer.status === 401) throw new Error("Airflow's session has ended. Log in and reload.");
  throw new Error(typeof said === "string" && said ? said : `${url.pathname} answered ${answer.status}.`);
}
