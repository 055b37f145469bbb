// Renders openapi.json as a list of calls: parameters, body and answer with an example shape for each.
"use strict";

const METHODS = ["get", "post", "put", "delete"];
const MAX_DEPTH = 6; // rules hold exceptions that are rules

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  for (const child of children) made.append(child);
  return made;
}

function resolve(schema, api) {
  if (!schema || !schema.$ref) return schema || {};
  return api.components.schemas[schema.$ref.split("/").pop()] || {};
}

function named(schema, api) {
  const one = resolve(schema, api);
  if (one.enum) return one.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (one.const !== undefined) return JSON.stringify(one.const);
  const options = one.anyOf || one.oneOf;
  if (options) return options.map((option) => named(option, api)).join(" | ");
  if (one.type === "array") return `[${named(one.items, api)}]`;
  if (one.title && one.properties) return one.title;
  return one.pattern ? `${one.type} ${one.pattern}` : one.type || "any";
}

function shape(schema, api, depth) {
  const one = resolve(schema, api);
  const options = (one.anyOf || one.oneOf || []).filter((option) => option.type !== "null");
  if (options.length) return shape(options[0], api, depth);
  if (one.type === "array") return depth > MAX_DEPTH ? [] : [shape(one.items, api, depth + 1)];
  if (!one.properties) return named(one, api);
  if (depth > MAX_DEPTH) return {};
  const made = {};
  for (const [name, field] of Object.entries(one.properties)) {
    const required = (one.required || []).includes(name);
    made[required ? name : `${name}?`] = shape(field, api, depth + 1);
  }
  return made;
}

function example(title, schema, api) {
  const described = resolve(schema, api).description;
  return [
    element("h3", {}, title),
    ...(described ? [element("p", {}, described)] : []),
    element("pre", {}, JSON.stringify(shape(schema, api, 0), null, 2)),
  ];
}

function parameters(call, api) {
  const rows = (call.parameters || []).map((one) =>
    element("tr", {}, element("td", {}, element("code", {}, one.name)), element("td", {}, one.in),
      element("td", {}, element("code", {}, named(one.schema, api))),
      element("td", {}, one.required ? "required" : "optional")));
  return rows.length ? [element("h3", {}, "Parameters"), element("table", {}, ...rows)] : [];
}

function json(content) {
  return content && content["application/json"] && content["application/json"].schema;
}

function render(path, method, call, api) {
  const body = json((call.requestBody || {}).content);
  const answer = json(((call.responses || {})["200"] || {}).content);
  const head = element("summary", {},
    element("span", { class: `method ${method}` }, method.toUpperCase()),
    element("code", {}, path), element("span", { class: "text" }, call.summary || ""));
  const inside = element("div", { class: "body" }, element("p", {}, call.description || ""),
    ...parameters(call, api), ...(body ? example("Body", body, api) : []),
    ...(answer && Object.keys(answer).length ? example("Answer", answer, api) : []));
  const made = element("details", {}, head, inside);
  made.dataset.words = `${method} ${path} ${call.summary} ${call.description}`.toLowerCase();
  return made;
}

async function start() {
  const api = await (await fetch("/openapi.json")).json();
  document.getElementById("about").textContent = `Version ${api.info.version}. ${api.info.description}`;
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((one) => item[one])) {
      const tag = (item[method].tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, element("section", {}, element("h2", {}, tag)));
      groups.get(tag).append(render(path, method, item[method], api));
    }
  }
  document.getElementById("calls").replaceChildren(...groups.values());
  document.getElementById("filter").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const call of document.querySelectorAll("details")) call.hidden = !call.dataset.words.includes(wanted);
    for (const group of groups.values()) group.hidden = !group.querySelector("details:not([hidden])");
  });
}

start();
