// Starts the page, and runs the actions of its buttons.
import { $, announce } from "/dom.js";
import { showAll } from "/card.js";
import { applyFilter, cards, drop, hearProgress, keysToSave, refresh, runDown, showOlder, take } from "/cards.js";
import { follow } from "/changes.js";
import { isAway, putAway, showFilter } from "/filter.js";
import { editResult, form, showForm, showRefusal, useRequest } from "/form.js";
import { takeDrops } from "/inputs.js";
import { continuePresses, withdraw } from "/queue.js";
import { Refusal, ask, post } from "/server.js";
import { send, showPriceSoon, showSpending } from "/sending.js";
import { showTexts, text } from "/texts.js";
import { lightbox } from "/view.js";

const MOST_ARCHIVED = 300;

/* The acts of a card. */

const show = lightbox(act);

const acts = {
  open: ({ item }, n) => show(item.files[n].url),
  expand: ({ element }) => showAll(element, !element.querySelector(".prompt").classList.contains("open")),
  async use({ item }) {
    const request = item.shortened ? await ask(`/requests/${encodeURIComponent(item.key)}`) : item.request;
    useRequest({ ...request, model: request.model ?? item.model });
  },
  edit({ item }, n) {
    const storing = post(`/references/${encodeURIComponent(item.id)}/${n + 1}`, {}).then(({ url }) => url);
    editResult(item.files[n], item.model, storing);
  },
  again: ({ item }) => post(`/again/${encodeURIComponent(item.id)}`, {}),
  withdraw: ({ item }) => withdraw(item.key),
  away({ item, element }) {
    const next = element.nextElementSibling ?? element.previousElementSibling ?? $("results");
    if (item.isLocal) drop(item.key); // nothing was sent, and no folder has it
    else {
      putAway(item.key, !isAway(item.key));
      take(item);
    }
    announce(text(isAway(item.key) ? "away.done" : "back.done"));
    next.focus();
  },
};

async function act(name, card, n) {
  try {
    await acts[name](card, n);
  } catch (error) {
    showRefusal(error);
  }
}

function clicked(event) {
  const control = event.target.closest("[data-act]");
  if (!control || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const card = cards.order.find(({ element }) => element.contains(control));
  act(control.dataset.act, card, Number(control.dataset.n));
}

function saveAll() {
  const keys = keysToSave();
  const query = new URLSearchParams(keys.slice(0, MOST_ARCHIVED).map((key) => ["key", key]));
  if (!keys.length) return announce(text("save.none"));
  announce(text("save.all", { count: Math.min(keys.length, MOST_ARCHIVED) }));
  const link = document.createElement("a");
  link.href = `/archive?${query}`;
  link.download = "";
  link.click();
}

/* The stream of changes. */

export const link = { end: null, isOpen: false };

const hear = {
  async ready() {
    link.isOpen = true;
    try {
      await refresh();
      if (link.isOpen) showLink("");
    } catch (error) {
      if (link.isOpen) showLink(text("link.lost"));
      setTimeout(() => link.isOpen && hear.ready(), 3000);
      if (!(error instanceof Refusal)) throw error;
    }
  },
  card: (item) => take(item),
  progress: hearProgress,
  spending: showSpending,
  lost() {
    link.isOpen = false;
    showLink(text("link.lost"));
  },
};

function showLink(problem) {
  $("link").textContent = problem;
}

export function listen() {
  link.end ??= follow((name, data) => link.end && hear[name](data));
}

export function leave() {
  link.end?.();
  link.end = null;
  link.isOpen = false;
}

async function begin() {
  showTexts();
  $("form").addEventListener("submit", send);
  $("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
  });
  $("cards").addEventListener("click", clicked);
  $("older").addEventListener("click", () => showOlder().catch(showRefusal));
  $("save-all").addEventListener("click", saveAll);
  for (const example of document.querySelectorAll("#empty button")) {
    example.addEventListener("click", () => useRequest({ model: form.models[0].model, prompt: example.textContent }));
  }
  showFilter(() => applyFilter().catch(showRefusal));
  takeDrops();
  setInterval(runDown, 1000);
  try {
    showForm(await ask("/models"), showPriceSoon);
    continuePresses();
  } catch (error) {
    showRefusal(error);
  }
  listen();
  addEventListener("pagehide", leave);
  addEventListener("pageshow", listen);
}

begin();
