/* The rest of the page's script. TEXTS, the table of all texts, and Lightbox stand before it. */
const LANGUAGES = ["en", "zh"];
// The first one that the page has, of those that the reader prefers.
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

/* The search. The text of ten thousand cards is read once: at each key press that would be slow. */

const [search, status_, model, kind] = ["search", "status", "model", "kind"].map(byId);
const cards = Array.from(document.querySelectorAll(".card"), (card) => ({
  card,
  words: card.querySelector(".about").textContent.toLowerCase(),
  ...card.dataset,
}));
let asked = 0;
let listed = null; // the files for the lightbox

function filter() {
  asked = 0;
  listed = null;
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const one of cards) {
    const fits = (!status_.value || one.status === status_.value) && (!model.value || one.model === model.value)
      && (!kind.value || one.kind === kind.value) && words.every((word) => one.words.includes(word));
    if (one.card.hidden === fits) one.card.hidden = !fits;
    shown += fits;
  }
  const [some, all] = [shown, cards.length].map((count) => count.toLocaleString("en"));
  byId("count").textContent = shown === cards.length ? text("count.all", all) : text("count.some", some, all);
  byId("nothing").hidden = shown > 0 || cards.length === 0;
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

/* Only the images near the window are held: a browser keeps the file of each image that it has loaded. */

const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) for (const image of target.querySelectorAll("img")) hold(image, isIntersecting);
}, { rootMargin: "1200px 0px" });

function hold(image, isNear) {
  if (isNear && image.dataset.src) {
    image.src = image.dataset.src;
    delete image.dataset.src;
  } else if (!isNear && image.hasAttribute("src")) {
    image.dataset.src = image.getAttribute("src");
    image.removeAttribute("src");
  }
}

for (const { card } of cards) near.observe(card);
addEventListener("beforeprint", () => {
  near.disconnect();
  for (const { card } of cards) if (!card.hidden) for (const image of card.querySelectorAll("img")) hold(image, true);
});
addEventListener("afterprint", () => {
  for (const { card } of cards) near.observe(card);
});

/* The lightbox shows the files of the cards that the search leaves. */

function itemsOf({ card, id }) {
  const prompt = card.querySelector(".prompt")?.textContent ?? "";
  const about = Array.from(card.querySelector(".meta").children, (part) => part.textContent).join(" · ");
  return Array.from(card.querySelectorAll("a[data-type]"), (link) => {
    const url = link.getAttribute("href");
    return { url, name: decodeURIComponent(url.split("/").pop()), type: link.dataset.type, prompt, id, about };
  });
}

// Made once for each search: the lightbox asks at each step. A file that two items have is shown once.
function items() {
  listed ??= [...new Map(cards.filter(({ card }) => !card.hidden).flatMap(itemsOf).map((item) => [item.url, item])).values()];
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

byId("tools").hidden = false;
filter();
