// Elements of the page. Text from people and from the service enters the page only as text.

export const $ = (id) => document.getElementById(id);

// Makes an element. An attribute `on…` is an event listener. The value true gives an empty attribute, false or null none.
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

// Sets the text of a status, if it is a new text, because a screen reader reads the status after each change.
export function state(id, words) {
  if ($(id).textContent !== words) $(id).textContent = words;
}

const still = matchMedia("(prefers-reduced-motion: reduce)");

export function reveal(element, block) {
  element.scrollIntoView({ block, behavior: still.matches ? "auto" : "smooth" });
}

// Whether the form is above the results and not beside them.
export const narrow = matchMedia("(max-width: 60rem)");

// Reads a value that was kept over a reload; null if there is none. Some private windows keep nothing.
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
    // The storage is full or not allowed.
  }
}
