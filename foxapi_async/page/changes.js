// The stream of all changes. The tabs of a browser share one, because it opens at most six connections to a server.

// Calls `say(name, data)` with the names "ready", "card", "progress" and "lost". Returns a function that ends it.
function follow(say) {
  let stream, timer;
  function open() {
    stream = new EventSource("/changes");
    for (const name of ["ready", "card", "progress"]) stream.addEventListener(name, (event) => say(name, JSON.parse(event.data)));
    // A browser reconnects by itself, but not after an answer that is not a stream.
    stream.addEventListener("error", () => {
      say("lost");
      if (stream.readyState === EventSource.CLOSED) timer = setTimeout(open, 3000);
    });
  }
  open();
  return () => {
    clearTimeout(timer);
    stream.close();
  };
}

// This file is also the worker that the tabs share. A tab says when it leaves.
if (!("document" in self)) {
  const tabs = new Set();
  const running = new Map();
  let end = null;
  let isOpen = false;

  function say(name, data) {
    if (name === "ready") running.clear();
    if (name === "ready" || name === "lost") isOpen = name === "ready";
    if (name === "progress") running.set(data.id, data);
    if (data?.final) running.delete(data.id);
    for (const tab of tabs) tab.postMessage({ name, data });
  }

  self.addEventListener("connect", ({ ports: [tab] }) => {
    if (isOpen) tab.postMessage({ name: "ready" });
    for (const data of running.values()) tab.postMessage({ name: "progress", data });
    tabs.add(tab);
    tab.onmessage = () => {
      tabs.delete(tab);
      if (tabs.size) return;
      end();
      end = null;
      isOpen = false;
    };
    end ??= follow(say);
  });
}
