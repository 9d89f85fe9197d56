// Draws one card. Each button has the name of its action in `data-act`. page.js runs the action.
import { make } from "/dom.js";
import { isAway } from "/filter.js";
import { modelNamed } from "/form.js";
import { isInput } from "/inputs.js";
import { inWords } from "/problems.js";
import { creditsOf, dateOf, text } from "/texts.js";

const RUNNING = ["waiting", "sending", "submitting"];
const PUT_AWAY = ["failed", "uncertain", "refused"];
const CONTENT = /content|policy|safety|moderat|sensitive|nsfw/i;

export function isRunning(item) {
  return RUNNING.includes(item.state) || (item.state === "submitted" && !item.fault);
}

export function hasEnded(item) {
  return !isRunning(item) && item.state !== "submitted";
}

export function newElement() {
  return make("li", { class: "card", tabindex: "-1" });
}

// A long prompt is cut, and its button shows all of it.
const lengths = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const isOpen = target.classList.contains("open");
    target.nextElementSibling.hidden = !isOpen && target.scrollHeight <= target.clientHeight + 1;
  }
});

// `seen` has the last event of the task, and the time of its arrival.
export function draw(card, seen) {
  const { item, element } = card;
  const isOpen = element.querySelector(".prompt")?.classList.contains("open");
  const areDetailsOpen = element.querySelector("details")?.open;
  card.live = null;
  const top = isRunning(item) ? waiting(card, seen) : item.state === "done" ? results(item) : message(item);
  top.style.setProperty("--ratio", ratioOf(item));
  const about = make("div", { class: "about" }, promptOf(item), metaOf(item), actionsOf(item));
  element.dataset.state = item.fault ? "fault" : item.state;
  element.classList.toggle("local", item.isLocal);
  const isFocused = element.contains(document.activeElement);
  element.replaceChildren(top, about);
  if (isOpen) showAll(element, true);
  if (areDetailsOpen && element.querySelector("details")) element.querySelector("details").open = true;
  if (isFocused) element.focus();
}

// The ratio of the requested image. A box with this ratio needs no bars. A very tall box would not fit on most screens.
function ratioOf({ request }) {
  const [, width, height] = /^(\d+):(\d+)$/.exec(request.aspect_ratio ?? request.size) ?? [null, 1, 1];
  return (request.num_outputs ?? 1) > 1 ? 1 : Math.max(width / height, 0.75);
}

function promptOf(item) {
  const prompt = item.request.prompt ?? item.request.text ?? "";
  if (typeof prompt !== "string" || !prompt) return null;
  const words = make("p", { class: "prompt", dir: "auto" }, prompt);
  lengths.observe(words);
  return make("div", { class: "words" }, words, make("button", { type: "button", class: "link", "data-act": "expand", "aria-expanded": "false", hidden: true }, text("card.more")));
}

export function showAll(element, isOpen) {
  const [prompt, button] = [element.querySelector(".prompt"), element.querySelector("[data-act=expand]")];
  prompt?.classList.toggle("open", isOpen);
  button?.setAttribute("aria-expanded", String(isOpen));
  if (button) button.textContent = text(isOpen ? "card.less" : "card.more");
}

/* While it runs. */

function waiting(card, seen) {
  const percent = make("p", { class: "percent" });
  const bar = make("progress", { max: 100, "aria-label": text("card.progress") });
  const words = make("p", { class: "state" });
  card.live = { percent, bar, words };
  tell(card, seen);
  return make("div", { class: "pictures waiting" }, percent, bar, words);
}

export function tell(card, seen) {
  if (!card.live) return;
  const { percent, bar, words } = card.live;
  const progress = seen?.event.progress;
  percent.textContent = progress == null ? "" : `${Math.floor(progress)}%`;
  percent.hidden = progress == null;
  bar.hidden = card.item.state === "waiting";
  if (progress == null) bar.removeAttribute("value");
  else bar.value = progress;
  words.textContent = stateOf(card.item, seen);
}

function stateOf(item, seen) {
  if (item.state !== "submitted") return text(`state.${item.state}`);
  if (!seen) return text("state.running");
  const { status, final, remaining } = seen.event;
  const words = text(`state.${["pending", "queued"].includes(status) ? "queued" : status === "completed" ? "saving" : "processing"}`);
  return final || remaining == null ? words : `${words}, ${leftOf(remaining - (performance.now() - seen.at) / 1000)}`;
}

function leftOf(seconds) {
  if (seconds < 1.5) return text("left.now");
  return seconds < 55 ? text("left.seconds", { count: Math.round(seconds) }) : text("left.minutes", { count: Math.max(1, Math.round(seconds / 60)) });
}

/* Its results. */

function results(item) {
  const { files, values } = item;
  const size = files.length <= 1 ? "one" : files.length === 2 ? "two" : "many";
  const shown = files.map((file, n) => fileOf(file, n, item));
  const texts = values.map((value) => make("pre", { class: "value", dir: "auto" }, wordsOf(value)));
  const isPlain = !files.length || files.some((file) => !/^(image|video)/.test(file.type));
  // A long text scrolls, also by the keyboard.
  const scrolls = texts.length ? { tabindex: "0", role: "group", "aria-label": text("card.result") } : {};
  return make("div", { class: `pictures ${size} ${isPlain ? "plain" : ""}`, ...scrolls }, ...shown, ...texts);
}

function wordsOf(value) {
  if (typeof value === "string") return value;
  return typeof value?.text === "string" ? value.text : JSON.stringify(value, null, 2);
}

export function altOf(item, n) {
  const prompt = item.request.prompt ?? text("card.result");
  return item.files.length > 1 ? text("card.alt", { prompt, n: n + 1, count: item.files.length }) : prompt;
}

function fileOf(file, n, item) {
  const alt = altOf(item, n);
  if (file.type.startsWith("image/")) {
    const picture = make("img", { src: file.url, alt, loading: "lazy", decoding: "async" });
    return make("a", { class: "picture", href: file.url, target: "_blank", rel: "noopener", "data-act": "open", "data-n": n }, picture);
  }
  if (/^(video|audio)/.test(file.type)) return make(file.type.slice(0, 5), { src: file.url, controls: true, preload: "metadata", "aria-label": alt });
  return make("a", { class: "file", href: file.url, download: file.name }, file.name);
}

/* An error: a sentence, the cost, and advice. The service's own words are in a closed box. */

function message(item) {
  const kind = item.fault ? "fault" : item.state;
  const error = item.error ?? {};
  const charged = kind === "fault" || kind === "unsaved" ? "yes" : error.charged;
  const problems = (error.problems ?? []).map(inWords);
  const words = item.fault ?? (problems.length ? problems.join("; ") : error.message);
  const facts = [
    words && make("p", { dir: "auto", lang: problems.length ? null : "en" }, words),
    error.code && make("p", {}, `${text("details.code")} `, make("code", {}, error.code)),
    item.id && make("p", {}, `${text("details.id")} `, make("code", {}, item.id)),
  ].filter(Boolean);
  return make(
    "div",
    { class: `message ${kind}` },
    make("h3", {}, text(sentenceOf(kind, item, error.code ?? ""))),
    charged ? make("p", {}, text(`bill.${charged}`)) : null,
    make("p", {}, text(`advice.${kind}`)),
    facts.length ? make("details", {}, make("summary", {}, text("details")), ...facts) : null,
  );
}

function sentenceOf(kind, item, code) {
  if (kind !== "failed") return `error.${kind}`;
  if (CONTENT.test(code)) return "error.content";
  if (code === "TaskCancelledError") return "error.cancelled";
  return item.id ? "error.failed" : "error.declined";
}

/* The facts and the buttons below. */

function metaOf(item) {
  const { request } = item;
  const parts = [
    request.aspect_ratio ?? request.size ?? request.image_size,
    request.resolution,
    item.elapsed == null ? null : text("meta.seconds", { count: Math.max(1, Math.round(item.elapsed)) }),
    !item.credits ? null : creditsOf(item.credits),
  ];
  const inputs = (modelNamed(item.model)?.fields ?? []).filter(isInput).flatMap(({ name }) => request[name] ?? []);
  if (inputs.length) parts.splice(2, 0, text("meta.inputs", { count: inputs.length }));
  const facts = parts.filter((part) => typeof part === "string").join(" · ");
  const origin = make("span", { class: "origin" }, make("b", {}, item.model ?? request.model ?? ""), make("time", {}, dateOf(item.changed)));
  return make("p", { class: "meta" }, origin, make("span", {}, facts));
}

function actionsOf(item) {
  const act = (name, words, attributes) => make("button", { type: "button", class: "quiet", "data-act": name, ...attributes }, words);
  const { files, state, fault } = item;
  const saves =
    files.length > 1
      ? make("a", { class: "quiet", href: `/archive?key=${item.key}`, download: "" }, text("act.save.all"))
      : files.length
        ? make("a", { class: "quiet", href: files[0].url, download: files[0].name }, text("act.save"))
        : null;
  const image = files.findIndex((file) => file.type.startsWith("image/"));
  const kind = fault ? "fault" : state;
  return make(
    "div",
    { class: "actions" },
    saves,
    image >= 0 ? act("edit", text("act.edit"), { "data-n": image }) : null,
    item.id && (kind === "fault" || kind === "unsaved") ? act("again", text("act.again")) : null,
    state === "waiting" ? act("withdraw", text("act.withdraw")) : null,
    item.request.model && state !== "waiting" ? act("use", text("act.use")) : null,
    PUT_AWAY.includes(kind) ? act("away", text(isAway(item.key) ? "act.back" : "act.away")) : null,
  );
}
