// A control for each kind of field. If the facts are not sure (level "extract"), a choice or a number allows other values, too.
import { make } from "/dom.js";
import { helpOf, labelOf, text } from "/texts.js";

const LONG = /prompt|text|lyrics|script|instructions/;
const FEW = 20;

// A field: `element` for the form, `control` for the focus, and `read` and `write` for its value. Null is no value.
export function fieldOf(spec) {
  const parts = partsOf(spec, `field-${spec.name}`);
  const help = helpOf(spec);
  const facts = factsOf(spec);
  const hint = help || facts ? make("span", { class: "hint", id: `field-${spec.name}-hint` }, help, help && facts ? " " : "", facts) : null;
  const label = parts.isGroup
    ? make("legend", {}, labelOf(spec.name), required(spec))
    : make("label", { for: parts.control.id }, labelOf(spec.name), required(spec));
  if (hint) (parts.isGroup ? parts.body : parts.control).setAttribute("aria-describedby", hint.id);
  if (isRequired(spec) && !parts.isGroup) parts.control.required = true;
  const element =
    parts.control.type === "checkbox" && !parts.isGroup
      ? make("div", { class: "field check" }, parts.body, make("span", {}, label, hint))
      : make(parts.isGroup ? "fieldset" : "div", { class: `field ${parts.isWide ? "wide" : ""}` }, label, parts.body, hint);
  return { spec, element, ...parts };
}

export function isRequired(spec) {
  return Boolean(spec.required) && spec.level !== "extract";
}

export function required(spec) {
  return isRequired(spec) ? make("span", { class: "required", title: text("field.required") }, " *") : null;
}

export function isAdvanced(spec) {
  const isTechnical = spec.kind === "object" || spec.kind === "any" || spec.name === "callback_url";
  return !spec.required && Boolean(spec.advanced || isTechnical);
}

// The form or the range of the values in words, if the control does not show it.
function factsOf(spec) {
  if (spec.kind === "object" || spec.kind === "any") return text("field.json");
  if (spec.kind === "list" && !spec.choices) return text("field.lines");
  if (spec.level !== "extract" || spec.minimum == null || spec.maximum == null) return "";
  return text("field.range", { minimum: spec.minimum, maximum: spec.maximum });
}

function partsOf(spec, id) {
  const isSure = spec.level !== "extract";
  if (spec.kind === "flag") return spec.default === "true" ? select(id, spec, ["true", "false"], flagOf) : checkbox(id);
  if (spec.kind === "size") return size(id, spec);
  if (spec.kind === "list") return spec.choices ? checkboxes(id, spec) : lines(id);
  if (spec.kind === "object" || spec.kind === "any") return json(id);
  if (spec.kind === "choice") return isSure ? select(id, spec, spec.choices, String) : open(id, spec, spec.choices);
  if (spec.kind === "integer" || spec.kind === "number") return number(id, spec, isSure);
  return LONG.test(spec.name) || spec.maximum > 200 ? long(id, spec) : open(id, spec, spec.choices ?? []);
}

const flagOf = (value) => value === "true";

function plain(control, readValue) {
  return {
    control,
    body: control,
    read: () => (control.value.trim() === "" ? null : readValue(control.value)),
    write: (value) => {
      control.value = value ?? "";
      if (control.selectedIndex === -1) control.value = "";
    },
  };
}

function select(id, spec, values, readValue) {
  const words = spec.kind === "flag" ? { true: text("field.yes"), false: text("field.no") } : {};
  const standard = spec.default ? text("field.default.is", { value: words[spec.default] ?? spec.default }) : text("field.default");
  const options = values.map((value) => make("option", { value }, words[value] ?? String(value)));
  return plain(make("select", { id }, make("option", { value: "" }, standard), ...options), readValue);
}

function checkbox(id) {
  const control = make("input", { id, type: "checkbox" });
  return { control, body: control, read: () => control.checked || null, write: (value) => (control.checked = value === true) };
}

function number(id, spec, isSure) {
  const isShort = spec.kind === "integer" && spec.minimum != null && spec.maximum != null && spec.maximum - spec.minimum < FEW;
  const values = spec.values ?? (isShort ? Array.from({ length: spec.maximum - spec.minimum + 1 }, (_, n) => spec.minimum + n) : null);
  if (values && isSure) return select(id, spec, values, Number);
  const limits = isSure ? { min: spec.minimum, max: spec.maximum } : {};
  const step = spec.kind === "number" ? "any" : 1;
  return plain(make("input", { id, type: "number", step, placeholder: spec.default, ...limits }), Number);
}

function open(id, spec, values) {
  const list = values.length ? `${id}-list` : null;
  const control = make("input", { id, type: "text", list, placeholder: spec.default, autocomplete: "off" });
  const parts = plain(control, String);
  if (!list) return parts;
  const options = make("datalist", { id: list }, ...values.map((value) => make("option", { value })));
  return { ...parts, body: make("div", {}, control, options) };
}

function long(id, spec) {
  return { ...plain(make("textarea", { id, rows: 2, dir: "auto", maxlength: isRequired(spec) ? null : spec.maximum }), String), isWide: true };
}

function size(id, spec) {
  const own = make("option", { value: "own" }, text("field.size.own"));
  const standard = make("option", { value: "" }, spec.default ? text("field.default.is", { value: spec.default }) : text("field.default"));
  const control = make("select", { id }, standard, ...(spec.choices ?? []).map((value) => make("option", { value }, value)), own);
  const side = (name) =>
    make("input", {
      type: "number",
      min: spec.pixels?.sides[0],
      max: spec.pixels?.sides[1],
      step: spec.pixels?.multiple,
      placeholder: text(name),
      "aria-label": text(name),
    });
  const [width, height] = [side("field.size.width"), side("field.size.height")];
  const sides = make("div", { class: "sides", hidden: true }, width, make("span", { "aria-hidden": "true" }, "×"), height);
  const show = () => (sides.hidden = control.value !== "own");
  control.addEventListener("change", show);
  return {
    control,
    body: make("div", {}, control, sides),
    read: () => (control.value === "own" ? { width: Number(width.value), height: Number(height.value) } : control.value || null),
    write: (value) => {
      const isOwn = value !== null && typeof value === "object";
      control.value = isOwn ? "own" : (value ?? "");
      if (control.selectedIndex === -1) control.value = "";
      if (isOwn) [width.value, height.value] = [value.width, value.height];
      show();
    },
  };
}

function checkboxes(id, spec) {
  const boxes = spec.choices.map((value, n) => make("input", { type: "checkbox", value, id: n ? null : id }));
  const rows = boxes.map((box) => make("label", { class: "box" }, box, box.value));
  return {
    control: boxes[0],
    body: make("div", { class: "boxes" }, ...rows),
    isGroup: true,
    isWide: true,
    read: () => {
      const values = boxes.filter((box) => box.checked).map((box) => box.value);
      return values.length ? values : null;
    },
    write: (value) => boxes.forEach((box) => (box.checked = Array.isArray(value) && value.includes(box.value))),
  };
}

// One item a line, or a JSON list.
function lines(id) {
  const control = make("textarea", { id, rows: 2, dir: "auto", class: "code" });
  const readLines = (value) => parsed(value) ?? value.split("\n").map((line) => line.trim()).filter(Boolean);
  const isPlain = (value) => Array.isArray(value) && value.every((item) => typeof item === "string");
  return {
    ...plain(control, readLines),
    isWide: true,
    write: (value) => (control.value = value == null ? "" : isPlain(value) ? value.join("\n") : JSON.stringify(value)),
  };
}

// A JSON value. An input that is not JSON is a text.
function json(id) {
  const control = make("textarea", { id, rows: 1, class: "code", spellcheck: "false" });
  return {
    ...plain(control, (value) => parsed(value) ?? value),
    isWide: true,
    write: (value) => (control.value = value == null ? "" : typeof value === "string" ? value : JSON.stringify(value)),
  };
}

function parsed(value) {
  try {
    return JSON.parse(value);
  } catch {
    return null;
  }
}
