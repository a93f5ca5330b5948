// A browser for /openapi.json: search, read, and try what only reads. Small and ours, because a strict policy and a shop
// without a network leave no room for a viewer from elsewhere.
const TEXTS = {
  es: {
    skip: "Ir a las operaciones", search: "Buscar", credentials: "Credenciales",
    credentials_hint: "Solo quedan en esta página. Una sesión de la consola funciona por sí sola.",
    parameters: "Parámetros", body: "Cuerpo", answers: "Respuestas", send: "Probar", name: "Nombre", type: "Tipo", meaning: "Significado",
    required: "obligatorio", status: "Estado", operations: "operaciones", failed: "No se pudo conectar",
  },
  en: {
    skip: "Skip to the operations", search: "Search", credentials: "Credentials",
    credentials_hint: "Kept in this page only. A session of the console works by itself.",
    parameters: "Parameters", body: "Body", answers: "Answers", send: "Try it", name: "Name", type: "Type", meaning: "Meaning",
    required: "required", status: "Status", operations: "operations", failed: "Could not connect",
  },
};
const language = navigator.language.startsWith("es") ? "es" : "en";
const t = (key) => TEXTS[language][key];
const METHODS = ["get", "post", "put", "patch", "delete"];

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
};

let description = {};

const resolve = (schema) => {
  if (!schema?.$ref) return schema ?? {};
  return schema.$ref.slice(2).split("/").reduce((part, key) => part?.[key], description) ?? {};
};

// An example of a schema: what it gives, or one made of its types. Depth is bounded, since schemas may be recursive.
function example(schema, depth = 0) {
  const known = resolve(schema);
  if (known.example !== undefined) return known.example;
  if (known.examples?.length) return known.examples[0];
  if (known.default !== undefined) return known.default;
  if (known.const !== undefined) return known.const;
  if (known.enum) return known.enum[0];
  const choice = (known.anyOf ?? known.oneOf ?? []).find((one) => one.type !== "null");
  if (choice) return example(choice, depth);
  if (depth > 5) return null;
  if (known.allOf) return Object.assign({}, ...known.allOf.map((one) => example(one, depth + 1)));
  const type = [known.type].flat()[0];
  if (type === "object" || known.properties) {
    return Object.fromEntries(Object.entries(known.properties ?? {}).map(([key, one]) => [key, example(one, depth + 1)]));
  }
  if (type === "array") return [example(known.items, depth + 1)];
  return { string: "text", integer: 1000, number: 1, boolean: true }[type] ?? null;
}

const typeOf = (schema) => {
  const known = resolve(schema);
  const choices = known.anyOf ?? known.oneOf;
  if (choices) return choices.map(typeOf).join(" | ");
  return known.enum ? known.enum.join(" | ") : [known.type ?? known.title ?? ""].flat().join(" | ");
};

function table(head, rows) {
  const cells = (tag, parts) => element("tr", {}, ...parts.map((part) => element(tag, {}, part)));
  return element("table", {}, element("thead", {}, cells("th", head)), element("tbody", {}, ...rows.map((row) => cells("td", row))));
}

const code = (value) => element("pre", { tabIndex: 0 }, typeof value === "string" ? value : JSON.stringify(value, null, 2));

function parameterRows(parameters) {
  return parameters.map((one) => [
    `${one.name} (${one.in})`,
    [typeOf(one.schema), one.required ? t("required") : ""].filter(Boolean).join(", "),
    one.description ?? resolve(one.schema).description ?? "",
  ]);
}

function tryForm(path, parameters) {
  const usable = parameters.filter((one) => one.in === "path" || one.in === "query");
  const fields = usable.map((one) => {
    const id = `try-${path}-${one.name}`;
    const input = element("input", { id, name: one.name, required: Boolean(one.required), autocomplete: "off" });
    return [element("label", { htmlFor: id }, one.name), input];
  });
  const answer = element("div", { ariaLive: "polite" });
  const form = element("form", { className: "try" }, ...fields.flat(), element("button", { type: "submit" }, t("send")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = new FormData(form);
    const query = new URLSearchParams();
    let target = path;
    for (const one of usable) {
      const value = given.get(one.name);
      if (one.in === "path") target = target.replace(`{${one.name}}`, encodeURIComponent(value));
      else if (value) query.append(one.name, value);
    }
    answer.replaceChildren(await send(query.size ? `${target}?${query}` : target));
  });
  return element("div", {}, form, answer);
}

async function send(target) {
  const headers = { Accept: "application/json" };
  const bearer = document.getElementById("bearer").value.trim();
  const key = document.getElementById("api-key").value.trim();
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  if (key) headers["X-API-Key"] = key;
  try {
    const reply = await fetch(target, { headers, credentials: "same-origin" });
    const text = await reply.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it came */ }
    return element("div", {}, element("p", {}, `GET ${target}: ${reply.status}`), code(shown));
  } catch {
    return element("p", {}, t("failed"));
  }
}

function operationOf(path, method, operation) {
  const parameters = (operation.parameters ?? []).map((one) => resolve(one));
  const body = operation.requestBody?.content ?? {};
  const summary = element("summary", {},
    element("span", { className: "method" }, method.toUpperCase()),
    element("span", { className: "path" }, path),
    element("span", { className: "summary" }, operation.summary ?? ""));
  const place = element("details", { className: "operation", id: operation.operationId }, summary);
  place.dataset.words = [method, path, operation.summary, operation.description, ...(operation.tags ?? [])].join(" ").toLowerCase();
  // Filled when it is opened: most of a large API is never looked at.
  place.addEventListener("toggle", () => {
    place.append(...[
      operation.description ? element("p", {}, operation.description) : null,
      parameters.length ? element("h3", {}, t("parameters")) : null,
      parameters.length ? table([t("name"), t("type"), t("meaning")], parameterRows(parameters)) : null,
      ...Object.entries(body).flatMap(([kind, media]) => [
        element("h3", {}, `${t("body")} (${kind})`),
        code(media.example ?? Object.values(media.examples ?? {})[0]?.value ?? example(media.schema)),
      ]),
      element("h3", {}, t("answers")),
      ...Object.entries(operation.responses ?? {}).map(([status, answer]) => {
        const [media] = Object.values(answer.content ?? {});
        const shown = media ? media.example ?? (media.schema ? example(media.schema) : null) : null;
        return element("details", {}, element("summary", {}, `${status}: ${answer.description ?? ""}`), shown === null ? "" : code(shown));
      }),
      method === "get" ? tryForm(path, parameters) : null,
    ].filter((part) => part !== null));
  }, { once: true });
  return place;
}

function show() {
  const groups = new Map();
  for (const [path, item] of Object.entries(description.paths)) {
    for (const method of METHODS.filter((one) => item[one])) {
      const name = item[method].tags?.[0] ?? "api";
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(operationOf(path, method, item[method]));
    }
  }
  const sections = [...groups].sort(([a], [b]) => a.localeCompare(b)).map(([name, operations]) =>
    element("section", {}, element("h2", {}, name), ...operations));
  document.getElementById("list").replaceChildren(...sections);
  document.getElementById("version").textContent = description.info.version;
  const about = (description.info.description ?? "").split("\n\n");
  document.getElementById("about").replaceChildren(...about.map((text) => element("p", {}, text.replaceAll(/[*`]/g, ""))));
}

function filter() {
  const words = document.getElementById("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const section of document.querySelectorAll("#list > section")) {
    let any = false;
    for (const place of section.querySelectorAll("details.operation")) {
      place.hidden = !words.every((word) => place.dataset.words.includes(word));
      if (!place.hidden) { any = true; shown += 1; }
    }
    section.hidden = !any;
  }
  document.getElementById("count").textContent = `${shown} ${t("operations")}`;
}

document.documentElement.lang = language;
for (const place of document.querySelectorAll("[data-text]")) place.textContent = t(place.dataset.text);
description = await (await fetch("/openapi.json")).json();
show();
filter();
document.getElementById("find").addEventListener("input", filter);
const named = location.hash && document.getElementById(location.hash.slice(1));
if (named) named.open = true;
