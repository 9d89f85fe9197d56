// The dialog to choose a model, or several models to compare. It has a search, and a list in groups of the same medium.
import { $, make } from "/dom.js";
import { text } from "/texts.js";

const FIRST = ["image", "video", "audio"];

function inOrder(models) {
  const rank = ({ returns }) => (FIRST.includes(returns) ? FIRST.indexOf(returns) : FIRST.length);
  return [...models].sort((one, other) => rank(one) - rank(other) || (rank(one) === FIRST.length ? one.returns.localeCompare(other.returns) : 0));
}

// Calls `whenChosen(names)` with the chosen models.
export function chooseModels(models, chosen, { isSeveral, whenChosen }) {
  const dialog = $("chooser");
  const search = make("input", { type: "search", id: "model-search", placeholder: text("chooser.search"), "aria-label": text("chooser.search"), autocomplete: "off" });
  const list = make("div", { class: "models" });
  const none = make("p", { class: "hint", role: "status" });
  const ordered = inOrder(models);
  const rows = ordered.map((definition) => rowOf(definition, chosen, isSeveral, (names) => finish(names)));
  const groups = [...new Set(ordered.map((definition) => definition.returns))].map((medium) => groupOf(medium, rows));
  list.append(...groups.map(({ element }) => element));

  const finish = (names) => {
    dialog.close();
    whenChosen(names);
  };
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.element.hidden = !words.every((word) => row.words.includes(word));
    for (const group of groups) group.element.hidden = group.rows.every((row) => row.element.hidden);
    none.textContent = groups.every((group) => group.element.hidden) ? text("chooser.none") : "";
  };
  search.addEventListener("input", show);
  dialog.onkeydown = (event) => moveFocus(event, search, rows, isSeveral);

  const title = make("h2", { id: "chooser-title" }, text(isSeveral ? "chooser.compare" : "chooser.title"));
  const close = make("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, text("chooser.cancel"));
  const names = () => rows.filter((row) => row.control.checked).map((row) => row.name);
  const done = make("button", { type: "button", class: "primary", onclick: () => finish(names()) }, text("chooser.done"));
  const foot = make("div", { class: "foot" }, close, isSeveral ? done : null);
  dialog.replaceChildren(title, isSeveral ? make("p", { class: "hint" }, text("chooser.compare.hint")) : "", search, none, list, foot);
  dialog.showModal();
  search.focus();
  rows.find((row) => row.name === chosen[0])?.element.scrollIntoView({ block: "center" });
}

function groupOf(medium, rows) {
  const own = rows.filter((row) => row.medium === medium);
  const id = `models-${medium}`;
  const element = make("div", { role: "group", "aria-labelledby": id }, make("h3", { id }, text(`medium.${medium}`)), ...own.map((row) => row.element));
  return { rows: own, element };
}

function rowOf(definition, chosen, isSeveral, finish) {
  const { model, returns, fields } = definition;
  const facts = [];
  const inputs = fields.filter((spec) => ["images", "file", "files"].includes(spec.kind));
  if (inputs.length) facts.push(text(inputs.some((spec) => spec.required) ? "chooser.needs.input" : "chooser.takes.input"));
  const hasPrompt = fields.some((spec) => spec.name === "prompt");
  if (!hasPrompt) facts.push(text("chooser.no.prompt"));
  const words = [make("b", {}, model), facts.length ? make("small", {}, facts.join(", ")) : null];
  const row = { name: model, medium: returns, words: `${model} ${text(`medium.${returns}`)}`.toLowerCase() };
  if (isSeveral) {
    row.control = make("input", { type: "checkbox", checked: chosen.includes(model), disabled: model === chosen[0], value: model });
    row.element = make("label", { class: "model" }, row.control, make("span", {}, ...words));
  } else {
    row.control = make("button", { type: "button", "aria-current": model === chosen[0] ? "true" : null, onclick: () => finish([model]), value: model }, ...words);
    row.element = make("div", { class: "model" }, row.control);
  }
  return row;
}

// The arrow keys move through the found models. Enter in the search chooses the first one, or moves to it if several may be
// chosen.
function moveFocus(event, search, rows, isSeveral) {
  const found = rows.filter((row) => !row.element.hidden && !row.control.disabled).map((row) => row.control);
  if (!found.length) return;
  const now = found.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    event.preventDefault();
    const next = found[now + step];
    if (next) next.focus();
    else if (now + step < 0) search.focus();
  } else if (event.key === "Enter" && document.activeElement === search) {
    event.preventDefault();
    if (isSeveral) found[0].focus();
    else found[0].click();
  }
}
