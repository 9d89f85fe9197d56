// Elements of the page. Text from people and from the service enters the page only as text.

export const $ = (id) => document.getElementById(id);

// An element. An attribute that is `on…` is a function, true is an empty attribute, and false or null is none.
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export function button(words, onclick, attributes = {}) {
  return make("button", { type: "button", class: "quiet", onclick, ...attributes }, words);
}

// Says something to a screen reader.
export function announce(words) {
  $("announcer").textContent = words;
}

// Changes the text of a status. A screen reader reads it only if it is another one.
export function state(id, words) {
  if ($(id).textContent !== words) $(id).textContent = words;
}

const still = matchMedia("(prefers-reduced-motion: reduce)");

export function reveal(element, block) {
  element.scrollIntoView({ block, behavior: still.matches ? "auto" : "smooth" });
}

// Whether the form is above the results and not beside them.
export const narrow = matchMedia("(max-width: 60rem)");

// A value that a reload does not lose. Without storage, as in some private windows, it is lost.
export function recall(storage, name) {
  try {
    return JSON.parse(window[storage].getItem(`foxapi.${name}`));
  } catch {
    return null;
  }
}

export function remember(storage, name, value) {
  try {
    window[storage].setItem(`foxapi.${name}`, JSON.stringify(value));
  } catch {
    // It is full or not allowed.
  }
}
