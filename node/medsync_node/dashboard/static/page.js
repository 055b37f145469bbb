// What every page may use beyond HTML: printing, and saying what htmx keeps quiet. Pages do without it.
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}
const folded = [...document.querySelectorAll("details:not([open])")];
addEventListener("beforeprint", () => folded.forEach((one) => { one.open = true; }));
addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));
const say = (text) => { document.getElementById("stale").textContent = text; };
document.body.addEventListener("htmx:responseError", ({ detail }) => {
  if (detail.elt.id === "now") say("This can't be shown anew: load the page again.");
  else location.assign(detail.pathInfo.finalRequestPath);
});
document.body.addEventListener("htmx:sendError", () => say("The node doesn't answer. What is shown may be old; nothing was sent."));
document.body.addEventListener("htmx:sseError", () => say("Not live: the node doesn't answer. What is shown may be old."));
document.body.addEventListener("htmx:sseOpen", () => say(""));
