// What the page itself wants of the compiled module, in a worker of its own: to check a certificate takes milliseconds
// for each member, in which the page could not answer anybody.

let worker = null;
let nextCall = 1;
const calls = new Map();

/** Calls a function of the module. */
export function call(method, ...args) {
  worker ??= start();
  return new Promise((resolve, reject) => {
    worker.postMessage({ id: nextCall, method, args });
    calls.set(nextCall++, { resolve, reject });
  });
}

function start() {
  const started = new Worker(new URL("./library-worker.js", import.meta.url), { type: "module" });
  started.onmessage = ({ data: { id, value, error } }) => {
    const { resolve, reject } = calls.get(id);
    calls.delete(id);
    if (error === undefined) resolve(value);
    else reject(new Error(error));
  };
  // A script that did not load may do so the next time.
  started.onerror = ({ message }) => {
    worker = null;
    calls.forEach(({ reject }) => reject(new Error(`the worker cannot run: ${message ?? "its script did not load"}`)));
    calls.clear();
  };
  return started;
}
