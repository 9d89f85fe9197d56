// A press of the button: its price, the question before several requests are sent, and the queue.
import { $, announce, make, state } from "/dom.js";
import { checked, isShown, requests, showProblems, showRefusal } from "/form.js";
import { inWords } from "/problems.js";
import { enqueue } from "/queue.js";
import { creditsOf, text } from "/texts.js";

const CALM = 250;

const press = { timer: null, asked: 0, spending: null, isPressed: false };

// Asks for the price of the next press after a short time. Only the last answer is shown.
export function showPriceSoon() {
  clearTimeout(press.timer);
  press.timer = setTimeout(showPrice, CALM);
}

async function showPrice() {
  const asked = ++press.asked;
  const answers = await checked().catch(() => []);
  if (asked !== press.asked) return;
  state("price", answers.length ? priceInWords(answers) : "");
  const doubts = answers.flatMap((answer) => answer.doubts).map(inWords);
  $("doubts").replaceChildren(...doubts.map((line) => make("li", {}, line)));
  $("doubts-box").hidden = !doubts.length;
}

function sumOf(answers) {
  const known = answers.filter((answer) => answer.credits !== null);
  const total = known.reduce((sum, answer) => sum + answer.credits, 0);
  return { total, unknown: answers.length - known.length };
}

function priceInWords(answers) {
  const { total, unknown } = sumOf(answers);
  if (unknown === answers.length) return text(unknown > 1 ? "price.unknown.several" : "price.unknown", { count: unknown });
  if (unknown) return text("price.partly", { credits: creditsOf(total), count: unknown });
  return answers.length > 1 ? text("price.several", { credits: creditsOf(total), count: answers.length }) : text("price.one", { credits: creditsOf(total) });
}

// The badge, and what was spent in this folder.
export function showSpending(spending) {
  press.spending = spending;
  const { emulated, spent, unpriced } = spending;
  $("badge").textContent = text(emulated ? "badge.emulator" : "badge.live");
  $("badge").dataset.kind = emulated ? "emulator" : "live";
  const words = text(emulated ? "spent.emulator" : "spent.live", { credits: creditsOf(spent) });
  $("spent").textContent = unpriced ? `${words} ${text("spent.unpriced", { count: unpriced })}` : words;
  showPriceSoon();
}

export async function send(event) {
  event.preventDefault();
  if (press.isPressed) return; // the files of this press are still being stored
  setPressed(true);
  showProblems();
  try {
    const given = await requests();
    setPressed(false);
    if (given.length === 1 || (await isConfirmed(given))) {
      // The last one comes first in the list of results.
      for (const request of [...given].reverse()) enqueue(request, (error) => showAtForm(request, error));
      announce(text("sent", { count: given.length }));
    }
  } catch (error) {
    showRefusal(error);
  } finally {
    setPressed(false);
  }
}

// Shows the problems of a field at the form, if the form still has the request.
function showAtForm(request, error) {
  if (!error.problems.length || !isShown(request)) return false;
  showRefusal(error);
  return true;
}

function setPressed(isPressed) {
  press.isPressed = isPressed;
  $("send").setAttribute("aria-disabled", String(isPressed));
  $("send").textContent = text(isPressed ? "send.busy" : "send");
}

// Shows the total, and asks whether to send several requests.
async function isConfirmed(given) {
  const answers = await checked();
  const dialog = $("confirm");
  const rows = given.map(({ model }, n) => {
    const { credits, problems } = answers[n];
    const words = problems.length ? problems.map(inWords).join("; ") : credits === null ? text("price.row.unknown") : creditsOf(credits);
    return make("tr", { class: problems.length ? "wrong" : null }, make("th", { scope: "row" }, model), make("td", {}, words));
  });
  const isWrong = answers.some((answer) => answer.problems.length);
  return new Promise((resolve) => {
    const answer = (isYes) => {
      dialog.onclose = null;
      dialog.close();
      resolve(isYes);
    };
    const no = make("button", { type: "button", class: "quiet", onclick: () => answer(false) }, text("confirm.cancel"));
    const yes = make("button", { type: "button", class: "primary", onclick: () => answer(true) }, text("confirm.send", { count: given.length }));
    dialog.replaceChildren(
      make("h2", { id: "confirm-title" }, text("confirm.title", { count: given.length })),
      make("table", {}, make("tbody", {}, ...rows)),
      make("p", { class: "total" }, isWrong ? text("confirm.wrong") : priceInWords(answers)),
      press.spending?.emulated ? make("p", { class: "hint" }, text("confirm.emulator")) : "",
      make("div", { class: "foot" }, no, isWrong ? null : yes),
    );
    dialog.onclose = () => resolve(false);
    dialog.showModal();
    (isWrong ? no : yes).focus();
  });
}

