// The stream of all changes. The tabs of a browser share one stream, because a browser opens at most six connections to a
// server. This file is also the worker that the tabs share.

const NAMES = ["ready", "card", "progress", "spending"];
const CHANNEL = "foxapi changes";

// Reads the stream, and calls `say(name, data)` with one of these names or "lost". Returns a function that ends it.
function read(say) {
  let stream, timer;
  function open() {
    stream = new EventSource("/changes");
    for (const name of NAMES) stream.addEventListener(name, (event) => say(name, JSON.parse(event.data)));
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

// The facts that a later tab needs: whether the stream is open, the credits, and the running tasks.
class Latest {
  constructor() {
    this.isOpen = false;
    this.spending = null;
    this.running = new Map();
  }

  note(name, data) {
    if (name === "ready") this.running.clear();
    if (name === "ready" || name === "lost") this.isOpen = name === "ready";
    if (name === "spending") this.spending = data;
    if (name === "progress") this.running.set(data.id, data);
    if (data?.final) this.running.delete(data.id);
  }

  tell(say) {
    if (!this.isOpen) return;
    say("ready", null);
    if (this.spending) say("spending", this.spending);
    for (const data of this.running.values()) say("progress", data);
  }
}

// Calls `say(name, data)` with each change. Returns a function that ends it.
export function follow(say) {
  if (self.SharedWorker) return followWorker(say);
  // Only a page of this machine, or of https, has locks.
  return self.navigator.locks ? followLock(say) : followWhileSeen(say);
}

function followWorker(say) {
  const { port } = new SharedWorker("/changes.js", { type: "module" });
  port.onmessage = ({ data }) => say(data.name, data.data);
  return () => {
    port.postMessage("leave");
    port.onmessage = null;
  };
}

// The tab that holds the lock reads the stream, and sends the changes to the other tabs. When it ends, the next tab gets the
// lock.
function followLock(say) {
  const channel = new BroadcastChannel(CHANNEL);
  const waiting = new AbortController();
  const latest = new Latest();
  let end = () => {};
  const pass = (name, data) => channel.postMessage({ name, data });
  let isReader = false;
  channel.onmessage = ({ data }) => {
    if (data.name !== "new tab") say(data.name, data.data);
    else if (isReader) latest.tell(pass);
  };
  pass("new tab");
  const reading = () =>
    new Promise((release) => {
      isReader = true;
      const stop = read((name, data) => {
        latest.note(name, data);
        pass(name, data);
        say(name, data);
      });
      end = () => {
        stop();
        release();
      };
    });
  navigator.locks.request(CHANNEL, { signal: waiting.signal }, reading).catch(() => {});
  return () => {
    waiting.abort();
    end();
    channel.close();
  };
}

// Only a visible tab has a stream.
function followWhileSeen(say) {
  let stop = null;
  const change = () => {
    if (document.hidden) {
      stop?.();
      stop = null;
    } else stop ??= read(say);
  };
  change();
  document.addEventListener("visibilitychange", change);
  return () => {
    document.removeEventListener("visibilitychange", change);
    stop?.();
  };
}

// This part runs in the worker. A tab sends a message when it leaves.
if (!("document" in self)) {
  const tabs = new Set();
  const latest = new Latest();
  let end = null;

  self.addEventListener("connect", ({ ports: [tab] }) => {
    latest.tell((name, data) => tab.postMessage({ name, data }));
    tabs.add(tab);
    tab.onmessage = () => {
      tabs.delete(tab);
      if (tabs.size) return;
      end();
      end = null;
      latest.isOpen = false;
    };
    end ??= read((name, data) => {
      latest.note(name, data);
      for (const each of tabs) each.postMessage({ name, data });
    });
  });
}
