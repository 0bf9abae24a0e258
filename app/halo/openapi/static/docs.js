// Shows openapi.json. Whatever the document names is put in as text, never as markup.
"use strict";

const METHODS = ["get", "post", "delete"];
const HITS_MAX = 40;

fetch("openapi.json").then((answer) => answer.json()).then(show).catch((error) => {
  document.getElementById("waiting").textContent = `The document cannot be read: ${error}`;
});

function show(doc) {
  document.getElementById("version").textContent = doc.info.version;
  const main = document.getElementById("main");
  main.replaceChildren(intro(doc), ...groups(doc), errors(doc), schemas(doc));
  document.getElementById("contents").append(...contents(doc));
  find(entries(doc));
  follow();
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

// --- building blocks ---------------------------------------------------------------------------

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Text in which `...` is code. */
function prose(text = "") {
  const parts = text.split("`").map((part, place) => (place % 2 ? make("code", {}, part) : part));
  return make("span", {}, ...parts);
}

function paragraphs(text = "") {
  return text.trim().split(/\n\n+/).map((one) => make("p", {}, prose(one.replace(/\n/g, " "))));
}

function anchor(id) {
  return make("a", { class: "anchor", href: `#${id}`, "aria-label": "Link to this" }, "#");
}

function method(name) {
  return make("span", { class: `method ${name}` }, name === "delete" ? "DEL" : name.toUpperCase());
}

function table(rows) {
  return make("div", { class: "table" }, make("table", {}, make("tbody", {}, ...rows)));
}

function example(title, value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return make("div", {}, make("h4", {}, title), make("pre", { tabindex: "0" }, text));
}

// --- types -------------------------------------------------------------------------------------

function nameOf(schema) {
  return schema.$ref ? schema.$ref.split("/").pop() : null;
}

/** A schema in one line, with links to the schemas it names. */
function type(schema = {}) {
  const name = nameOf(schema);
  if (name) return make("a", { href: `#schema-${name}` }, name);
  if (schema.anyOf) return joined(schema.anyOf.map(type), " or ");
  if ("const" in schema) return make("code", {}, String(schema.const));
  const kinds = [schema.type ?? "anything"].flat().filter((kind) => kind !== "null");
  if (kinds[0] === "array") return make("span", {}, "array of ", type(schema.items));
  const format = schema.format && !schema.format.startsWith("int") ? ` ${format_(schema.format)}` : "";
  return make("span", {}, (kinds[0] ?? "null") + format, limits(schema));
}

function format_(format) {
  return format === "date-time-local" ? "date-time, UTC" : format;
}

function limits(schema) {
  const said = [];
  if (schema.enum) said.push(schema.enum.join(", "));
  if (schema.maxLength) said.push(`up to ${schema.maxLength} characters`);
  if (schema.minimum > -1e6) said.push(`from ${schema.minimum}`);
  if (schema.maximum < 1e6) said.push(`to ${schema.maximum}`);
  if ("default" in schema) said.push(`default ${schema.default}`);
  return said.length ? make("span", {}, `: ${said.join(", ")}`) : "";
}

function joined(nodes, between) {
  return make("span", {}, ...nodes.flatMap((node, place) => (place ? [between, node] : [node])));
}

function flag(text) {
  return make("span", { class: "flag" }, text);
}

function properties(owner, schema) {
  return Object.entries(schema.properties ?? {}).map(([name, one]) => {
    const id = `${owner}.${name}`;
    return make("tr", { id },
      make("td", {}, make("code", {}, name),
        one.readOnly ? flag("read only") : null, one.writeOnly ? flag("write only") : null,
        schema.required?.includes(name) ? flag("always") : null, anchor(id)),
      make("td", {}, type(one)),
      make("td", {}, prose(one.description)));
  });
}

// --- the parts of the page ---------------------------------------------------------------------

function intro(doc) {
  const flow = doc.components.securitySchemes.oauth2.flows.clientCredentials;
  const scopes = Object.entries(flow.scopes).map(([name, told]) =>
    make("tr", {}, make("td", {}, make("code", {}, name)), make("td", {}, told)));
  return make("section", { id: "top" },
    make("h1", {}, "The Paydue API"), ...paragraphs(doc.info.description),
    make("h4", {}, "A first request"),
    make("pre", { tabindex: "0" }, [
      "curl -d grant_type=client_credentials -d client_id=ID -d client_secret=SECRET \\",
      `  ${location.origin}${flow.tokenUrl}`,
      `curl -H 'Authorization: Bearer TOKEN' '${location.origin}/api/Invoice?paymentstatuses=0,-1'`,
    ].join("\n")),
    make("h4", { id: "scopes" }, "Scopes"), table(scopes));
}

function operations(doc) {
  return Object.entries(doc.paths).flatMap(([path, item]) =>
    METHODS.filter((name) => item[name]).map((name) => ({ path, name, ...item[name] })));
}

function groups(doc) {
  const all = operations(doc);
  return doc.tags.map(({ name }) => make("div", { id: `tag-${name}` },
    make("h2", { class: "group" }, name),
    ...all.filter((one) => one.tags[0] === name).map(operation)));
}

function operation(one) {
  const scope = one.security?.[0]?.oauth2?.[0];
  const takes = Object.values(one.requestBody?.content ?? {})[0];
  const [status, success] = Object.entries(one.responses).find(([, told]) => told.content);
  const gives = Object.values(success.content)[0];
  const headers = Object.entries(success.headers ?? {}).map(([name, told]) =>
    make("p", {}, make("code", {}, name), " ", prose(told.description)));
  return make("section", { class: "operation", id: one.operationId },
    make("h3", {}, one.summary, anchor(one.operationId)),
    make("div", { class: "line" }, method(one.name), make("span", { class: "path" }, one.path),
      make("span", { class: "scope" }, scope ? prose(`needs \`${scope}\``) : "needs no token")),
    ...paragraphs(one.description),
    one.parameters?.length ? make("h4", {}, "Parameters") : null,
    one.parameters?.length ? table(one.parameters.map((told) => parameter(one, told))) : null,
    takes ? make("h4", {}, "Body") : null,
    takes ? make("p", {}, type(takes.schema)) : null,
    takes?.schema.properties ? table(properties(one.operationId, takes.schema)) : null,
    make("h4", {}, "Answers"),
    make("p", {}, make("span", { class: "status" }, status), type(gives.schema)),
    ...headers,
    gives.schema.properties ? table(properties(`${one.operationId}.answer`, gives.schema)) : null,
    refusals(one),
    make("div", { class: "examples" },
      takes?.example ? example("Example body", takes.example) : null,
      gives.example ? example("Example answer", gives.example) : null));
}

function parameter(one, told) {
  const id = `${one.operationId}.${told.name}`;
  return make("tr", { id },
    make("td", {}, make("code", {}, told.name), told.in === "query" ? null : flag(told.in), anchor(id)),
    make("td", {}, type(told.schema)),
    make("td", {}, prose(told.description)));
}

function refusals(one) {
  const links = Object.entries(one.responses).filter(([, told]) => told.$ref).map(([status]) =>
    make("a", { href: `#error-${status}` }, status));
  return make("p", {}, "Refused with ", joined(links, ", "), ".");
}

function errors(doc) {
  const rows = Object.entries(doc.components.responses).map(([status, told]) => {
    const [content] = Object.values(told.content);
    return make("tr", { id: `error-${status}` },
      make("td", {}, make("span", { class: "status" }, status),
        make("code", {}, content.example.error), anchor(`error-${status}`)),
      make("td", {}, ...Object.keys(told.headers ?? {}).map((name) => make("div", {}, `header ${name}`))),
      make("td", {}, prose(told.description), make("pre", {}, JSON.stringify(content.example, null, 2))));
  });
  return make("div", { id: "errors" }, make("h2", { class: "group" }, "Errors"),
    make("p", {}, "The database is never left half changed by a request that was refused."), table(rows));
}

function schemas(doc) {
  const sections = Object.entries(doc.components.schemas).map(([name, schema]) =>
    make("section", { class: "schema", id: `schema-${name}` },
      make("h3", {}, name, anchor(`schema-${name}`)),
      table(properties(name, schema))));
  return make("div", { id: "schemas" }, make("h2", { class: "group" }, "Schemas"), ...sections);
}

function contents(doc) {
  const all = operations(doc);
  const tagged = doc.tags.flatMap(({ name }) => [make("h2", {}, name),
    ...all.filter((one) => one.tags[0] === name).map((one) =>
      make("a", { href: `#${one.operationId}` }, method(one.name), one.path.replace(/^\/api/, "")))]);
  const named = Object.keys(doc.components.schemas).map((name) =>
    make("a", { href: `#schema-${name}` }, name));
  return [make("a", { href: "#top" }, "Introduction"), make("a", { href: "#errors" }, "Errors"),
    ...tagged, make("h2", {}, "Schemas"), ...named];
}

/** Marks the place in the contents that is being read. */
function follow() {
  const links = new Map([...document.querySelectorAll("nav a")].map((one) => [one.hash.slice(1), one]));
  const seen = new IntersectionObserver((changes) => {
    const [first] = changes.filter((one) => one.isIntersecting);
    if (!first) return;
    for (const one of links.values()) one.removeAttribute("aria-current");
    const link = links.get(first.target.id);
    link?.setAttribute("aria-current", "true");
    link?.scrollIntoView({ block: "nearest" });
  }, { rootMargin: "-72px 0px -70% 0px" });
  for (const id of links.keys()) {
    const target = document.getElementById(id);
    if (target) seen.observe(target);
  }
}

// --- search ------------------------------------------------------------------------------------

/** Everything that can be found: where it is, what it is called, what is told of it. */
function entries(doc) {
  const found = [];
  for (const one of operations(doc)) {
    found.push({ id: one.operationId, name: one.path, method: one.name, kind: one.summary,
      told: one.description ?? "", weight: 0 });
    for (const told of one.parameters ?? [])
      found.push({ id: `${one.operationId}.${told.name}`, name: told.name,
        kind: `${one.name.toUpperCase()} ${one.path}`, told: told.description, weight: 2 });
  }
  for (const [name, schema] of Object.entries(doc.components.schemas)) {
    found.push({ id: `schema-${name}`, name, kind: "schema", told: "", weight: 1 });
    for (const [property, told] of Object.entries(schema.properties ?? {}))
      found.push({ id: `${name}.${property}`, name: property, kind: `property of ${name}`,
        told: told.description ?? "", weight: 1 });
  }
  for (const [status, told] of Object.entries(doc.components.responses))
    found.push({ id: `error-${status}`, name: status, kind: "error", told: told.description, weight: 1 });
  return found.map((one) => ({ ...one,
    text: `${one.method ?? ""} ${one.name} ${one.kind} ${one.told}`.toLowerCase() }));
}

function ranked(all, words) {
  const rank = (one) => {
    const name = one.name.toLowerCase().replace("/api/", "");
    const at = name === words[0] ? 0 : name.startsWith(words[0]) ? 1 : name.includes(words[0]) ? 2 : 3;
    return at * 10 + one.weight;
  };
  return all.filter((one) => words.every((word) => one.text.includes(word)))
    .sort((a, b) => rank(a) - rank(b)).slice(0, HITS_MAX);
}

function find(all) {
  const input = document.getElementById("search");
  const list = document.getElementById("hits");
  let chosen = -1;

  const close = () => { list.hidden = true; input.setAttribute("aria-expanded", "false"); };
  const choose = (place) => {
    const items = [...list.querySelectorAll("[role=option]")];
    if (!items.length) return;
    chosen = (place + items.length) % items.length;
    items.forEach((one, at) => one.setAttribute("aria-selected", String(at === chosen)));
    items[chosen].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", items[chosen].id);
  };
  const search = () => {
    const words = input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return close();
    const hits = ranked(all, words);
    list.replaceChildren(...(hits.length ? hits.map(hit) : [make("li", { class: "none" }, "Nothing is called that.")]));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    choose(0);
  };
  const go = () => {
    list.querySelectorAll("[role=option] a")[chosen]?.click();
    close();
    input.blur();
  };

  input.addEventListener("input", search);
  input.addEventListener("focus", search);
  list.addEventListener("click", () => setTimeout(close));
  document.addEventListener("click", (event) => { if (!event.target.closest(".finder")) close(); });
  input.addEventListener("keydown", (event) => {
    const does = { ArrowDown: () => choose(chosen + 1), ArrowUp: () => choose(chosen - 1), Enter: go,
      Escape: () => { input.value = ""; close(); input.blur(); } }[event.key];
    if (does) { event.preventDefault(); does(); }
  });
  document.addEventListener("keydown", (event) => {
    const wanted = event.key === "/" || (event.key === "k" && (event.ctrlKey || event.metaKey));
    if (wanted && document.activeElement !== input) { event.preventDefault(); input.focus(); input.select(); }
  });
}

function hit(one, place) {
  return make("li", { role: "option", id: `hit-${place}`, "aria-selected": "false" },
    make("a", { href: `#${one.id}`, tabindex: "-1" },
      one.method ? method(one.method) : null, make("code", {}, one.name),
      make("span", { class: "kind" }, one.kind)));
}
