// The messages of the topic that is open, and publishing to it.
"use strict";

// line adds a line with the next frame: to lay out the page for each message
// would take longer than messages take to come.
function line(node) {
  if (state.lines.push(node) === 1) requestAnimationFrame(addLines);
  if (state.lines.length > mostMessages) state.lines.shift();
}

function addLines() {
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(...state.lines.splice(0));
  while (list.children.length > mostMessages) list.firstChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function startTail() {
  const path = "/v1/topics/" + encodeURIComponent(state.selected) + "/messages";
  state.lost = 0;
  $("tail").setAttribute("aria-pressed", "true");
  $("tail-state").textContent = "waiting for messages";
  state.tail = follow((id, age) => path + (id || !age ? "?from=latest" : `?from=-${age}ms`), {
    opened: showTail,
    message: data => {
      const m = JSON.parse(data);
      if (!m.payload.includes($("grep").value)) return;
      const li = element("li");
      li.append(element("span", `${m.sequence} ${m.time.slice(11, 23)} `, { class: "meta" }), m.encoding === "utf8" ? m.payload : m.encoding + ":" + m.payload);
      line(li);
    },
    lost: data => {
      state.lost += Number(data);
      showTail();
      line(element("li", `${data} lost`, { class: "loss" }));
    },
    end: () => { stopTail(); $("tail-state").textContent = "the stream has ended"; },
    broken: () => { $("tail-state").textContent = "connection lost, trying again"; },
    refused: problem => { stopTail(); $("tail-state").textContent = "refused: " + problem.detail; },
  });
}

function showTail() {
  $("tail-state").textContent = state.lost ? `tailing; ${count(state.lost)} messages came too fast for this page` : "tailing";
}

function stopTail() {
  if (state.tail) state.tail.close();
  state.tail = null;
  $("tail").setAttribute("aria-pressed", "false");
}

async function publish(event) {
  event.preventDefault();
  const answer = await request("/v1/topics/" + encodeURIComponent(state.selected) + "/messages", {
    method: "POST", headers: { "Content-Type": "text/plain" }, body: $("payload").value,
  });
  const body = await answer.json();
  $("publish-state").textContent = answer.ok ? "published" : body.detail;
  if (answer.ok) $("payload").value = "";
}
