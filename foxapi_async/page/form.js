// The form: the model, the fields that it has, and a draft that a reload does not lose.
import { $, announce, button, make, narrow, recall, remember, reveal } from "/dom.js";
import { chooseModels } from "/chooser.js";
import { fieldOf, isAdvanced, isRequired } from "/fields.js";
import { addResult, anyFiles, filesToKeep, inputsOf, isInput, mainOf, restoreFiles, storedFiles, useFilesOf } from "/inputs.js";
import { inWords } from "/problems.js";
import { post } from "/server.js";
import { labelOf, text } from "/texts.js";

const PROMPT = "prompt";

// `kept` has the values of all fields, including fields that the present model does not have. `others` are the models to
// compare with.
export const form = { models: [], chosen: null, others: [], fields: new Map(), kept: new Map(), whenChanged: () => {} };

export function modelNamed(name) {
  return form.models.find((each) => each.model === name);
}

// Shows the form with the draft of this tab. `whenChanged` is called after each change of a value.
export function showForm(models, whenChanged) {
  form.models = models;
  form.whenChanged = whenChanged;
  const draft = recall("sessionStorage", "draft") ?? {};
  form.kept = new Map(Object.entries(draft.values ?? {}));
  form.others = (draft.others ?? []).map(modelNamed).filter(Boolean);
  restoreFiles(draft.files ?? []);
  $("prompt").value = form.kept.get(PROMPT) ?? "";
  showModel(modelNamed(draft.model) ?? models[0]);
  $("model").addEventListener("click", () =>
    chooseModels(form.models, [form.chosen.model], { isSeveral: false, whenChosen: ([name]) => chooseModel(modelNamed(name)) }),
  );
  $("compare").addEventListener("click", compare);
  for (const name of ["input", "change"]) $("form").addEventListener(name, () => changed());
}

export function chooseModel(definition) {
  keepValues();
  showProblems();
  form.others = form.others.filter((other) => other !== definition && other.returns === definition.returns);
  showModel(definition);
  $("model").focus();
}

function showModel(definition) {
  form.chosen = definition;
  form.fields.clear();
  const prompt = definition.fields.find((spec) => spec.name === PROMPT);
  $("prompt-field").hidden = !prompt;
  $("prompt").required = Boolean(prompt && isRequired(prompt));
  const parts = { fields: [], advanced: [] };
  for (const spec of definition.fields) {
    if (spec.name === PROMPT || isInput(spec)) continue;
    const field = fieldOf(spec);
    field.write(form.kept.get(spec.name) ?? null);
    form.fields.set(spec.name, field);
    parts[isAdvanced(spec) ? "advanced" : "fields"].push(field.element);
  }
  const inputs = inputsOf(definition, filesChanged);
  $("inputs").replaceChildren(...inputs.filter((input) => !input.isAdvanced).map((input) => input.element));
  parts.advanced.unshift(...inputs.filter((input) => input.isAdvanced).map((input) => input.element));
  $("fields").replaceChildren(...parts.fields);
  $("advanced").replaceChildren(...parts.advanced);
  $("more").hidden = !parts.advanced.length;
  $("unsure").hidden = definition.fields.every((spec) => spec.level !== "extract");
  showModels();
  changed();
}

function showModels() {
  $("model-name").textContent = form.chosen.model;
  $("model-medium").textContent = text(`medium.${form.chosen.returns}`);
  const chips = form.others.map((other) => {
    const remove = () => {
      form.others = form.others.filter((each) => each !== other);
      showModels();
      changed();
      $("compare").focus();
    };
    return make("li", {}, other.model, make("button", { type: "button", "aria-label": text("compare.remove", { model: other.model }), onclick: remove }, "×"));
  });
  $("others").replaceChildren(...chips);
  $("others").hidden = !chips.length;
}

// Lets the user choose other models that return the same medium.
function compare() {
  const alike = form.models.filter((each) => each.returns === form.chosen.returns);
  const chosen = [form.chosen, ...form.others].map((each) => each.model);
  const whenChosen = (names) => {
    form.others = names.filter((name) => name !== form.chosen.model).map(modelNamed);
    showModels();
    changed();
  };
  chooseModels(alike, chosen, { isSeveral: true, whenChosen });
}

/* Values. */

function keepValues() {
  form.kept.set(PROMPT, $("prompt").value);
  for (const [name, field] of form.fields) form.kept.set(name, field.read());
}

function changed() {
  keepValues();
  const values = Object.fromEntries([...form.kept].filter(([, value]) => value !== null && value !== ""));
  remember("sessionStorage", "draft", { model: form.chosen.model, others: form.others.map((each) => each.model), values, files: filesToKeep() });
  form.whenChanged();
}

function filesChanged(...problems) {
  changed();
  if (problems.length) showProblems(...problems);
}

// The fields of a request for one of the chosen models, without its files. Another model gets the values that it takes.
function valuesFor(definition) {
  const request = { model: definition.model };
  for (const spec of definition.fields) {
    if (isInput(spec)) continue;
    const value = form.kept.get(spec.name) ?? null;
    if (value !== null && value !== "" && (definition === form.chosen || takes(spec, value))) request[spec.name] = value;
  }
  return request;
}

function takes(spec, value) {
  if (spec.kind === "choice" || (spec.kind === "size" && typeof value === "string")) return spec.choices.includes(value);
  if (spec.values) return spec.values.includes(value);
  return typeof value !== "number" || !(value < spec.minimum || value > spec.maximum);
}

const chosenModels = () => [form.chosen, ...form.others];

// Waits until all files are stored, and returns the requests of this press. If a field is missing, throws an error with its
// name.
export async function requests() {
  const values = chosenModels().map(valuesFor);
  const files = await Promise.all(chosenModels().map(storedFiles));
  return chosenModels().map((definition, n) => {
    const request = { ...values[n], ...files[n] };
    const missing = definition.fields.find((spec) => isRequired(spec) && !(spec.name in request));
    if (missing) throw new Error(text("field.missing", { model: definition.model, field: labelOf(missing.name) }));
    return request;
  });
}

// Whether the form still shows this request.
export function isShown(request) {
  const values = Object.entries(valuesFor(form.chosen));
  return !form.others.length && values.every(([name, value]) => JSON.stringify(request[name]) === JSON.stringify(value));
}

// What each request of the next press would cost, and what may be wrong with it. A missing text is sent as "-", because no
// price depends on a text.
export function checked() {
  const check = (definition) => {
    const missing = definition.fields.filter((spec) => spec.required && spec.kind === "text").map((spec) => [spec.name, "-"]);
    return post("/check", { ...Object.fromEntries(missing), ...valuesFor(definition), ...anyFiles(definition) });
  };
  return Promise.all(chosenModels().map(check));
}

// Fills the form with an earlier request.
export function useRequest(request) {
  const definition = modelNamed(request.model);
  if (!definition) throw new Error(text("form.unknown", { model: request.model }));
  form.kept = new Map(Object.entries(request));
  form.others = [];
  useFilesOf(definition, request);
  $("prompt").value = request[PROMPT] ?? "";
  showModel(definition);
  showProblems();
  toForm();
}

// Makes a result an input image. If the present model takes no input image, chooses a model that takes one.
export function editResult(file, model, storing) {
  const takesOne = (definition) => definition && definition.returns === "image" && mainOf(definition);
  if (!takesOne(form.chosen)) {
    const former = form.chosen.model;
    keepValues();
    form.others = [];
    showModel([modelNamed(model), ...form.models].find(takesOne));
    announce(text("edit.switched", { model: form.chosen.model, former }));
  }
  form.others = form.others.filter(takesOne);
  addResult(form.chosen, file, storing);
  showModels();
  toForm();
}

function toForm() {
  const control = $("prompt-field").hidden ? $("model") : $("prompt");
  control.focus({ preventScroll: true });
  reveal($("form"), narrow.matches ? "start" : "nearest");
  document.querySelector("#form .scroll").scrollTo({ top: 0 });
}

/* Problems. */

export function showProblems(...problems) {
  for (const control of controls()) control.removeAttribute("aria-invalid");
  const lines = problems.length > 1 ? [make("ul", {}, ...problems.map((line) => make("li", {}, line)))] : problems.map((line) => make("p", {}, line));
  const close = () => {
    showProblems();
    $("send").focus();
  };
  $("problems").replaceChildren(...lines, ...(lines.length ? [button("×", close, { class: "close", "aria-label": text("problems.close") })] : []));
  if (lines.length) $("problems").scrollIntoView({ block: "nearest" });
}

function controls() {
  return [$("prompt"), ...[...form.fields.values()].map((field) => field.control)];
}

export function showRefusal(error) {
  if (!error.problems?.length) return showProblems(error.message);
  showProblems(...error.problems.map(inWords));
  for (const { field: name } of error.problems) (name === PROMPT ? $("prompt") : form.fields.get(name)?.control)?.setAttribute("aria-invalid", "true");
}
