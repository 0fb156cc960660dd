// A team's share, as an admin writes it; the server decides whether it makes sense, and its event says who wrote it.

import { call } from "./pool.js";

const dialog = document.getElementById("quota"), field = (name) => document.getElementById(`quota-${name}`);
let after = null;

export function edit(row, then) {
  field("team").value = row?.team ?? "";
  field("team").readOnly = Boolean(row);
  field("guaranteed").value = row?.guaranteed ?? 0;
  field("limit").value = row?.limit ?? "";
  field("weight").value = row?.weight ?? 1;
  field("remove").hidden = !row?.declared;
  field("problem").textContent = "";
  after = then;
  dialog.showModal();
}

dialog.querySelector("form").addEventListener("submit", async (event) => {
  const remove = event.submitter === field("remove");
  if (!remove && event.submitter !== field("do")) return;
  event.preventDefault();
  const path = `quotas/${encodeURIComponent(field("team").value)}`, limit = field("limit").value;
  const body = { guaranteed: Number(field("guaranteed").value), limit: limit === "" ? null : Number(limit), weight: Number(field("weight").value) };
  try {
    await call(path, remove ? { method: "DELETE" } : { method: "PUT", body });
    dialog.close();
    after();
  } catch (error) {
    field("problem").textContent = error.message;
  }
});
