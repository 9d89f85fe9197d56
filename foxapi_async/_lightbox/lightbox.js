"use strict";
/* A lightbox: one result at a time, large. The page loads this file, the report contains it.

     const box = new Lightbox({ items, texts, actions });
     box.open(url);    shows the item with this address; the arrows move to its neighbours
     box.refresh();    call it when the list has changed: shows the item's new place, or closes if the item has gone

   items()    gives the present list, with only the items that fit the filter of the page. An item is
              { url, name, type, prompt, id, about }: the address of the file, its name when it is saved, its media
              type, and texts that may be empty.
   texts      replaces some or all of LIGHTBOX_TEXTS, for another language.
   actions(item)  gives more buttons for an item, as elements. Without it there are none.

   A file is loaded when it is shown. Then the images before and after it are loaded. No text is read as HTML. */

const LIGHTBOX_TEXTS = {
  label: "Result",
  close: "Close",
  previous: "Previous",
  next: "Next",
  save: "Save",
  copyPrompt: "Copy prompt",
  copyId: "Copy id",
  copied: "Copied",
  notCopied: "The browser does not allow copying.",
  broken: "This file cannot be shown. Save it instead.",
  place: "{n} of {count}",
};
const SWIPE_PIXELS = 50;
const ICONS = { close: "M6 6 18 18M18 6 6 18", previous: "M15 4 7 12 15 20", next: "M9 4 17 12 9 20" };

class Lightbox {
  #items;
  #texts;
  #actions;
  #dialog;
  #parts = {};
  #shown = null; // the item
  #swipe = null; // where a finger came down

  constructor({ items, texts = {}, actions = () => [] }) {
    this.#items = items;
    this.#texts = { ...LIGHTBOX_TEXTS, ...texts };
    this.#actions = actions;
    this.#dialog = this.#make();
    document.body.append(this.#dialog);
  }

  open(url) {
    const item = this.#items().find((each) => each.url === url);
    if (!item) return;
    this.#show(item);
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#parts.stage.focus();
  }

  refresh() {
    if (!this.#dialog.open) return;
    const item = this.#items().find((each) => each.url === this.#shown.url);
    if (item) this.#place(item);
    else this.#dialog.close();
  }

  #make() {
    const texts = this.#texts;
    const parts = this.#parts;
    parts.place = element("p", { class: "place" });
    parts.previous = element("button", { type: "button", class: "previous", "aria-label": texts.previous }, icon("previous"));
    parts.next = element("button", { type: "button", class: "next", "aria-label": texts.next }, icon("next"));
    const close = element("button", { type: "button", class: "close", "aria-label": texts.close }, icon("close"));
    // The stage takes the focus, because a video that has it would use the arrow keys itself.
    parts.stage = element("div", { class: "stage", tabindex: "-1" });
    parts.prompt = element("p", { class: "prompt", dir: "auto", tabindex: "0" });
    parts.about = element("p", { class: "about", dir: "auto" });
    parts.buttons = element("div", { class: "buttons" });
    parts.said = element("p", { class: "said", role: "status" });
    const caption = element("div", { class: "caption" }, parts.prompt, parts.about, parts.buttons, parts.said);
    const dialog = element("dialog", { class: "lightbox", "aria-label": texts.label }, parts.place, close, parts.previous, parts.stage, parts.next, caption);

    close.addEventListener("click", () => dialog.close());
    parts.previous.addEventListener("click", () => this.#move(-1));
    parts.next.addEventListener("click", () => this.#move(1));
    parts.stage.addEventListener("click", (event) => event.target === parts.stage && dialog.close());
    dialog.addEventListener("keydown", (event) => this.#press(event));
    dialog.addEventListener("close", () => this.#empty());
    parts.stage.addEventListener("touchstart", (event) => (this.#swipe = event.touches.length === 1 ? event.touches[0] : null), { passive: true });
    parts.stage.addEventListener("touchend", (event) => this.#endSwipe(event.changedTouches[0]));
    return dialog;
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("video, audio")) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    this.#move(steps[event.key]);
  }

  #endSwipe(end) {
    const start = this.#swipe;
    this.#swipe = null;
    if (!start || window.visualViewport?.scale > 1) return; // in a zoomed image, a swipe moves the image
    const [right, down] = [end.clientX - start.clientX, end.clientY - start.clientY];
    if (Math.abs(right) >= SWIPE_PIXELS && Math.abs(right) > Math.abs(down)) this.#move(right > 0 ? -1 : 1);
  }

  #move(step) {
    const items = this.#items();
    const now = items.findIndex((each) => each.url === this.#shown.url);
    const place = Math.min(items.length - 1, Math.max(0, now + step));
    if (place === now || !items[place]) return;
    this.#show(items[place]);
  }

  #show(item) {
    this.#parts.stage.replaceChildren(this.#media(item));
    this.#parts.stage.scrollTop = 0;
    this.#place(item);
    this.#say("");
  }

  // The words and buttons of an item, and its place in the list, which may have changed.
  #place(item) {
    const { place, previous, next, prompt, about, buttons } = this.#parts;
    const items = this.#items();
    const now = items.findIndex((each) => each.url === item.url);
    this.#shown = item;
    place.textContent = this.#texts.place.replace("{n}", now + 1).replace("{count}", items.length);
    // A button that has the focus would lose it if it were disabled.
    previous.setAttribute("aria-disabled", String(now <= 0));
    next.setAttribute("aria-disabled", String(now >= items.length - 1));
    prompt.textContent = item.prompt ?? "";
    prompt.hidden = !item.prompt;
    about.textContent = item.about ?? "";
    const copies = [["copyPrompt", item.prompt], ["copyId", item.id]].filter(([, text]) => text);
    buttons.replaceChildren(
      element("a", { class: "button", href: item.url, download: item.name }, this.#texts.save),
      ...copies.map(([name, text]) => {
        const button = element("button", { type: "button" }, this.#texts[name]);
        button.addEventListener("click", () => this.#copy(text));
        return button;
      }),
      ...this.#actions(item),
    );
    for (const near of [items[now + 1], items[now - 1]]) if (near?.type.startsWith("image/")) new Image().src = near.url;
  }

  #media(item) {
    const name = { image: "img", video: "video", audio: "audio" }[item.type.split("/")[0]];
    if (!name) return element("p", { class: "file" }, item.name);
    const media = name === "img" ? element("img", { alt: item.prompt || item.name }) : element(name, { controls: "", "aria-label": item.prompt || item.name });
    media.addEventListener("error", () => media.replaceWith(element("p", { class: "file" }, this.#texts.broken)));
    media.src = item.url;
    return media;
  }

  #empty() {
    this.#parts.stage.replaceChildren(); // this stops a sound, and frees the memory of an image
    this.#say("");
  }

  async #copy(text) {
    this.#say((await write(text, this.#dialog)) ? this.#texts.copied : this.#texts.notCopied);
  }

  #say(words) {
    this.#parts.said.textContent = words;
  }
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function icon(name) {
  const [svg, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

// Copies the text, and returns whether that worked. Without https, browsers copy only a selection.
async function write(text, inside) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = element("textarea", { class: "copy", readonly: "" });
    const focused = document.activeElement;
    field.value = text;
    inside.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    focused?.focus();
    return done;
  }
}
