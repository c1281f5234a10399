// Rondo's pages are whole without this. It keeps them fresh: when the server
// tells of a change it asks for the page again and puts the parts that differ
// in place of the old ones; output of running steps is appended as it comes.
"use strict";
(() => {
  const live = document.body.dataset.live;
  const keep = 400000; // characters of a running step's output that stay on the page

  // --- times ---
  const units = [[31536000, "year"], [2592000, "month"], [86400, "day"], [3600, "hour"], [60, "minute"]];
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  function ago(date) {
    const s = (date - Date.now()) / 1000;
    for (const [n, unit] of units) if (Math.abs(s) >= n) return relative.format(Math.round(s / n), unit);
    return s > 5 ? "in " + Math.round(s) + " seconds" : "just now";
  }
  function duration(ms) {
    const s = Math.max(0, Math.floor(ms / 1000)), two = (n) => String(n).padStart(2, "0");
    if (s < 60) return s + "s";
    if (s < 3600) return Math.floor(s / 60) + "m " + two(s % 60) + "s";
    if (s < 172800) return Math.floor(s / 3600) + "h " + two(Math.floor(s / 60) % 60) + "m";
    return Math.floor(s / 86400) + "d " + (Math.floor(s / 3600) % 24) + "h";
  }
  function tick() {
    for (const t of document.querySelectorAll("time[datetime]")) set(t, ago(new Date(t.dateTime)));
    for (const t of document.querySelectorAll("[data-since]")) set(t, duration(Date.now() - new Date(t.dataset.since)));
  }
  function set(node, text) { if (node.textContent !== text) node.textContent = text; }
  setInterval(tick, 1000);
  tick();

  // --- parts ---
  const parts = new Map(); // id to the last HTML from the server
  let asking = false, again = false, timer = 0, asked = 0;
  function refresh() { // many changes at once are one question, and a busy server is not asked all the time
    if (timer) return;
    timer = setTimeout(() => { timer = 0; ask(); }, Math.max(120, Math.min(800, asked + 800 - Date.now())));
  }
  async function ask() {
    if (asking) { again = true; return; }
    asking = true;
    asked = Date.now();
    try {
      const url = new URL(location.href);
      url.searchParams.set("part", "1");
      url.hash = "";
      const answer = await fetch(url, { headers: { Accept: "text/html" } });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        document.title = page.title;
        pace(page.body);
        for (const part of page.querySelectorAll("[data-part]")) put(part);
        tick();
      }
    } catch { /* the stream says when the server is away */ }
    asking = false;
    if (again) { again = false; refresh(); }
  }
  function put(part) {
    const html = part.innerHTML, old = document.getElementById(part.id);
    if (!old || parts.get(part.id) === html) return;
    parts.set(part.id, html);
    const focused = old.contains(document.activeElement) ? path(document.activeElement, old) : null;
    const open = [...old.querySelectorAll("details")].map((d) => d.open);
    const left = old.scrollLeft, top = old.scrollTop;
    old.replaceChildren(...document.importNode(part, true).childNodes);
    old.querySelectorAll("details").forEach((d, i) => { if (i in open) d.open = open[i]; });
    old.scrollLeft = left; old.scrollTop = top;
    if (focused) old.querySelector(focused)?.focus({ preventScroll: true });
  }
  function path(node, root) {
    if (node.id) return "#" + CSS.escape(node.id);
    for (const name of ["aria-label", "href"]) {
      const v = node.getAttribute(name);
      if (v) return node.localName + "[" + name + "=" + CSS.escape(v) + "]";
    }
    return node === root ? null : node.localName;
  }

  // --- output ---
  const steps = document.getElementById("steps");
  const step = (n) => document.getElementById("step-" + n);
  function fromHTML(html) {
    const t = document.createElement("template");
    t.innerHTML = html; // the server's own, and it may hold no script: see the page's policy
    return t.content;
  }
  function onStep(m) {
    let s = step(m.step);
    if (!s) {
      steps.append(fromHTML(m.html));
      s = step(m.step);
      s.dataset.auto = "";
      document.getElementById("nosteps").hidden = true;
    } else {
      s.querySelector("summary").replaceChildren(fromHTML(m.head));
      const note = s.querySelector(".out > .note");
      if (m.ended && !note) { // a note about lost output may have come
        const fresh = fromHTML(m.html).querySelector(".out > .note");
        if (fresh) s.querySelector(".out").prepend(fresh);
      }
    }
    if (m.bad) s.open = true;
    else if (m.ended && "auto" in s.dataset) s.open = false;
    tick();
  }
  function onLog(m) {
    const s = step(m.step);
    if (!s) return;
    const follow = innerHeight + scrollY >= document.documentElement.scrollHeight - 60;
    const pre = s.querySelector(".log"), tail = pre.querySelector(".tail");
    if (m.html) {
      let last = tail.previousElementSibling;
      if (!last || last.textContent.length > 32000) {
        last = document.createElement("span");
        last.className = "chunk";
        last.dataset.from = m.from;
        tail.before(last);
      }
      last.append(fromHTML(m.html));
      trim(s, pre);
    }
    tail.replaceChildren(fromHTML(m.tail));
    if (follow && s.open) scrollTo(0, document.documentElement.scrollHeight);
  }
  function trim(s, pre) { // a long output does not pile up on the page
    if ("whole" in s.dataset) return; // the reader asked for more
    let size = pre.textContent.length, chunks = pre.querySelectorAll(".chunk"), i = 0;
    while (size > keep && i < chunks.length - 1) {
      size -= chunks[i].textContent.length;
      chunks[i++].remove();
    }
    if (i > 0) earlier(s, Number(chunks[i].dataset.from));
  }
  function earlier(s, from) {
    const more = s.querySelector(".more"), a = more.querySelector(".earlier"), meta = more.querySelector(".meta");
    a.hidden = from <= 0;
    a.dataset.from = from;
    a.textContent = "Show earlier output";
    meta?.remove();
  }
  document.addEventListener("click", async (e) => {
    const a = e.target.closest?.("a.earlier");
    if (!a || e.ctrlKey || e.metaKey || e.shiftKey) return;
    e.preventDefault();
    if (a.dataset.busy) return;
    a.dataset.busy = "1";
    const s = a.closest(".step"), pre = s.querySelector(".log"), first = pre.firstElementChild;
    try {
      const end = a.dataset.from ? "&end=" + a.dataset.from : "";
      const answer = await fetch(s.dataset.output + end);
      if (!answer.ok) throw new Error(String(answer.status));
      const chunk = document.createElement("span"), from = Number(answer.headers.get("Rondo-Log-From"));
      chunk.className = "chunk";
      chunk.dataset.from = from;
      chunk.append(fromHTML(await answer.text()));
      s.dataset.whole = "";
      const before = first.getBoundingClientRect().top;
      pre.prepend(chunk);
      if (end) scrollBy(0, first.getBoundingClientRect().top - before);
      earlier(s, from);
    } catch {
      a.textContent = "That did not work; try again";
    }
    delete a.dataset.busy;
  });

  // --- events ---
  const away = document.getElementById("away");
  let source = null, at = "", wait = 1000, retry = 0;
  function connect() {
    clearTimeout(retry);
    if (!live || source) return;
    const url = new URL(live, location.href);
    if (at) url.searchParams.set("at", at);
    source = new EventSource(url);
    const on = (kind, f) => source.addEventListener(kind, (e) => { at = e.lastEventId; f(JSON.parse(e.data)); });
    source.onopen = () => {
      if (!away.hidden) refresh();
      away.hidden = true;
      wait = 1000;
    };
    source.onerror = () => {
      lost();
      if (source && source.readyState === EventSource.CLOSED) { // refused: the browser does not try again by itself
        disconnect();
        retry = setTimeout(connect, wait);
        wait = Math.min(wait * 2, 30000);
      }
    };
    on("change", refresh);
    on("step", onStep);
    on("log", onLog);
    on("reload", () => location.reload());
    on("end", () => { disconnect(); ended = true; refresh(); });
  }
  let ended = false, lostAt = 0;
  function lost() {
    if (lostAt) return;
    lostAt = setTimeout(() => { // a server that restarts at once is not away
      lostAt = 0;
      if (!ended && (!source || source.readyState !== EventSource.OPEN)) away.hidden = false;
    }, 2500);
  }
  function disconnect() { source?.close(); source = null; }
  connect();

  // A browser has few connections to one server: a tab that nobody sees gives
  // its own back, and goes on where it was when it is seen again.
  let hide = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hide);
    if (document.hidden) hide = setTimeout(() => { clearTimeout(retry); disconnect(); }, 20000);
    else if (!ended && !source) { connect(); refresh(); }
  });
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", (e) => { if (e.persisted && !ended) { connect(); refresh(); } });

  // Why a job waits, and how long, changes without an event.
  let every = 0, beat = 0;
  function pace(body) {
    const n = Number(body.dataset.refresh || 0);
    if (n === every) return;
    every = n;
    clearInterval(beat);
    if (n) beat = setInterval(() => { if (!document.hidden) refresh(); }, n * 1000);
  }
  pace(document.body);

  // --- output by lines ---
  // Only some thousand lines are on the page at a time; more come when the
  // reader nears an end, and those far away go.
  const viewer = document.getElementById("viewer");
  if (viewer) {
    const lines = document.getElementById("lines"), above = document.getElementById("above"), below = document.getElementById("below");
    const many = 3000, portion = 500;
    let loading = false;
    const number = (row) => Number(row.querySelector(".ln").dataset.line);
    const near = new IntersectionObserver((seen) => { for (const e of seen) if (e.isIntersecting) load(e.target === above); }, { rootMargin: "1500px" });
    const keep = (row, change) => { // what the reader looks at stays where it is
      const top = row.getBoundingClientRect().top;
      change();
      scrollBy(0, row.getBoundingClientRect().top - top);
    };
    async function load(up) {
      if (loading) return;
      const first = number(lines.firstElementChild), last = number(lines.lastElementChild);
      const from = up ? Math.max(1, first - portion) : last + 1, n = up ? first - from : portion;
      if (n < 1 || !up && last >= Number(viewer.dataset.total)) return;
      loading = true;
      try {
        const answer = await fetch(viewer.dataset.more + "&from=" + from + "&n=" + n);
        if (!answer.ok) throw new Error(String(answer.status));
        const fresh = fromHTML(await answer.text());
        viewer.dataset.total = answer.headers.get("Rondo-Log-Lines");
        if (up && fresh.lastElementChild && number(fresh.lastElementChild) === first - 1) {
          keep(lines.firstElementChild, () => lines.prepend(fresh));
          while (lines.childElementCount > many) lines.lastElementChild.remove();
        } else if (!up) {
          lines.append(fresh);
          const over = lines.childElementCount - many;
          if (over > 0) keep(lines.lastElementChild, () => { for (let i = 0; i < over; i++) lines.firstElementChild.remove(); });
        } else {
          near.unobserve(above); // the lines are too long to be joined; the link leads there
        }
        edges();
      } catch { /* the links lead there, too */ }
      loading = false;
      near.disconnect(); watch();
    }
    function edges() {
      const first = number(lines.firstElementChild), last = number(lines.lastElementChild);
      above.hidden = first <= 1;
      below.hidden = last >= Number(viewer.dataset.total);
      const go = (a, from) => { const u = new URL(a.href); u.searchParams.set("from", from); u.searchParams.delete("line"); a.href = u; };
      go(above.querySelector("[rel=prev]"), Math.max(1, first - portion));
      go(below.querySelector("[rel=next]"), last + 1);
    }
    function watch() { near.observe(above); near.observe(below); }
    lines.addEventListener("click", (e) => {
      const a = e.target.closest("a.ln");
      if (!a || e.ctrlKey || e.metaKey || e.shiftKey) return;
      e.preventDefault();
      const u = new URL(location.href);
      u.searchParams.delete("from");
      u.searchParams.set("line", a.dataset.line);
      u.hash = "L" + a.dataset.line;
      history.replaceState(null, "", u);
      for (const row of lines.querySelectorAll(".marked")) row.classList.remove("marked");
      a.parentElement.classList.add("marked");
    });
    watch();
  }

  // --- small things ---
  // What was done is said once: loading the page again does not say it anew.
  if (new URLSearchParams(location.search).has("done")) {
    const u = new URL(location.href);
    u.searchParams.delete("done");
    history.replaceState(null, "", u);
  }
  for (const b of document.querySelectorAll("[data-copy]")) b.hidden = !navigator.clipboard;
  document.addEventListener("click", async (e) => {
    const b = e.target.closest?.("[data-copy]");
    if (b) {
      try { await navigator.clipboard.writeText(b.previousElementSibling.textContent); b.textContent = "Copied"; } catch { b.textContent = "Not allowed"; }
      setTimeout(() => { b.textContent = "Copy"; }, 2000);
    }
    for (const d of document.querySelectorAll(".confirm[open]")) if (!d.contains(e.target)) d.open = false;
  });
  document.addEventListener("keydown", (e) => {
    if (e.key !== "Escape") return;
    for (const d of document.querySelectorAll(".confirm[open]")) { d.open = false; d.querySelector("summary").focus(); }
  });
  // The hours of a timetable are of use only while no cron line is.
  document.addEventListener("input", (e) => {
    const when = e.target.closest?.(".when");
    const mode = when?.previousElementSibling?.querySelector("[name=mode]");
    if (mode) mode.checked = true;
  });

  // A form that was sent is not sent twice.
  document.addEventListener("submit", (e) => {
    if (e.target.method === "post") setTimeout(() => e.target.querySelectorAll("button").forEach((b) => { b.disabled = true; }));
  });
  addEventListener("pageshow", () => document.querySelectorAll("button:disabled").forEach((b) => { b.disabled = false; }));
})();
