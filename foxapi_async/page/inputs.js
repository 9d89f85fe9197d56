// Input files: a place for each field that takes files. They are stored at the service at once, so that sending does not
// wait for them. All models share one place for their main images, so that the images stay when the model changes.
import { announce, make } from "/dom.js";
import { isRequired, required } from "/fields.js";
import { upload } from "/server.js";
import { helpOf, labelOf, text } from "/texts.js";

const KINDS = ["images", "file", "files"];
const MAIN = "image";
const ACCEPTED = { image: "image/*", video: "video/*", audio: "audio/*", document: ".pdf,application/pdf", archive: ".zip,application/zip" };
// The service keeps an upload for 72 hours.
const KEPT = 71 * 3600 * 1000;

// A file is `{ name, url, preview, error, until, done }`. It has an address when it is stored.
const places = new Map();
let shown = [];
let changed = () => {};

export function isInput(spec) {
  return KINDS.includes(spec.kind);
}

function takesImages(spec) {
  return spec.kind === "images" || (isInput(spec) && (spec.medium === "image" || (!spec.medium && /image/.test(spec.name))));
}

// The field of a model that takes its main input images, if there is one.
export function mainOf(definition) {
  const fields = definition.fields.filter((spec) => takesImages(spec) && !/mask/.test(spec.name));
  return fields.find((spec) => spec.kind === "images") ?? fields[0];
}

function placeOf(definition, spec) {
  return spec === mainOf(definition) ? MAIN : spec.name;
}

export function mostOf(spec) {
  return spec.kind === "file" ? 1 : (spec.maximum ?? Infinity);
}

function filesIn(place) {
  if (!places.has(place)) places.set(place, []);
  return places.get(place);
}

function filesFor(definition, spec) {
  return filesIn(placeOf(definition, spec)).slice(0, mostOf(spec));
}

// Waits until all files are stored, and returns the fields with their addresses. Throws if a file could not be stored.
export async function storedFiles(definition) {
  const given = {};
  for (const spec of definition.fields.filter(isInput)) {
    const files = filesFor(definition, spec);
    await Promise.all(files.map((file) => file.done));
    if (files.some((file) => file.error)) throw new Error(text("input.broken"));
    if (files.length) given[spec.name] = spec.kind === "file" ? files[0].url : files.map((file) => file.url);
  }
  return given;
}

// The same for the price, without waiting. A file that is not stored yet gets a placeholder address.
export function anyFiles(definition) {
  const given = {};
  for (const spec of definition.fields.filter(isInput)) {
    const urls = filesFor(definition, spec).map((file) => file.url ?? "https://file.invalid/");
    if (urls.length) given[spec.name] = spec.kind === "file" ? urls[0] : urls;
  }
  return given;
}

/* What the form shows. */

// The elements for the fields of a model that take files. `whenChanged` is called after each change of files.
export function inputsOf(definition, whenChanged) {
  changed = whenChanged;
  shown = definition.fields.filter(isInput).map((spec) => inputFor(definition, spec));
  showFiles();
  return shown;
}

function inputFor(definition, spec) {
  const id = `field-${spec.name}`;
  const most = mostOf(spec);
  const words = [helpOf(spec), most === Infinity || most === 1 ? "" : text("input.most", { most })].filter(Boolean).join(" ");
  const control = make("input", { type: "file", id, accept: ACCEPTED[acceptedBy(spec)], multiple: most > 1, "aria-describedby": `${id}-hint` });
  const choose = text(acceptedBy(spec) === "image" ? (most > 1 ? "input.images" : "input.image") : "input.file");
  const list = make("ul", { class: "references", "aria-label": text("input.chosen", { field: labelOf(spec.name) }) });
  const area = make("div", { class: "drop" }, control, make("label", { for: id }, make("b", {}, choose), " ", make("span", {}, text("input.drop"))), list);
  const label = make("span", { class: "label" }, labelOf(spec.name), required(spec));
  const hint = make("p", { class: "hint", id: `${id}-hint` }, words);
  const input = { spec, place: placeOf(definition, spec), list, area, control, isAdvanced: !isRequired(spec) && /mask/.test(spec.name) };
  input.element = make("div", { class: "field wide", role: "group", "aria-label": labelOf(spec.name) }, label, area, words ? hint : null);
  if (!words) control.removeAttribute("aria-describedby");
  control.addEventListener("change", () => {
    addFiles(control.files, input);
    control.value = "";
  });
  return input;
}

function acceptedBy(spec) {
  return spec.medium ?? (takesImages(spec) ? "image" : null);
}

function showFiles() {
  for (const input of shown) {
    const most = mostOf(input.spec);
    input.list.replaceChildren(...filesIn(input.place).map((file, n) => itemOf(file, input, n < most)));
  }
}

function itemOf(file, input, isUsed) {
  const state = file.error ? "failed" : !file.url ? "uploading" : isUsed ? "ready" : "unused";
  const thumb = file.preview
    ? make("img", { class: "thumb", src: file.preview, alt: "" })
    : make("span", { class: "thumb", "aria-hidden": "true" }, file.name.split(".").pop().slice(0, 5));
  return make(
    "li",
    { class: state, "data-state": state, title: file.error ?? file.name },
    thumb,
    make("span", { class: "name" }, make("span", { class: "unseen" }, `${file.name}: `), text(`input.${state}`)),
    make("button", { type: "button", "aria-label": text("input.remove", { name: file.name }), onclick: () => remove(file, input) }, "×"),
  );
}

function remove(file, input) {
  places.set(input.place, filesIn(input.place).filter((each) => each !== file));
  release(file);
  showFiles();
  changed();
  input.control.focus();
}

function release(file) {
  if (file.preview?.startsWith("blob:")) URL.revokeObjectURL(file.preview);
}

/* Files come in by choice, by drop, by paste, from a result, and from an earlier request. */

function addFiles(files, input) {
  const problems = [];
  for (const file of files) {
    const target = input ?? shown.find(({ spec }) => !acceptedBy(spec) || file.type.startsWith(`${acceptedBy(spec)}/`));
    if (!target) problems.push(text(file.type.startsWith("image/") ? "input.no.images" : "input.no.files"));
    else add(file, target);
  }
  showFiles();
  changed(...new Set(problems));
}

function add(file, { spec, place }) {
  const preview = file.type.startsWith("image/") ? URL.createObjectURL(file) : null;
  const entry = { name: file.name || text("input.pasted"), preview, url: null, error: null };
  hold(entry, place, spec, upload(file, entry.name));
}

function hold(entry, place, spec, storing) {
  const files = filesIn(place);
  if (mostOf(spec) === 1) files.splice(0).forEach(release);
  files.push(entry);
  entry.done = finish(entry, storing);
}

async function finish(entry, storing) {
  let problem;
  try {
    entry.url = await storing;
    entry.until = Date.now() + KEPT;
    announce(text("input.done", { name: entry.name }));
  } catch (error) {
    entry.error = error.message;
    problem = text("input.problem", { name: entry.name, problem: error.message });
  }
  showFiles();
  changed(...(problem ? [problem] : []));
}

// Makes a result an input image of the model of the form.
export function addResult(definition, file, storing) {
  hold({ name: file.name, preview: file.url, url: null, error: null }, MAIN, mainOf(definition), storing);
  showFiles();
  changed();
}

// Fills the places with the files of a request.
export function useFilesOf(definition, request) {
  places.clear();
  for (const spec of definition.fields.filter(isInput)) {
    const urls = [request[spec.name] ?? []].flat();
    const files = urls.map((url, n) => ({ name: text("input.number", { n: n + 1 }), url, preview: null, error: null, until: Date.now() + KEPT }));
    places.set(placeOf(definition, spec), files);
  }
}

/* The draft. */

export function filesToKeep() {
  const kept = (file) => ({ name: file.name, url: file.url, until: file.until, preview: file.preview?.startsWith("/files/") ? file.preview : null });
  return [...places].map(([place, files]) => [place, files.filter((file) => file.url).map(kept)]);
}

export function restoreFiles(kept) {
  for (const [place, files] of kept) places.set(place, files.filter((file) => file.until > Date.now()).map((file) => ({ ...file, error: null })));
}

export function takeDrops() {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (isOver) => shown.forEach(({ area }) => area.classList.toggle("over", isOver));
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(true);
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) mark(false);
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(false);
    addFiles(event.dataTransfer.files, shown.find(({ area }) => area.contains(event.target)));
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) addFiles(event.clipboardData.files);
  });
}
