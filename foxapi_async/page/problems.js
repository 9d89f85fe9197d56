// What is wrong with a request, or may be wrong, in the words of the page.
import { labelOf, text } from "/texts.js";

// A problem is `{ type, field, message, ctx }`. The page has words for each type. Only "other" shows the server's words.
export function inWords({ type, field, message, ctx }) {
  if (type === "other") return message;
  const named = (name) => (name ? text("problem.field", { field: labelOf(name) }) : "");
  return text(`problem.${type}`, { ...ctx, field: named(field), other: named(ctx.other), allowed: ctx.kind ? allowedIn(ctx) : "" });
}

// The allowed values of a field.
function allowedIn({ kind, choices, values, minimum, maximum, pixels }) {
  if (kind === "size") return `${choices.join(", ")}; ${sizesIn(pixels)}`;
  if (choices ?? values) return (choices ?? values).join(", ");
  const limits = [minimum == null ? "" : ".from", maximum == null ? "" : ".to"].join("");
  return text(`allowed.${kind}${limits}`, { minimum, maximum });
}

function sizesIn(pixels) {
  if (!pixels) return text("allowed.size");
  const { sides, multiple, longest, area } = pixels;
  return text("allowed.size.rule", { multiple, least: sides[0], most: sides[1], longest, fewest: area[0], largest: area[1] });
}
