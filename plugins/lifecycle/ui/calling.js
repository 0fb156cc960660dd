// How to call the model, as code that can be copied, with the model's own inputs.

import { make } from "./page.js";
import { call } from "./server.js";

const KEPT_MS = 60000;
const WAYS = ["curl", "requests", "tritonclient"];
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
// JSON's true, false and null, as Python writes them. Texts are left alone.
const python = (value) => JSON.stringify(value, null, 4).replace(/("(?:[^"\\]|\\.)*")|\b(true|false|null)\b/g, (all, text, word) => text ?? { true: "True", false: "False", null: "None" }[word]);

function curl({ url, path, body }) {
  return `curl -s ${url}${path} \\\n  -H "x-api-key: $UPDRAFT_KEY" -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(body))}`;
}

function requests({ url, path, body }) {
  return `import os\n\nimport requests\n\nanswer = requests.post(\n    "${url}${path}",\n    headers={"x-api-key": os.environ["UPDRAFT_KEY"]},\n    json=${python(body).replaceAll("\n", "\n    ")},\n    timeout=10,\n)\nanswer.raise_for_status()\nprint(answer.json())`;
}

const NUMPY = { BOOL: "bool", BYTES: "object_", FP16: "float16", FP32: "float32", FP64: "float64", INT8: "int8", INT16: "int16", INT32: "int32", INT64: "int64", UINT8: "uint8", UINT16: "uint16", UINT32: "uint32", UINT64: "uint64" };

function tritonclient({ url, model, tensors }) {
  const inputs = tensors.map(({ name, shape, datatype, data }, index) =>
    `inputs.append(http.InferInput(${JSON.stringify(name)}, ${JSON.stringify(shape)}, "${datatype}"))\ninputs[${index}].set_data_from_numpy(np.array(${python(data).replaceAll(/\s*\n\s*/g, " ")}, dtype=np.${NUMPY[datatype]}).reshape(${JSON.stringify(shape)}))`).join("\n");
  return `import os\n\nimport numpy as np\nimport tritonclient.http as http\n\nclient = http.InferenceServerClient("${url.replace(/^https?:\/\//, "")}"${url.startsWith("https") ? ", ssl=True" : ""})\ninputs = []\n${inputs}\nanswer = client.infer(${JSON.stringify(model)}, inputs, headers={"x-api-key": os.environ["UPDRAFT_KEY"]})\nfor output in answer.get_response()["outputs"]:\n    print(output["name"], answer.as_numpy(output["name"]))`;
}

const MAKERS = { curl, requests, tritonclient };

export class Calling {
  constructor(t, name) {
    this.t = t;
    this.name = name;
    this.found = null;
    this.problem = "";
    this.way = "curl";
    this.at = -Infinity;
    this.served = "";
    this.deeds = { way: (button, after) => ((this.way = button.value), after()), copy: (button) => copy(t, button) };
  }

  async look(model) {
    const served = JSON.stringify(model.split ?? null);
    if (served === this.served && performance.now() - this.at < KEPT_MS) return;
    try {
      this.found = await call("lifecycle/v1/calling", { query: { model: this.name } });
      this.problem = "";
      this.served = served;
      this.at = performance.now();
    } catch (error) {
      this.problem = error.message;
    }
  }

  code(way) {
    return MAKERS[way](this.found);
  }

  // A client that goes on asking, for a trial that nobody calls.
  loop() {
    if (!this.found?.body) return "";
    return block(this.t, `while true; do\n  ${this.code("curl").replaceAll("\n", "\n  ")} -o /dev/null -w '%{http_code}\\n'\n  sleep 0.2\ndone`, "loop");
  }

  section() {
    const { t, found } = this;
    const box = (...parts) => make("section", { "data-key": "calling", "aria-labelledby": "h-calling" }, make("h2", { id: "h-calling" }, t("calling")), ...parts);
    if (!found) return box(make("p", { class: this.problem ? "bad" : "soft" }, this.problem || t("loading")));
    if (!found.body) return box(make("p", { class: "soft", lang: "en" }, found.why), found.path ? make("p", {}, make("code", {}, `POST ${found.url}${found.path}`)) : "");
    const ways = WAYS.filter((way) => way !== "tritonclient" || found.tensors.length);
    const way = ways.includes(this.way) ? this.way : ways[0];
    const tabs = make("div", { class: "chips", role: "group", "aria-label": t("calling.way") }, ...ways.map((one) => make("button", { type: "button", "data-do": "way", value: one, "data-key": one, "aria-pressed": String(one === way) }, one)));
    return box(make("p", { class: "soft" }, t("calling.key")), tabs, block(t, this.code(way), "snippet"));
  }
}

function block(t, code, id) {
  return make("div", { class: "snippet" }, make("pre", { id, tabindex: "0" }, code), make("button", { type: "button", "data-do": "copy", value: id }, t("copy")));
}

// A frame may be denied the clipboard: then the text is selected, and a key copies it.
export async function copy(t, button) {
  const place = document.getElementById(button.value);
  getSelection().selectAllChildren(place);
  try {
    await navigator.clipboard.writeText(place.textContent);
  } catch {
    if (!document.execCommand("copy")) return;
  }
  button.textContent = t("copied");
  setTimeout(() => (button.textContent = t("copy")), 1500);
}
