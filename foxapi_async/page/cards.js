// The cards: the state of each item, and the history that the server has. The page makes the first card of a press.
import { $, announce, state } from "/dom.js";
import { draw, hasEnded, isRunning, newElement, tell } from "/card.js";
import { filter, fits, offerModel } from "/filter.js";
import { ask } from "/server.js";
import { counted, text } from "/texts.js";

const OLDER = 30;
const MOST = 100;

// `order` has the cards, the newest first. `whenChanged` is called after each change. `whole`: all cards from the place `oldest` up to this place are loaded.
export const cards = { byKey: new Map(), byTask: new Map(), order: [], progress: new Map(), oldest: null, whole: 0, loaded: false, clock: 0, whenChanged: () => {} };

// Keeps the later state of an item. An event of the stream has the time of its arrival. A page of the history has the time
// of its request.
export function take(given, said = ++cards.clock) {
  const item = { isLocal: false, ...given };
  const known = cards.byKey.get(item.key);
  if (known?.said > said || (item.isLocal && known && !known.item.isLocal)) return;
  const card = known ?? { element: newElement() };
  const before = known?.item;
  card.item = item;
  card.said = said;
  if (item.id) cards.byTask.set(item.id, card);
  if (!isRunning(item)) cards.progress.delete(item.id);
  cards.byKey.set(item.key, card);
  draw(card, cards.progress.get(item.id));
  if (before?.place !== item.place) place(card);
  card.element.hidden = !fits(item);
  offerModel(item.model);
  if (before && before.state !== item.state) announceEnd(item);
  showCounts();
}

function place(card) {
  const isFocused = card.element.contains(document.activeElement);
  const former = cards.order.indexOf(card);
  if (former >= 0) cards.order.splice(former, 1);
  let [low, high] = [0, cards.order.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cards.order[middle].item.place > card.item.place) low = middle + 1;
    else high = middle;
  }
  const next = cards.order[low];
  cards.order.splice(low, 0, card);
  if (card.element.nextElementSibling !== (next?.element ?? null) || !card.element.isConnected) $("cards").insertBefore(card.element, next?.element ?? null);
  if (isFocused) card.element.focus();
}

export function drop(key) {
  const card = cards.byKey.get(key);
  if (!card) return;
  card.element.remove();
  cards.byKey.delete(key);
  cards.byTask.delete(card.item.id);
  cards.order.splice(cards.order.indexOf(card), 1);
  showCounts();
}

export function newest() {
  return cards.order.find((card) => !card.element.hidden)?.element ?? $("results");
}

function announceEnd(item) {
  const prompt = (item.request.prompt ?? item.model ?? "").slice(0, 80);
  const words = { done: "end.done", unsaved: "end.unsaved", failed: "end.failed", uncertain: "end.uncertain", refused: "end.refused" }[item.state];
  if (words) announce(text(words, { prompt, results: counted("results", item.files.length || 1) }));
}

function showCounts() {
  const running = cards.order.filter((card) => isRunning(card.item)).length;
  document.title = running ? `(${running}) ${text("title")}` : text("title");
  $("empty").hidden = !cards.loaded || cards.order.length > 0;
  $("tools").hidden = !cards.order.length;
  const shown = cards.order.filter((card) => !card.element.hidden).length;
  const isAll = shown === cards.order.length && cards.oldest === null;
  state("found", isAll ? counted("results", shown) : text("filter.found", { shown, loaded: cards.order.length }));
  $("nothing").hidden = shown > 0 || !cards.order.length;
  cards.whenChanged();
}

// Shows the cards that fit the filter, and reads older items until enough cards are shown.
export async function applyFilter() {
  for (const card of cards.order) card.element.hidden = !fits(card.item);
  showCounts();
  const asked = ++filter.asked;
  const isShort = () => cards.order.filter((card) => !card.element.hidden).length < OLDER;
  while (filter.isOn && asked === filter.asked && cards.oldest !== null && isShort()) await showOlder(MOST);
}

// The keys of all shown items that have files, the newest first.
export function keysToSave() {
  return cards.order.filter(({ element, item }) => !element.hidden && item.files.length).map(({ item }) => item.key);
}

export function hearProgress(event) {
  const seen = { event, at: performance.now() };
  cards.progress.set(event.id, seen);
  const card = cards.byTask.get(event.id);
  if (card) tell(card, seen);
}

// Counts the remaining times down between the events.
export function runDown() {
  for (const card of cards.order) if (card.live) tell(card, cards.progress.get(card.item.id));
}

/* The history. */

// Reads the history back to `whole`, because newer items may be missing, and to the oldest card whose end may be missing.
export async function refresh() {
  const began = ++cards.clock;
  let page = await historyPage(null);
  const latest = page.cards[0]?.place ?? -1;
  const waiting = cards.order.filter(({ item }) => !item.isLocal && !hasEnded(item));
  const end = cards.loaded ? Math.min(cards.whole, ...waiting.map((card) => card.item.place)) : Infinity;
  if (!cards.loaded) setOldest(page.before);
  cards.loaded = true;
  while (page.before !== null && page.before > end) page = await historyPage(page.before, MOST);
  cards.whole = latest + 1;
  if (cards.oldest !== null && (page.before ?? 0) < cards.oldest) setOldest(page.before);
  // A refused submit has no item any more.
  for (const card of waiting) if (card.said < began && card.item.place >= (page.before ?? 0)) drop(card.item.key);
  $("cards").setAttribute("aria-busy", "false");
  showCounts();
}

// Whether the server has a card for this press. The newest page of the history is read if the stream did not bring it;
// that may fail.
export async function hasCard(key) {
  const isThere = () => cards.byKey.get(key)?.item.isLocal === false;
  if (!isThere()) await historyPage(null);
  return isThere();
}

async function historyPage(before, limit = OLDER) {
  const query = new URLSearchParams(before === null ? { limit } : { limit, before });
  const asked = ++cards.clock;
  const page = await ask(`/history?${query}`);
  for (const item of page.cards) take(item, asked);
  return page;
}

function setOldest(place) {
  cards.oldest = place;
  $("older").hidden = place === null;
}

export async function showOlder(limit = OLDER) {
  setOldest((await historyPage(cards.oldest, limit)).before);
}
