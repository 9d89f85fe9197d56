"use strict";
// Text from people and from the service enters the page only as text. `make` makes every element.

const $ = (id) => document.getElementById(id);

const LABELS = {
  prompt: "Prompt",
  num_outputs: "How many",
  aspect_ratio: "Aspect ratio",
  resolution: "Resolution",
  output_format: "File format",
  image_urls: "Reference images",
  google_search: "Search the web",
  image_search: "Search for images",
};
const STATUS = { pending: "Waiting for its turn", queued: "Waiting for its turn", processing: "Being made", completed: "Saving" };
const MAX_BYTES = 100 * 1000 * 1000;
const OLDER = 30;
const MOST = 100;
const LOST = "No connection to the server; trying again.";

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") element.addEventListener("click", value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

function labelOf(name) {
  const words = name.replaceAll("_", " ");
  return LABELS[name] ?? words[0].toUpperCase() + words.slice(1);
}

function announce(text) {
  $("announcer").textContent = text;
}

function counted(count, thing) {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}

/* The server. */

class Refusal extends Error {
  constructor(status, error) {
    super(error?.message || `The server answered with ${status}.`);
    this.problems = error?.parts ?? [];
    this.type = error?.type ?? "";
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Refusal(0, { message: "The server cannot be reached.", type: "unreachable" });
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refusal(response.status, body?.error);
  if (body === null) throw new Refusal(0, { message: "The server's answer broke off.", type: "unreachable" });
  return body;
}

function post(path, value) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });
}

/* The form: it offers only the fields of the model. */

const form = { models: [], controls: new Map(), kept: new Map(), references: [], busy: false };

function modelNamed(name) {
  return form.models.find((each) => each.model === name) ?? form.models[0];
}

function imagesSpec() {
  return modelNamed($("model").value)?.fields.find((spec) => spec.kind === "images");
}

function showFields() {
  for (const [name, control] of form.controls) form.kept.set(name, valueOf(control));
  form.controls.clear();
  const plain = [];
  const advanced = [];
  for (const spec of modelNamed($("model").value).fields) {
    if (spec.name === "prompt" || spec.kind === "images") continue;
    (spec.advanced ? advanced : plain).push(fieldFor(spec));
  }
  $("fields").replaceChildren(...plain);
  $("advanced").replaceChildren(...advanced);
  $("more").hidden = advanced.length === 0;
  showReferences();
}

function fieldFor(spec) {
  const control = controlFor(spec);
  form.controls.set(spec.name, control);
  setValue(control, form.kept.get(spec.name));
  const hint = make("span", { class: "hint", id: `${control.id}-hint` }, spec.help);
  if (spec.kind === "flag") {
    const words = make("span", {}, make("label", { for: control.id }, labelOf(spec.name)), hint);
    return make("div", { class: "check" }, control, words);
  }
  return make("div", { class: "field" }, make("label", { for: control.id }, labelOf(spec.name)), control, hint);
}

function controlFor(spec) {
  const attributes = { id: `field-${spec.name}`, name: spec.name, "aria-describedby": `field-${spec.name}-hint` };
  if (spec.kind === "flag") return make("input", { ...attributes, type: "checkbox" });
  if (spec.kind === "choice") return choices(attributes, spec.choices, spec.default);
  if (spec.kind !== "integer") return make("input", { ...attributes, type: "text" });
  if (spec.minimum != null && spec.maximum != null && spec.maximum - spec.minimum < 20) {
    const numbers = Array.from({ length: spec.maximum - spec.minimum + 1 }, (_, n) => String(spec.minimum + n));
    return choices({ ...attributes, "data-number": true }, numbers, spec.default);
  }
  return make("input", { ...attributes, type: "number", min: spec.minimum, max: spec.maximum, "data-number": true });
}

function choices(attributes, values, standard) {
  const left = make("option", { value: "" }, standard ? `Default (${standard})` : "Default");
  return make("select", attributes, left, ...values.map((value) => make("option", { value }, value)));
}

function valueOf(control) {
  if (control.type === "checkbox") return control.checked || null;
  if (control.value === "") return null;
  return control.hasAttribute("data-number") ? Number(control.value) : control.value;
}

function setValue(control, value) {
  if (control.type === "checkbox") control.checked = value === true;
  else control.value = value ?? "";
  if (control.selectedIndex === -1) control.value = "";
}

/* Reference images: stored at the service at once, so that sending does not wait for them. */

function addFiles(files) {
  const images = [...files].filter((file) => file.type.startsWith("image/"));
  if (images.length < files.length) showProblems("Only image files can be reference images.");
  if (!imagesSpec()) {
    if (images.length) showProblems("This model takes no reference images.");
    return;
  }
  for (const file of images) addFile(file);
  showReferences();
}

function addFile(file) {
  const reference = { name: file.name || "pasted image", preview: URL.createObjectURL(file), url: null, error: null };
  form.references.push(reference);
  reference.done = upload(file, reference).finally(showReferences);
}

async function upload(file, reference) {
  try {
    if (file.size > MAX_BYTES) throw new Error("It is larger than 100 MB.");
    const query = new URLSearchParams({ name: reference.name });
    const headers = { "Content-Type": file.type };
    reference.url = (await ask(`/uploads?${query}`, { method: "POST", headers, body: file })).url;
    announce(`${reference.name} is uploaded.`);
  } catch (error) {
    reference.error = error.message;
    showProblems(`${reference.name} could not be uploaded. ${error.message}`);
  }
}

function removeReference(reference) {
  form.references = form.references.filter((each) => each !== reference);
  if (reference.preview) URL.revokeObjectURL(reference.preview);
  showReferences();
  $("files").focus();
}

function showReferences() {
  const spec = imagesSpec();
  $("images-field").hidden = !spec;
  $("images-hint").textContent = spec ? `${spec.help}${spec.maximum ? ` At most ${spec.maximum}.` : ""}` : "";
  $("references").replaceChildren(...form.references.map(referenceItem));
}

function referenceItem(reference) {
  const thumb = reference.preview
    ? make("img", { class: "thumb", src: reference.preview, alt: reference.name })
    : make("span", { class: "thumb" }, "image");
  const state = reference.error ? "failed" : reference.url ? "ready" : "uploading…";
  return make(
    "li",
    { class: reference.error ? "failed" : null, "data-state": state },
    thumb,
    make("span", {}, state),
    make("button", { type: "button", "aria-label": `Remove ${reference.name}`, onclick: () => removeReference(reference) }, "×"),
  );
}

/* Sending. */

async function send(event) {
  event.preventDefault();
  if (form.busy) return;
  setBusy(true);
  showProblems();
  try {
    const request = await requestOf();
    if (request) await submit(request);
  } catch (error) {
    showRefusal(error);
  } finally {
    setBusy(false);
  }
}

async function requestOf() {
  const request = { model: $("model").value, prompt: $("prompt").value };
  for (const [name, control] of form.controls) {
    const value = valueOf(control);
    if (value !== null) request[name] = value;
  }
  if (imagesSpec() && form.references.length) {
    await Promise.all(form.references.map((reference) => reference.done));
    if (form.references.some((reference) => reference.error)) {
      showProblems("Remove the reference images that could not be uploaded, or choose them again.");
      return null;
    }
    request.image_urls = form.references.map((reference) => reference.url);
  }
  return request;
}

async function submit(request) {
  const { id } = await post("/images", request);
  announce("Sent. It appears first in the list of images.");
  if (!cards.byTask.has(id)) await historyPage(null);
}

function setBusy(busy) {
  form.busy = busy;
  $("send").setAttribute("aria-disabled", String(busy));
  $("send").textContent = busy ? "Sending…" : "Generate";
}

function showRefusal(error) {
  if (!error.problems?.length) return showProblems(error.message);
  showProblems(...error.problems.map(inWords));
  for (const [name] of error.problems) (name === "prompt" ? $("prompt") : form.controls.get(name))?.setAttribute("aria-invalid", "true");
}

/* A problem is names of fields and texts in turn, beginning with a name, which may be empty. */
function inWords(parts) {
  const named = (part) => (part ? `“${LABELS[part] ?? part}”` : "");
  return parts.map((part, place) => (place === 1 ? part.replace(/^=/, " ") : place % 2 ? part : named(part))).join("");
}

function showProblems(...problems) {
  for (const control of [$("prompt"), ...form.controls.values()]) control.removeAttribute("aria-invalid");
  const lines = problems.length > 1 ? [make("ul", {}, ...problems.map((line) => make("li", {}, line)))] : problems.map((line) => make("p", {}, line));
  $("problems").replaceChildren(...lines);
  if (lines.length) $("problems").scrollIntoView({ block: "nearest" });
}

async function useAgain(item) {
  let { request } = item;
  if (item.shortened) {
    try {
      request = await ask(`/requests/${encodeURIComponent(item.key)}`);
    } catch (error) {
      showRefusal(error);
      return;
    }
  }
  $("model").value = modelNamed(request.model).model;
  showFields();
  $("prompt").value = request.prompt ?? "";
  for (const [name, control] of form.controls) setValue(control, request[name]);
  for (const reference of form.references) if (reference.preview) URL.revokeObjectURL(reference.preview);
  const urls = Array.isArray(request.image_urls) ? request.image_urls : [];
  form.references = urls.map((url, n) => ({ name: `image ${n + 1}`, url, preview: null, error: null, done: null }));
  showReferences();
  showProblems();
  $("prompt").focus();
}

/* The cards: the state of each item and the progress of its task. */

// `whole`: every card older than this place, and not before `oldest`, is loaded.
const cards = { byKey: new Map(), byTask: new Map(), progress: new Map(), oldest: null, whole: 0, loaded: false, clock: 0 };

// The later state counts: an event of the stream counts from its arrival, a page of the history from its request.
function take(item, said = ++cards.clock) {
  const known = cards.byKey.get(item.key);
  if (known?.said > said) return;
  const card = known ?? { element: make("li", { class: "card", tabindex: "-1" }) };
  const before = card.item?.state;
  card.item = item;
  card.said = said;
  if (item.id) cards.byTask.set(item.id, card);
  if (!isRunning(item)) cards.progress.delete(item.id);
  cards.byKey.set(item.key, card);
  draw(card);
  if (!known) place(card);
  if (before && before !== item.state) announceEnd(item);
  showCounts();
}

function place(card) {
  const next = [...cards.byKey.values()].filter((other) => other.item.place < card.item.place && other.element.isConnected);
  const after = next.reduce((best, other) => (best && best.item.place > other.item.place ? best : other), null);
  $("cards").insertBefore(card.element, after?.element ?? null);
}

function announceEnd(item) {
  const prompt = (item.request.prompt ?? "").slice(0, 80);
  if (item.state === "done") announce(`Ready: ${counted(item.images.length, "image")} of ${prompt}`);
  else if (item.state === "unsaved") announce(`Made, not saved: ${prompt}`);
  else if (item.state === "failed") announce(`Failed: ${prompt}`);
  else if (item.state === "uncertain") announce(`Not known whether it was sent: ${prompt}`);
}

function isRunning(item) {
  return item.state === "submitting" || (item.state === "submitted" && !item.fault);
}

function showCounts() {
  const running = [...cards.byKey.values()].filter((card) => isRunning(card.item)).length;
  document.title = running ? `(${running}) FoxAPI images` : "FoxAPI images";
  $("empty").hidden = !cards.loaded || cards.byKey.size > 0;
}

function draw(card) {
  const { item } = card;
  card.live = null;
  const top = isRunning(item) ? waiting(card) : item.state === "done" ? pictures(item) : message(item);
  const prompt = make("p", { class: "prompt", dir: "auto" }, item.request.prompt ?? "");
  prompt.addEventListener("click", () => prompt.classList.toggle("open"));
  const about = make("div", { class: "about" }, prompt, make("p", { class: "meta" }, metaOf(item)), actions(item));
  card.element.dataset.state = item.state;
  const focused = card.element.contains(document.activeElement);
  card.element.replaceChildren(top, about);
  if (focused) card.element.focus();
}

function waiting(card) {
  const percent = make("p", { class: "percent" });
  const bar = make("progress", { max: 100, "aria-label": "Progress" });
  const words = make("p", { class: "words" });
  card.live = { percent, bar, words };
  tell(card);
  return make("div", { class: "pictures waiting" }, percent, bar, words);
}

function tell(card) {
  if (!card.live) return;
  const seen = cards.progress.get(card.item.id);
  const { percent, bar, words } = card.live;
  const progress = seen?.event.progress;
  percent.textContent = progress == null ? "" : `${Math.floor(progress)} %`;
  percent.hidden = progress == null;
  if (progress == null) bar.removeAttribute("value");
  else bar.value = progress;
  words.textContent = wordsOf(card.item, seen);
}

function wordsOf(item, seen) {
  if (item.state === "submitting") return "Being sent";
  if (!seen) return "At work";
  const status = STATUS[seen.event.status] ?? seen.event.status;
  if (seen.event.final || seen.event.remaining == null) return status;
  return `${status}, ${left(seen.event.remaining - (performance.now() - seen.at) / 1000)}`;
}

function left(seconds) {
  if (seconds < 1.5) return "ready any moment now";
  if (seconds < 55) return `about ${counted(Math.round(seconds), "second")} left`;
  return `about ${counted(Math.max(1, Math.round(seconds / 60)), "minute")} left`;
}

function pictures(item) {
  const size = item.images.length === 1 ? "one" : item.images.length === 2 ? "two" : "many";
  const alt = (n) => `${item.request.prompt ?? "Image"}${item.images.length > 1 ? ` (${n} of ${item.images.length})` : ""}`;
  const links = item.images.map((image, n) =>
    image.type.startsWith("image/")
      ? make("a", { href: image.url, target: "_blank", rel: "noopener" }, make("img", { src: image.url, alt: alt(n + 1), loading: "lazy", decoding: "async" }))
      : make("a", { class: "file", href: image.url, download: "" }, image.name),
  );
  return make("div", { class: `pictures ${size}` }, ...links);
}

function message(item) {
  const kind = item.fault ? "fault" : item.state;
  const titles = { failed: "This failed", unsaved: "Made, not saved", uncertain: "Not known whether it was sent", fault: "Not here yet" };
  const bills = { no: "Nothing was billed.", unknown: "It may have been billed.", yes: "It is billed." };
  const words = item.fault ?? item.error?.message ?? "";
  const bill = item.fault || item.state === "unsaved" ? "It is paid for, and its images wait at the service for a day." : bills[item.error?.charged];
  return make("div", { class: `pictures message ${kind}` }, make("b", {}, titles[kind] ?? kind), make("p", { dir: "auto" }, words), bill ? make("p", {}, bill) : null);
}

function metaOf(item) {
  const { request } = item;
  const references = Array.isArray(request.image_urls) ? counted(request.image_urls.length, "reference image") : null;
  const parts = [
    item.model ?? request.model,
    request.aspect_ratio,
    request.resolution,
    references,
    item.elapsed == null ? null : `made in ${Math.max(1, Math.round(item.elapsed))} s`,
    item.credits == null ? null : counted(item.credits, "credit"),
    new Date(item.changed * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }),
  ];
  return parts.filter(Boolean).join(" · ");
}

function actions(item) {
  const saves = item.images.map((image, n) =>
    make("a", { class: "quiet", href: image.url, download: image.name }, item.images.length > 1 ? `Save ${n + 1}` : "Save"),
  );
  const again = item.id && (item.fault || item.state === "unsaved") ? make("button", { type: "button", class: "quiet", onclick: () => lookAgain(item.id) }, "Look again") : null;
  const reuse = item.request.model ? make("button", { type: "button", class: "quiet", onclick: () => useAgain(item) }, "Use again") : null;
  return make("div", { class: "actions" }, ...saves, again, reuse);
}

async function lookAgain(id) {
  await post(`/again/${encodeURIComponent(id)}`, {}).catch(showRefusal);
}

/* The history, and changes while the page is open. */

// Reads back to the last place without a gap, and to the oldest card whose end may have been missed.
async function refresh() {
  const began = ++cards.clock;
  let page = await historyPage(null);
  const newest = page.cards[0]?.place ?? -1;
  const waiting = [...cards.byKey.values()].filter((card) => !hasEnded(card.item));
  const end = cards.loaded ? Math.min(cards.whole, ...waiting.map((card) => card.item.place)) : Infinity;
  if (!cards.loaded) setOldest(page.before);
  cards.loaded = true;
  while (page.before !== null && page.before > end) page = await historyPage(page.before, MOST);
  cards.whole = newest + 1;
  if (cards.oldest !== null && (page.before ?? 0) < cards.oldest) setOldest(page.before);
  // A refused submit has no item any more.
  for (const card of waiting) if (card.said < began && card.item.place >= (page.before ?? 0)) drop(card);
  showCounts();
}

function hasEnded(item) {
  return item.state !== "submitting" && item.state !== "submitted";
}

function drop(card) {
  card.element.remove();
  cards.byKey.delete(card.item.key);
  cards.byTask.delete(card.item.id);
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

async function showOlder() {
  try {
    setOldest((await historyPage(cards.oldest)).before);
  } catch (error) {
    showRefusal(error);
  }
}

const link = { end: null, isOpen: false };

// All tabs share one stream where the browser has shared workers.
function listen() {
  const say = (name, data) => link.end && hear[name](data);
  if (window.SharedWorker) {
    const { port } = new SharedWorker("/changes.js");
    port.onmessage = (event) => say(event.data.name, event.data.data);
    link.end = () => port.postMessage("leave");
  } else {
    link.end = follow(say);
  }
}

function leave() {
  link.end?.();
  link.end = null;
  link.isOpen = false;
}

const hear = {
  async ready() {
    link.isOpen = true;
    try {
      await refresh();
      if (link.isOpen) showLink();
    } catch (error) {
      if (link.isOpen) showLink(LOST);
      setTimeout(() => link.isOpen && hear.ready(), 3000);
      if (!(error instanceof Refusal)) throw error;
    }
  },
  card: take,
  progress(event) {
    cards.progress.set(event.id, { event, at: performance.now() });
    const card = cards.byTask.get(event.id);
    if (card) tell(card);
  },
  lost() {
    link.isOpen = false;
    showLink(LOST);
  },
};

function showLink(problem = "") {
  $("link").textContent = problem;
}

function takeDrops() {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    $("drop").classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) $("drop").classList.remove("over");
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    $("drop").classList.remove("over");
    addFiles(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) addFiles(event.clipboardData.files);
  });
  $("files").addEventListener("change", () => {
    addFiles($("files").files);
    $("files").value = "";
  });
}

async function begin() {
  $("form").addEventListener("submit", send);
  $("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
  });
  $("older").addEventListener("click", showOlder);
  $("model").addEventListener("change", showFields);
  takeDrops();
  setInterval(() => cards.byKey.forEach(tell), 1000);
  try {
    form.models = await ask("/models");
    $("model").replaceChildren(...form.models.map(({ model }) => make("option", { value: model }, model)));
    showFields();
  } catch (error) {
    showRefusal(error);
  }
  listen();
  addEventListener("pagehide", leave);
  addEventListener("pageshow", () => link.end ?? listen());
}

begin();
