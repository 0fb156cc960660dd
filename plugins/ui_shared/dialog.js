// What a person does is asked once more, with its reason; the server decides whether it may be done, and says so in the same place.

import { make } from "./page.js";

// fields: nodes of the form (inputs with names). act(values) does it; what it throws is shown, and the form stays.
export function ask(t, { title, words = [], fields = [], verb, reason = "", tone = "", act }) {
  const back = document.activeElement;
  const problem = make("p", { class: "bad", role: "alert" });
  const why = reason ? [make("label", {}, reason, make("textarea", { name: "why", maxlength: 1000, rows: 2, required: "" }))] : [];
  const yes = make("button", { class: `main ${tone}`, value: "do" }, verb);
  const no = make("button", { type: "button", value: "cancel" }, t("dialog.leave"));
  const form = make("form", { method: "dialog" }, make("h2", { id: "dialog-title" }, title), ...words.map((line) => make("p", { class: "soft" }, line)), ...fields, ...why, problem, make("p", { class: "buttons" }, yes, no));
  const dialog = make("dialog", { "aria-labelledby": "dialog-title" }, form);
  document.body.append(dialog);
  const close = () => dialog.close();
  no.addEventListener("click", close);
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (back?.isConnected) back.focus();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (yes.disabled) return;
    yes.disabled = true;
    problem.textContent = "";
    try {
      const values = Object.fromEntries(new FormData(form));
      if (reason && !values.why.trim()) throw new Error(t("dialog.why"));
      await act(values);
      close();
    } catch (error) {
      problem.textContent = error.message;
      yes.disabled = false;
    }
  });
  dialog.showModal();
  return dialog;
}
