// Keeps a page on the device for when its server cannot be reached. A service worker of two lines uses it:
//
//     import { keep } from "./beaufort/offline.js";
//     keep("./", "app.js");
//
// The package's own files are kept with those that it names. While the server can be reached, everything comes from
// there: members with different versions of an application's rules do not agree.

import { FILES, VERSION } from "./files.js";

/** A server that has not begun to answer after so many milliseconds is passed over. */
const PATIENCE = 3_000;
/** Caches of this page, of whatever version. */
const PREFIX = `beaufort ${self.registration.scope} `;
const CACHE = PREFIX + VERSION;

/** Keeps these files, by their addresses as the service worker sees them; a query does not count. */
export function keep(...files) {
  const own = files.map((file) => new URL(file, self.location));
  const kept = new Set([...own, ...FILES.map((file) => new URL(file, import.meta.url))].map(nameOf));

  self.addEventListener("install", (event) => {
    self.skipWaiting();
    event.waitUntil(Promise.all(Array.from(kept, async (name) => put(name, await fetch(name, { cache: "no-cache" })))));
  });
  self.addEventListener("activate", (event) => {
    event.waitUntil(Promise.all([forgetOthers(), self.clients.claim()]));
  });
  self.addEventListener("fetch", (event) => {
    const name = nameOf(new URL(event.request.url));
    if (event.request.method !== "GET" || !kept.has(name)) return;
    const answer = fetch(event.request);
    event.waitUntil(answer.then((response) => put(name, response.clone())).catch(() => {}));
    event.respondWith(orKept(answer, name));
  });
}

const nameOf = ({ origin, pathname }) => origin + pathname;

/** Keeps a file. What a redirection led to may not answer for the page itself later. */
async function put(name, response) {
  if (response.status === 200 && !response.redirected) await (await caches.open(CACHE)).put(name, response);
}

/** The server's answer, or what is kept where there is none in time. */
async function orKept(answer, name) {
  const kept = await (await caches.open(CACHE)).match(name);
  if (!kept) return answer;
  const late = new Promise((resolve) => setTimeout(() => resolve(kept), PATIENCE));
  const sound = answer.then((response) => (response.status < 500 ? response : kept));
  return Promise.race([sound.catch(() => kept), late]);
}

/** Removes what other versions kept. */
async function forgetOthers() {
  const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(names.map((name) => caches.delete(name)));
}
