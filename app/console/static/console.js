// Keys, copies and the box. Every page reads and works without this file.
(() => {
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const box = one("#q"), panel = one("#panel"), hits = one("#hits");
  // The page's language: its words, and what it writes within numbers.
  const { copied, selected, keys, close, group, point } = document.body.dataset;
  const rows = () => all(".rows tbody tr").filter((row) => one("a.open", row));

  // --- the box: results as you type, chosen by the arrow keys
  const options = () => all("[role=option]", hits);
  const chosen = () => one("[aria-selected=true]", hits);
  const open = (shown) => {
    panel.hidden = !shown;
    box.setAttribute("aria-expanded", String(shown));
  };
  const choose = (hit) => {
    for (const other of options()) other.setAttribute("aria-selected", String(other === hit));
    if (!hit) return box.removeAttribute("aria-activedescendant");
    box.setAttribute("aria-activedescendant", hit.id);
    hit.scrollIntoView({ block: "nearest" });
  };
  const move = (step) => {
    const found = options();
    if (found.length) choose(found[(found.indexOf(chosen()) + step + found.length) % found.length]);
  };
  // --- recent ones: kept in this browser alone, for this person, until they sign out
  const KEPT = "paydue-recent", RECENT_MAX = 6;
  const viewer = box?.form.dataset.viewer;
  const recent = () => {
    try {
      const kept = JSON.parse(localStorage.getItem(KEPT));
      return kept?.viewer === viewer ? kept.records : [];
    } catch {
      return []; // a browser may keep nothing
    }
  };
  const remember = ({ recent: icon, title }) => {
    const record = { icon, title, href: location.pathname };
    const records = [record, ...recent().filter((other) => other.href !== record.href)];
    try {
      localStorage.setItem(KEPT, JSON.stringify({ viewer, records: records.slice(0, RECENT_MAX) }));
    } catch {}
  };
  const showRecent = () => {
    const group = one("[data-recents]", hits), like = one("[role=option]", hits);
    if (!group || !like) return;
    recent().forEach(({ icon, title, href }, place) => {
      const hit = like.cloneNode(true), use = one("use", hit);
      hit.id = `recent-${place}`;
      hit.href = href;
      use.setAttribute("href", use.getAttribute("href").replace(/#.*/, `#${icon}`));
      one(".what", hit).textContent = title;
      group.append(hit);
      group.hidden = false;
    });
  };
  if (one("main[data-recent]")) remember(one("main").dataset);
  one(".sign-out")?.addEventListener("submit", () => localStorage.removeItem(KEPT));

  if (box) {
    box.form.addEventListener("htmx:after:swap", () => {
      showRecent();
      if (document.activeElement !== box) return;
      open(hits.childElementCount > 0);
      choose(options()[0]);
    });
    box.addEventListener("focus", () => open(hits.childElementCount > 0));
    // Whoever is in the box before htmx listens has not been heard.
    box.form.addEventListener("htmx:after:init", () => {
      if (document.activeElement === box) box.dispatchEvent(new Event("focus"));
    });
    box.form.addEventListener("focusout", (event) => {
      if (!box.form.contains(event.relatedTarget)) open(false);
    });
    box.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        move(event.key === "ArrowDown" ? 1 : -1);
        event.preventDefault();
      } else if (event.key === "Escape") {
        open(false);
        box.blur();
        event.preventDefault();
      } else if (event.key === "Enter" && !panel.hidden && chosen()) {
        // The results of what was typed before are not what is asked for now: the server searches.
        if (one("[data-of]", hits)?.dataset.of !== box.value) return;
        const href = chosen().getAttribute("href");
        event.ctrlKey || event.metaKey ? window.open(href) : (location.href = href);
        event.preventDefault();
      }
    });
  }

  // --- copies
  const toast = (text) => {
    const said = document.createElement("div");
    said.className = "toast";
    said.setAttribute("role", "status");
    said.textContent = text;
    document.body.append(said);
    setTimeout(() => said.remove(), 2500);
  };
  const copy = (button) => {
    const text = button.dataset.copy;
    const done = () => toast(`${copied} ${text}`);
    if (navigator.clipboard) return navigator.clipboard.writeText(text).then(done, () => {});
    getSelection().selectAllChildren(one(".id", button)); // without https, the browser's own copy
    done(document.execCommand("copy"));
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
    if (event.target.closest("[data-print]")) print();
  });

  // --- a list: one row is at hand, some are ticked
  const at = () => rows().findIndex((row) => row.classList.contains("at"));
  const goto = (place) => {
    const found = rows();
    if (!found.length) return;
    const next = found[Math.max(0, Math.min(place, found.length - 1))];
    found.forEach((row) => row.classList.toggle("at", row === next));
    one("a.open", next).focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };
  const bar = one("#selected");
  const tally = () => {
    const ticked = all(".rows tbody input:checked");
    if (!bar) return;
    bar.hidden = !ticked.length;
    // Whole minor units: no sum is ever made of floating numbers.
    const sums = new Map();
    for (const tick of ticked) {
      const { minor, currency, places } = tick.dataset;
      const known = sums.get(currency) ?? { minor: 0n, places: +places };
      sums.set(currency, { ...known, minor: known.minor + BigInt(minor) });
    }
    const shown = [...sums].sort().map(([currency, { minor, places }]) => {
      const digits = String(minor < 0n ? -minor : minor).padStart(places + 1, "0");
      const whole = digits.slice(0, digits.length - places).replace(/\B(?=(\d{3})+$)/g, group);
      return `${currency} ${minor < 0n ? "−" : ""}${whole}${places ? point + digits.slice(-places) : ""}`;
    });
    one("[data-count]", bar).textContent = `${ticked.length} ${selected}`;
    one("[data-sums]", bar).textContent = shown.join("   ");
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) {
      for (const tick of all(".rows tbody input[type=checkbox]")) tick.checked = event.target.checked;
    }
    if (event.target.closest(".rows")) tally();
  });
  tally();
  one("[data-clear]")?.addEventListener("click", () => {
    for (const tick of all(".rows input[type=checkbox]")) tick.checked = false;
    tally();
  });

  // --- keys
  const help = () => {
    const dialog = document.createElement("dialog");
    const title = document.createElement("h2");
    title.textContent = keys;
    const list = one(".keys")?.cloneNode(true) ?? document.createElement("p");
    list.removeAttribute("aria-hidden");
    list.classList.add("shown");
    const shut = document.createElement("button");
    shut.className = "btn";
    shut.textContent = close;
    shut.addEventListener("click", () => dialog.close());
    dialog.append(title, list, shut);
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  };
  const unfold = () => {
    const folded = all("main details.payload-of");
    const shut = folded.some((details) => !details.open);
    for (const details of folded) details.open = shut;
  };
  const acts = {
    "/": () => box?.select() ?? box?.focus(),
    j: () => goto(at() + 1),
    k: () => goto(at() < 0 ? 0 : at() - 1),
    x: () => one(".rows tr.at input[type=checkbox]")?.click(),
    o: unfold,
    c: () => one("main [data-copy]")?.click(),
    n: () => one("main a[rel=next]")?.click(),
    "?": help,
  };
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "k") {
      event.preventDefault();
      return box?.select();
    }
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const own = all("main [data-key]").find((link) => link.dataset.key === event.key);
    const act = own ? () => own.click() : acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  // --- a notice is shown once: the address forgets it
  const url = new URL(location.href);
  if (url.searchParams.has("done")) {
    url.searchParams.delete("done");
    history.replaceState(null, "", url);
    setTimeout(() => one(".toast")?.remove(), 6000);
  }
})();
