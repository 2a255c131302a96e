// Small things that both pages show.

import { qr } from "./wasm/loyalty.js";

export const at = (id) => document.getElementById(id);

/** An element with properties and children: texts, elements, or nothing. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Keeps the pages on this device; where the browser refuses, they work as before. */
export function keepPages() {
  navigator.serviceWorker?.register(new URL("./sw.js", import.meta.url), { type: "module" }).catch(console.warn);
}

/** Says something under a form: what went well, or what went wrong. */
export function say(place, text, isError = false) {
  place.textContent = text;
  place.classList.toggle("error", isError);
}

/** Makes a form do something when it is sent; what goes wrong is said under it. */
export function onSubmit(form, act) {
  const output = form.querySelector("output");
  const button = form.querySelector("button[type=submit]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    say(output, "");
    try {
      await act((text) => say(output, text));
    } catch (error) {
      say(output, error.message, true);
    } finally {
      button.disabled = false;
    }
  });
}

/** Shows a slip to be handed over: as the QR code of a link to the page that takes it, and to copy. */
export function showSlip(place, { title, hint, page, text }) {
  const link = `${new URL(page, document.baseURI)}#${text}`;
  const picture = qr(link);
  const code = element("div", { className: "qr" });
  // The picture is drawn by the library, from squares alone.
  if (picture) code.innerHTML = picture;
  code.setAttribute("role", "img");
  code.setAttribute("aria-label", `QR code: ${title}`);
  const area = element("textarea", { value: text, readOnly: true, rows: 3, className: "slip" });
  area.setAttribute("aria-label", `${title}, as text`);
  place.replaceChildren(
    element("h3", {}, title),
    element("p", { className: "hint" }, hint),
    ...(picture ? [code] : []),
    area,
    element("div", { className: "row" }, copyButton("Copy", text), copyButton("Copy as link", link)),
  );
  place.hidden = false;
}

function copyButton(label, text) {
  const button = element("button", { type: "button", className: "quiet" }, label);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}

/** What a link brought behind its `#`, taken out of the address so that it is not taken again. */
export function takeFromAddress() {
  const text = decodeURIComponent(location.hash.slice(1));
  if (text) history.replaceState(null, "", location.pathname + location.search);
  return text;
}

/** When something was, for people: the time today, otherwise the day. */
export function whenText(time) {
  if (!time) return "earlier";
  const date = new Date(time);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday
    ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
    : date.toLocaleDateString([], { day: "numeric", month: "short" });
}
