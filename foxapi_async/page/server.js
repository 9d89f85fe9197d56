// The requests of the page to its server.
import { TEXTS, text } from "/texts.js";

export class Refusal extends Error {
  constructor(status, error) {
    const ours = `server.${error?.type}`;
    super(ours in TEXTS ? text(ours) : error?.message || text("server.status", { status }));
    this.problems = error?.details ?? [];
    this.type = error?.type ?? "";
  }

  // Whether the request may not have reached the server, so that the same press may be sent again.
  get isLost() {
    return this.type === "unreachable" || this.type === "broken";
  }
}

export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Refusal(0, { type: "unreachable" });
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refusal(response.status, body?.error);
  if (body === null) throw new Refusal(0, { type: "broken" });
  return body;
}

export function post(path, value, options = {}) {
  const headers = { "Content-Type": "application/json", ...options.headers };
  return ask(path, { ...options, method: "POST", headers, body: JSON.stringify(value) });
}

export const MAX_BYTES = 100 * 1000 * 1000;

export async function upload(file, name) {
  if (file.size > MAX_BYTES) throw new Error(text("input.large"));
  const headers = { "Content-Type": file.type || "application/octet-stream" };
  return (await ask(`/uploads?${new URLSearchParams({ name })}`, { method: "POST", headers, body: file })).url;
}
