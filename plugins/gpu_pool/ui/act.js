// What an admin does is asked once more, with its reason; the server decides whether it may be done.

import { call } from "./pool.js";

const dialog = document.getElementById("act"), reason = document.getElementById("act-reason");
const problem = document.getElementById("act-problem"), button = document.getElementById("act-do");
let doing = null;

export function ask({ title, words, verb, path, method = "POST", needsReason = false, after }) {
  document.getElementById("act-title").textContent = title;
  document.getElementById("act-words").textContent = words;
  button.textContent = verb;
  problem.textContent = reason.value = "";
  reason.required = needsReason;
  reason.parentElement.hidden = method === "DELETE" || path.endsWith("/uncordon");
  doing = { path, method, after };
  dialog.showModal();
}

dialog.querySelector("form").addEventListener("submit", async (event) => {
  if (event.submitter !== button || !doing) return;
  event.preventDefault();
  try {
    await call(doing.path, { method: doing.method, body: reason.parentElement.hidden ? null : { reason: reason.value } });
    dialog.close();
    doing.after();
  } catch (error) {
    problem.textContent = error.message;
  }
});
