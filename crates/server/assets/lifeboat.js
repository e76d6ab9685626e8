// What moves on the pages: live regions, search, dialogs, copying, keys, the theme.
// Every page reads well without it.
(() => {
  "use strict";
  const root = document.documentElement;
  const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  if (stored) root.dataset.theme = stored;

  const all = (query, within = document) => [...within.querySelectorAll(query)];
  const one = (query, within = document) => within.querySelector(query);
  const say = (text) => { const place = one("#said"); if (place) place.textContent = text; };
  const isTyping = (target) => target.closest("input, select, textarea, [contenteditable]");

  // Times count on while somebody looks.
  const span = (seconds) => {
    const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const at = units.findIndex(([size]) => seconds >= size);
    if (at < 0) return "0 s";
    const [size, name] = units[at];
    const first = Math.floor(seconds / size);
    const next = units[at + 1];
    const rest = next ? Math.floor((seconds % size) / next[0]) : 0;
    return first < 10 && rest > 0 ? `${first} ${name} ${rest} ${next[1]}` : `${first} ${name}`;
  };
  const rough = (seconds) => {
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
    if (seconds < 5184000) return `${Math.floor(seconds / 86400)} d`;
    return `${Math.floor(seconds / 2592000)} months`;
  };
  // The page's clock is the server's: a browser that is wrong shows the same ages.
  let ahead = 0;
  const now = () => Date.now() + ahead;
  const setClock = (date) => { if (date) ahead = new Date(date).getTime() - Date.now(); };
  const tick = () => {
    for (const time of all("time[datetime]")) {
      const seconds = Math.round((now() - new Date(time.dateTime).getTime()) / 1000);
      let words;
      if (time.hasAttribute("data-counts")) words = span(Math.max(seconds, 0));
      else if (seconds < 0) words = `in ${rough(-seconds)}`;
      else words = seconds < 10 ? "just now" : `${rough(seconds)} ago`;
      if (time.textContent !== words) time.textContent = words;
    }
  };

  // Live regions: the page is fetched anew without its frame, and what changed is put in place.
  // What is being typed, and what is outside of such regions, stays.
  let fetching = null;
  let isAgain = false;
  const renew = async () => {
    if (document.hidden) return;
    if (fetching) { isAgain = true; return; }
    const address = new URL(location.href);
    address.searchParams.set("fragment", "1");
    fetching = fetch(address, { headers: { accept: "text/html" }, redirect: "manual" });
    try {
      const answer = await fetching;
      if (answer.ok) {
        setClock(answer.headers.get("date"));
        swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
      } else if (answer.type === "opaqueredirect") location.reload();
    } catch { /* The next event tries again. */ }
    fetching = null;
    if (isAgain) { isAgain = false; later(); }
  };
  let timer = 0;
  const later = () => { clearTimeout(timer); timer = setTimeout(renew, 350); };
  // Something is on its way that no event tells of.
  const follow = () => { if (one("[data-pending]")) setTimeout(renew, 800); };
  const swap = (fresh) => {
    const page = one("#page");
    if (!page) return;
    const ids = (within) => all("[data-live]", within).map((it) => it.id).join(" ");
    if (ids(page) !== ids(fresh.body) && !page.contains(document.activeElement)) {
      page.replaceChildren(...fresh.body.childNodes);
    } else {
      for (const region of all("[data-live]", page)) {
        const next = fresh.getElementById(region.id);
        if (next) put(region, next);
      }
    }
    reveal(page);
    tick();
    follow();
  };
  const put = (region, next) => {
    if (region.dataset.from === undefined) region.dataset.from = "";
    const text = next.innerHTML;
    if (region.dataset.digest === digest(text)) return;
    region.dataset.digest = digest(text);
    const focus = region.contains(document.activeElement) ? pathTo(region) : null;
    const logs = all(".log", region).map((log) =>
      log.scrollHeight - log.scrollTop - log.clientHeight < 30 ? -1 : log.scrollTop);
    const isOpen = all("details", region).map((it) => it.open);
    region.replaceChildren(...next.childNodes);
    if (region.className !== next.className) region.className = next.className;
    // A task that comes into another state shows what there is to see now.
    if (next.dataset.state && next.dataset.state !== region.dataset.state) {
      region.dataset.state = next.dataset.state;
      if (next.open) region.open = true;
    }
    all("details", region).forEach((it, at) => { if (at in isOpen) it.open = isOpen[at]; });
    all(".log", region).forEach((log, at) => {
      log.scrollTop = logs[at] >= 0 ? logs[at] : log.scrollHeight;
    });
    if (focus !== null) all("a, button, summary, [tabindex]", region)[focus]?.focus();
  };
  const pathTo = (region) =>
    all("a, button, summary, [tabindex]", region).indexOf(document.activeElement);
  const digest = (text) => {
    let sum = 0;
    for (let at = 0; at < text.length; at += 1) sum = (sum * 31 + text.charCodeAt(at)) | 0;
    return `${text.length}.${sum}`;
  };
  const listen = () => {
    const sign = one("#live");
    if (!one("[data-live]") || !window.EventSource) return;
    const source = new EventSource("/api/v1/events");
    const kinds = ["message", "run", "task", "alert", "machine", "repository", "point", "proof",
      "changed"];
    for (const kind of kinds) source.addEventListener(kind, later);
    const show = (isOn) => {
      sign.hidden = false;
      sign.classList.toggle("on", isOn);
      sign.title = isOn ? "This page renews itself" : "The connection is lost; trying again";
      one(".live-word", sign).textContent = isOn ? "Live" : "Waiting";
    };
    source.addEventListener("open", () => { show(true); });
    source.addEventListener("error", () => { show(false); });
    document.addEventListener("visibilitychange", later);
    addEventListener("pagehide", () => source.close());
  };

  // Copying.
  const copy = async (button) => {
    const said = one(".said", button);
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      said.textContent = "Copied";
      say("Copied");
    } catch { said.textContent = "Not allowed"; }
    setTimeout(() => { said.textContent = "Copy"; }, 1600);
  };

  // Dialogs. A question is asked before the deed; some must be answered with a name.
  const ask = (question, typed, word) => new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    const text = document.createElement("p");
    text.textContent = question;
    dialog.append(text);
    let input = null;
    if (typed) {
      const label = document.createElement("label");
      label.append("Type ", Object.assign(document.createElement("strong"),
        { textContent: typed }), " to confirm");
      input = Object.assign(document.createElement("input"), { type: "text",
        autocomplete: "off", spellcheck: false });
      label.append(input);
      dialog.append(label);
    }
    const foot = Object.assign(document.createElement("div"), { className: "form-foot" });
    const no = Object.assign(document.createElement("button"),
      { type: "button", className: "button", textContent: "Back" });
    const yes = Object.assign(document.createElement("button"), { type: "button",
      className: `button ${typed ? "danger" : "primary"}`, textContent: word });
    const check = () => { yes.disabled = Boolean(typed) && input.value !== typed; };
    foot.append(no, yes);
    dialog.append(foot);
    const end = (answer) => { dialog.close(); dialog.remove(); resolve(answer); };
    no.addEventListener("click", () => end(false));
    yes.addEventListener("click", () => end(true));
    dialog.addEventListener("cancel", () => end(false));
    input?.addEventListener("input", check);
    input?.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !yes.disabled) { event.preventDefault(); end(true); }
    });
    document.body.append(dialog);
    check();
    dialog.showModal();
    (input ?? yes).focus();
  });
  const tell = (text) => {
    say(text);
    const note = Object.assign(document.createElement("div"),
      { className: "toast", textContent: text });
    document.body.append(note);
    setTimeout(() => note.remove(), 6000);
  };

  // Deeds go to the API, with the key that shows that they come from a page of ours.
  const deed = async (form) => {
    const button = one("button[type=submit]", form);
    const word = button.textContent.trim();
    const { question, typed } = form.dataset;
    if (question && !await ask(question, typed, word)) return;
    button.disabled = true;
    try {
      const headers = { "content-type": "application/json",
        "x-lifeboat-form-key": form.dataset.key };
      const answer = await fetch(form.getAttribute("action"),
        { method: "POST", headers, body: form.dataset.body || undefined });
      const text = await answer.text();
      const value = text ? JSON.parse(text) : {};
      if (!answer.ok) {
        const said = [value.message ?? answer.statusText, value.hint].filter(Boolean).join("; ");
        throw new Error(said);
      };
      if (Number.isInteger(value.run)) { location.assign(`/runs/${value.run}`); return; }
      say(`${word}: done`);
      later();
    } catch (error) { tell(`${word}: ${error.message}`); }
    button.disabled = false;
  };

  // Search.
  const search = () => {
    const input = one("#search");
    const found = one("#found");
    if (!input) return;
    let number = 0;
    const links = () => all("a", found);
    const choose = (step) => {
      const list = links();
      const at = list.findIndex((it) => it.classList.contains("chosen"));
      list[at]?.classList.remove("chosen");
      const next = list[(at + step + list.length) % list.length];
      next?.classList.add("chosen");
      next?.scrollIntoView({ block: "nearest" });
    };
    const look = async () => {
      const mine = (number += 1);
      const text = input.value.trim();
      if (!text) { found.hidden = true; return; }
      const answer = await fetch(`/search?fragment=1&q=${encodeURIComponent(text)}`)
        .catch(() => null);
      if (!answer?.ok || mine !== number) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      found.replaceChildren(...page.body.childNodes);
      found.hidden = false;
      links()[0]?.classList.add("chosen");
      say(`${links().length} found`);
    };
    let wait = 0;
    input.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(look, 120); });
    input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") { event.preventDefault(); choose(1); }
      if (event.key === "ArrowUp") { event.preventDefault(); choose(-1); }
      const chosen = one("a.chosen", found);
      if (event.key === "Enter" && chosen && !found.hidden) {
        event.preventDefault();
        chosen.click();
      }
      if (event.key === "Escape") { found.hidden = true; input.blur(); }
    });
    document.addEventListener("click", (event) => {
      if (!event.target.closest(".search")) found.hidden = true;
    });
  };

  // Keys.
  let isGoing = 0;
  const key = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (one("dialog[open]")) return;
    if (event.key === "/") { event.preventDefault(); one("#search")?.focus(); return; }
    if (event.key === "?") { location.assign("/help"); return; }
    if (event.key === "g") { isGoing = Date.now(); return; }
    if (Date.now() - isGoing < 1500) {
      isGoing = 0;
      const link = all(".side [data-key]").find((it) => it.dataset.key === event.key);
      if (link) { event.preventDefault(); location.assign(link.href); }
    }
  };

  const theme = () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* For this page only. */ }
    say(`${root.dataset.theme} theme`);
  };

  const reveal = (within) => {
    for (const hidden of all("[data-copy][hidden], form[data-deed][hidden]", within)) {
      hidden.hidden = false;
    }
    for (const log of all(".log:not([data-seen])", within)) {
      log.dataset.seen = "";
      log.scrollTop = log.scrollHeight;
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    setClock(one("meta[name=now]")?.content);
    reveal(document);
    const button = one("#theme");
    if (button) { button.hidden = false; button.addEventListener("click", theme); }
    document.addEventListener("click", (event) => {
      const target = event.target.closest("[data-copy]");
      if (target) copy(target);
      const more = one(".more-places[open]");
      if (more && !event.target.closest(".more-places")) more.open = false;
    });
    document.addEventListener("submit", (event) => {
      if (event.target.matches("form[data-deed]")) { event.preventDefault(); deed(event.target); }
    });
    document.addEventListener("change", (event) => {
      if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
    });
    document.addEventListener("keydown", key);
    search();
    listen();
    follow();
    setInterval(tick, 1000);
  });
})();
