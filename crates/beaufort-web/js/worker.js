// The worker: consensus, cryptography and storage, away from the page's thread.

import { Driver } from "./driver.js";
import { Storage } from "./storage.js";
import { wasm } from "./wasm.js";

/** How long a tab that is being closed may take to let its store go. */
const HANDOVER = 10_000;

/** The application's rules: the ready-made ones, or a module's `allows(key, old, new)`. */
async function rules(access) {
  if (!access || access === "owner-signed") return access;
  const { allows } = await import(access);
  if (typeof allows !== "function") throw new Error(`${access} does not export a function \`allows\``);
  const decoder = new TextDecoder();
  return (key, old, value) => allows(decoder.decode(key), old ?? null, value ?? null);
}

/** Takes this member's store, which one tab at a time may have: two would contradict each other's votes. */
async function alone(name) {
  try {
    await new Promise((taken, refused) => {
      const hold = () => new Promise(() => taken());
      navigator.locks.request(name, { signal: AbortSignal.timeout(HANDOVER) }, hold).catch(refused);
    });
  } catch {
    throw new Error("this member is open in another tab or window: close it there first");
  }
}

async function start({ members, secret, access }) {
  const { Core, Identity } = await wasm();
  const identity = new Identity(members, secret);
  secret.fill(0);
  const { id, keys, network } = identity;
  const name = `beaufort ${network} ${id}`;
  await alone(name);
  const [storage, allowed] = await Promise.all([Storage.open(name), rules(access)]);
  const seed = crypto.getRandomValues(new Uint8Array(32));
  const core = new Core(identity, seed, allowed, await storage.all());
  return { identity, core, storage };
}

/** Messages for the page; what they carry to be sent goes over without being copied. */
function post(messages) {
  const buffers = messages.filter(({ type }) => type === "send").map(({ bytes }) => bytes.buffer);
  self.postMessage(messages, buffers);
}

let driver = null;

self.onmessage = async ({ data }) => {
  if (driver) return dispatch(data);
  try {
    const parts = await start(data);
    const { id, keys, network } = parts.identity;
    driver = new Driver({ ...parts, post });
    post([{ type: "started", self: id, keys, network }]);
  } catch (error) {
    post([{ type: "failed", message: String(error.message ?? error) }]);
  }
};

async function dispatch(message) {
  switch (message.type) {
    case "opened":
    case "closed":
    case "bytes":
    case "unreachable":
    case "call":
      driver[message.type](message);
      break;
    case "stop":
      await driver.stop();
      post([{ type: "stopped" }]);
      break;
  }
}
