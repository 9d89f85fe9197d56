// Filters the cards by words, state and model. The cards that were put away are shown only with the state "away".
import { $, make, recall, remember } from "/dom.js";

const MOST_AWAY = 1000;
const away = new Set(recall("localStorage", "away") ?? []);

// `asked` counts the changes of the filter.
export const filter = { words: [], state: "", model: "", asked: 0, isOn: false };

const KINDS = {
  running: (item) => ["waiting", "sending", "submitting"].includes(item.state) || (item.state === "submitted" && !item.fault),
  done: (item) => item.state === "done",
  failed: (item) => item.state === "failed" || item.state === "refused",
  uncertain: (item) => item.state === "uncertain",
  unsaved: (item) => item.state === "unsaved" || Boolean(item.fault),
};

export function fits(item) {
  if (away.has(item.key) !== (filter.state === "away")) return false;
  if (KINDS[filter.state] && !KINDS[filter.state](item)) return false;
  if (filter.model && item.model !== filter.model) return false;
  return !filter.words.length || hasWords(item);
}

function hasWords(item) {
  const words = [item.request.prompt, item.model, item.id, JSON.stringify(item.values)].join("\n").toLowerCase();
  return filter.words.every((word) => words.includes(word));
}

export function offerModel(model) {
  const select = $("filter-model");
  if (!model || [...select.options].some((option) => option.value === model)) return;
  const next = [...select.options].slice(1).find((option) => option.value > model);
  select.insertBefore(make("option", { value: model }, model), next ?? null);
}

export function isAway(key) {
  return away.has(key);
}

// Hides an item, or shows it again. The folder keeps it.
export function putAway(key, isPut) {
  if (isPut) away.add(key);
  else away.delete(key);
  remember("localStorage", "away", [...away].slice(-MOST_AWAY));
}

export function showFilter(whenChanged) {
  const read = () => {
    filter.words = $("filter-words").value.toLowerCase().split(/\s+/).filter(Boolean);
    filter.state = $("filter-state").value;
    filter.model = $("filter-model").value;
    filter.isOn = Boolean(filter.words.length || filter.state || filter.model);
    whenChanged();
  };
  $("filter").addEventListener("input", read);
  $("filter").addEventListener("submit", (event) => event.preventDefault());
  $("clear").addEventListener("click", () => {
    $("filter").reset();
    read();
    $("filter-words").focus();
  });
}
