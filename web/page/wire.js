// How the page talks to the bridge: with the token of the login link, which it
// keeps for this tab and this origin, the port included, and sends itself. A
// cookie would go to every port of the machine, whoever listens there.
"use strict";

const tokenKey = "shmbus-token";
const retryAfter = 2000; // milliseconds

// takeToken keeps the token of a login link, or of its end, if there is one.
function takeToken(text) {
  const token = /(?:^|=)([\w-]{43,})$/.exec(text.trim());
  if (token) sessionStorage.setItem(tokenKey, token[1]);
  return token !== null;
}

// The fragment of an address is never sent; it does not stay in view either.
function takeFragment() {
  if (!location.hash.startsWith("#token=")) return false;
  const taken = takeToken(location.hash);
  history.replaceState(null, "", location.pathname);
  return taken;
}
takeFragment();
addEventListener("hashchange", () => { if (takeFragment()) location.reload(); });

// request is fetch with the token.
function request(path, { headers, ...options } = {}) {
  return fetch(path, { ...options, headers: { ...headers, Authorization: "Bearer " + sessionStorage.getItem(tokenKey) } });
}

// readEvents calls on(name, data, id) for each server-sent event of a body.
async function readEvents(body, on) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", name = "message", data = [], id = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (data.length) on(name, data.join("\n"), id);
        name = "message"; data = []; id = "";
        continue;
      }
      const [, field, text] = /^([^:]*):? ?(.*)$/.exec(line);
      if (field === "event") name = text;
      else if (field === "data") data.push(text);
      else if (field === "id") id = text;
    }
  }
}

// follow reads a stream of events until it is closed, and again from where it
// was when the connection broke. EventSource cannot: it sends no token. While
// nobody sees the page no stream is open: a browser has six connections to a
// host, for all its tabs.
//
// path(id, age) is where to go on: behind the event id, or if there was none
// (""), from age milliseconds ago (0: from now). on has functions by the names
// of events, given data and id; opened(); broken(); refused(problem), after
// which all is over.
function follow(path, on) {
  let id = "", since = 0, closed = false, open = null, retry = 0;
  async function run() {
    const control = open = new AbortController();
    try {
      const headers = { Accept: "text/event-stream", ...(id ? { "Last-Event-ID": id } : {}) };
      const age = since ? Math.ceil(performance.now() - since) : 0;
      since ||= performance.now();
      const answer = await request(path(id, age), { headers, signal: control.signal });
      if (!answer.ok) {
        const problem = await answer.json();
        if (open === control) { close(); on.refused?.(problem); }
        return;
      }
      if (open === control) on.opened?.();
      await readEvents(answer.body, (name, data, its) => {
        if (open !== control) return;
        id = its || id;
        on[name]?.(data, its);
      });
    } catch { /* the connection broke, or was ended here */ }
    if (open !== control) return;
    open = null;
    on.broken?.();
    retry = setTimeout(look, retryAfter);
  }
  function look() {
    clearTimeout(retry);
    if (closed) return;
    if (document.visibilityState === "hidden") {
      const was = open;
      open = null;
      was?.abort();
    } else if (!open) run();
  }
  function close() {
    closed = true;
    const was = open;
    open = null;
    was?.abort();
    clearTimeout(retry);
    document.removeEventListener("visibilitychange", look);
  }
  document.addEventListener("visibilitychange", look);
  look();
  return { close };
}
