/* global Lightbox, LIGHTBOX_TEXTS */
// Shows the results one at a time, large. The lightbox is a separate script, which the report uses too.
import { altOf } from "/card.js";
import { cards } from "/cards.js";
import { button } from "/dom.js";
import { text } from "/texts.js";

// The files of all shown cards, the newest first.
function items() {
  const shown = cards.order.filter((card) => !card.element.hidden);
  return shown.flatMap((card) => card.item.files.map((file, n) => itemOf(card, file, n)));
}

function itemOf(card, file, n) {
  const { item } = card;
  return { ...file, card, n, prompt: item.request.prompt ?? "", alt: altOf(item, n), id: item.id, about: item.model };
}

const words = Object.keys(LIGHTBOX_TEXTS).map((name) => [name, text(`view.${name}`, { n: "{n}", count: "{count}" })]);

// `act(name, card, n)` runs the action of a button. Returns a function that shows the file with this address.
export function lightbox(act) {
  const leaving = (name) => (event, { card, n }) => {
    event.target.closest("dialog").close();
    act(name, card, n);
  };
  const actions = (item) => [
    ...(item.type.startsWith("image/") ? [button(text("act.edit"), (event) => leaving("edit")(event, item))] : []),
    button(text("act.use"), (event) => leaving("use")(event, item)),
  ];
  const box = new Lightbox({ items, texts: Object.fromEntries(words), actions });
  cards.whenChanged = () => box.refresh();
  return (url) => box.open(url);
}
