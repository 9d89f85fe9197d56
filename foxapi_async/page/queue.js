// The presses that are not answered yet. They are sent one after the other, in their order. The server sends each key only
// once, so a press whose answer is lost can be posted again.
import { narrow, recall, remember, reveal } from "/dom.js";
import { drop, hasCard, newest, take } from "/cards.js";
import { post } from "/server.js";

const PAUSE = 2000;
// After these refusals, the service may have got the press. Soon the server has a card of it, which replaces the page's card.
const UNSURE = ["uncertain_submit", "not_kept", "internal", ""];
const queue = { presses: [], isSending: false };

// Shows the page's own card of a press, until the server has one.
function show(press, state, error = null) {
  const { key, request, at } = press;
  take({ key, place: at, isLocal: true, state, request, error, model: request.model, changed: at / 1000, id: null, files: [], values: [], fault: null });
}

function save() {
  remember("sessionStorage", "presses", queue.presses.map(({ key, request, at }) => ({ key, request, at })));
}

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Adds a press. If the server refuses it and keeps nothing, `isShown(error)` returns whether the form shows the error.
export function enqueue(request, isShown) {
  const press = { key: newKey(), request, at: Date.now() + queue.presses.length, isShown };
  queue.presses.push(press);
  save();
  show(press, "waiting");
  if (narrow.matches) reveal(newest(), "start");
  sendAll();
}

export function withdraw(key) {
  if (queue.presses[0]?.key === key && queue.isSending) return;
  end(key);
  drop(key);
}

function end(key) {
  queue.presses = queue.presses.filter((press) => press.key !== key);
  save();
}

async function sendAll() {
  if (queue.isSending) return;
  queue.isSending = true;
  while (queue.presses.length) await sendOne(queue.presses[0]);
  queue.isSending = false;
}

async function sendOne(press) {
  show(press, "sending");
  let refusal = null;
  try {
    await post("/images", press.request, { headers: { "Idempotency-Key": press.key } });
  } catch (error) {
    if (error.isLost) return pause();
    refusal = error;
  }
  const isKept = await hasCard(press.key).catch(() => null);
  if (refusal && isKept === null) return pause();
  end(press.key);
  if (isKept || !refusal) return;
  if (press.isShown?.(refusal)) drop(press.key);
  else if (UNSURE.includes(refusal.type)) show(press, "uncertain", { message: refusal.message, code: refusal.type, charged: "unknown" });
  else show(press, "refused", { message: refusal.message, code: refusal.type, charged: "no", problems: refusal.problems });
}

// Waits before the same press is posted again. The server sends it only once.
function pause() {
  return new Promise((resolve) => setTimeout(resolve, PAUSE));
}

// Continues with the presses that a reload interrupted. If the tab is closed, sends all that are left.
export function continuePresses() {
  queue.presses = recall("sessionStorage", "presses") ?? [];
  for (const press of queue.presses) show(press, "waiting");
  addEventListener("pagehide", () => {
    for (const { key, request } of queue.presses) post("/images", request, { keepalive: true, headers: { "Idempotency-Key": key } }).catch(() => {});
  });
  sendAll();
}
