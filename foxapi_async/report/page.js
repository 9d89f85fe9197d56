/* The last part of the page's script. TEXTS, the table of all texts, and Lightbox come before it. */
const LANGUAGES = ["en", "zh"];
// The first of the browser's preferred languages that the page has.
const language = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => LANGUAGES.includes(tag)) ?? "en";
const byId = (id) => document.getElementById(id);

function text(key, ...values) {
  const [one, several] = TEXTS[key][LANGUAGES.indexOf(language)].split("|");
  const chosen = several === undefined || values[0] === "1" ? one : several;
  return chosen.replace(/\{(\d)\}/g, (_, place) => values[place]);
}

function translate() {
  document.documentElement.lang = "zh-Hans";
  const values = (element) => JSON.parse(element.dataset.values ?? "[]");
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = text(element.dataset.text, ...values(element)) + (element.dataset.more ?? "");
  }
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", text(element.dataset.label, ...values(element)));
  for (const element of document.querySelectorAll("[data-placeholder]")) element.placeholder = text(element.dataset.placeholder);
}

if (language === "zh") translate();

/* The search. The text of ten thousand cards is read once, because reading it at each key press would be slow. */

const [search, status_, model, kind] = ["search", "status", "model", "kind"].map(byId);
const cards = Array.from(document.querySelectorAll(".card"), (card) => ({
  card,
  words: card.querySelector(".about").textContent.toLowerCase(),
  ...card.dataset,
}));
let asked = 0;
let shown = cards; // those that fit
let listed = null; // their files, for the lightbox

function filter() {
  asked = 0;
  listed = null;
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  shown = cards.filter((one) => (!status_.value || one.status === status_.value) && (!model.value || one.model === model.value)
    && (!kind.value || one.kind === kind.value) && words.every((word) => one.words.includes(word)));
  const [some, all] = [shown, cards].map((list) => list.length.toLocaleString("en"));
  byId("count").textContent = some === all ? text("count.all", all) : text("count.some", some, all);
  byId("nothing").hidden = shown.length > 0 || cards.length === 0;
  deal();
}

function ask() {
  if (!asked) asked = requestAnimationFrame(filter);
}

for (const one of [search, status_, model, kind]) one.addEventListener("input", ask);
for (const button of document.querySelectorAll(".show")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    [search.value, status_.value, model.value, kind.value] = ["", "", "", button.value];
    filter();
    byId("tools").scrollIntoView();
    kind.focus({ preventScroll: true });
  });
}
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || event.target.closest("dialog");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape" && event.target === search) {
    search.value = "";
    ask();
  }
});

/* Only cards near the window keep a layout and their images. Without this, a browser would keep the layout of each card
   that it has shown, and the file of each image that it has loaded. */

const groups = Array.from(document.querySelectorAll(".group"));
const size = groups[0]?.children.length; // of each group but the last
const laidOut = new Set(); // groups whose cards may have a layout
const held = new Set(); // cards whose images are loaded
let released = 0; // images
const inSight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) isIntersecting ? enter(target) : leave(target);
  collectSooner();
}, { rootMargin: "200% 0px" });
const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) isIntersecting ? hold(target) : release(target);
  collectSooner();
}, { rootMargin: "1200px 0px" });

// Puts the cards that fit into the groups, beginning with the first group.
function deal() {
  inSight.disconnect();
  near.disconnect();
  groups.forEach((group, place) => {
    const part = shown.slice(place * size, (place + 1) * size).map(({ card }) => card);
    if (part.length !== group.children.length || part.some((card, at) => card !== group.children[at])) group.replaceChildren(...part);
    group.hidden = part.length === 0;
  });
  for (const card of held) if (!card.isConnected) release(card);
  for (const group of groups) inSight.observe(group);
}

function enter(group) {
  laidOut.add(group);
  for (const card of group.children) near.observe(card);
}

function leave(group) {
  for (const card of group.children) {
    near.unobserve(card);
    if (held.has(card)) release(card);
  }
  const isUsed = group.contains(document.activeElement) || getSelection().containsNode(group, true);
  if (isUsed || !laidOut.delete(group)) return;
  group.replaceChildren(...group.children); // a card that is put in again has no layout until it is shown
}

function hold(card) {
  held.add(card);
  for (const image of card.querySelectorAll("img[data-src]")) {
    image.src = image.dataset.src;
    delete image.dataset.src;
  }
}

function release(card) {
  held.delete(card);
  for (const image of card.querySelectorAll("img[src]")) {
    image.dataset.src = image.getAttribute("src");
    image.removeAttribute("src");
    released += 1;
  }
}

// A browser frees image files only when it collects its garbage, and their size does not make it collect sooner. The size
// of a buffer does. Its memory is used only when something is written into it.
function collectSooner() {
  if (released < 20) return;
  released = 0;
  try {
    new ArrayBuffer(32 * 2 ** 20);
  } catch {
    // Memory is short: the browser collects by itself.
  }
}

addEventListener("beforeprint", () => {
  inSight.disconnect();
  near.disconnect();
  for (const group of groups) laidOut.add(group);
  for (const { card } of shown) hold(card);
});
addEventListener("afterprint", deal);

/* The lightbox shows the files of the cards that fit the search. */

function itemsOf({ card, id }) {
  const prompt = card.querySelector(".prompt")?.textContent ?? "";
  const about = Array.from(card.querySelector(".meta").children, (part) => part.textContent).join(" · ");
  return Array.from(card.querySelectorAll("a[data-type]"), (link) => {
    const url = link.getAttribute("href");
    return { url, name: decodeURIComponent(url.split("/").pop()), type: link.dataset.type, prompt, id, about };
  });
}

// The list is made once for each search, because the lightbox asks for it at each step. It has a file of two items once.
function items() {
  listed ??= [...new Map(shown.flatMap(itemsOf).map((item) => [item.url, item])).values()];
  return listed;
}

const view = (name) => [name, text(`view.${name}`)];
const box = new Lightbox({
  items,
  texts: Object.fromEntries(["label", "close", "previous", "next", "save", "copyPrompt", "copyId", "copied", "notCopied", "broken", "place"].map(view)),
});
document.querySelector(".cards").addEventListener("click", (event) => {
  const link = event.target.closest("a[data-type]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  box.open(link.getAttribute("href"));
});

byId("tools").hidden = cards.length === 0;
filter();
