"use strict";
const byId = (id) => document.getElementById(id);
const tools = byId("tools"), search = byId("search"), status_ = byId("status"), model = byId("model"), count = byId("count");
// Read once: reading the text of ten thousand cards at each key press would be slow.
const cards = Array.from(document.querySelectorAll(".card"), (card) => ({
  card,
  text: card.querySelector(".about").textContent.toLowerCase(),
  status: card.dataset.status,
  model: card.dataset.model,
}));
let asked = 0;
function filter() {
  asked = 0;
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const one of cards) {
    const fits = (!status_.value || one.status === status_.value) && (!model.value || one.model === model.value)
      && words.every((word) => one.text.includes(word));
    if (one.card.hidden === fits) one.card.hidden = !fits;
    shown += fits;
  }
  count.textContent = shown === cards.length ? `${shown} shown` : `${shown} of ${cards.length} shown`;
}
function ask() {
  if (!asked) asked = requestAnimationFrame(filter);
}
for (const one of [search, status_, model]) one.addEventListener("input", ask);
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape" && event.target === search) {
    search.value = "";
    ask();
  }
});
tools.hidden = false;
filter();
