// Beaufort for a page: a replicated key-value store whose replicas are browsers.
//
//     const store = new Beaufort({ members, privateKey, signaling: ["wss://example.org/"] });
//     const { won } = await store.set("greeting", "hello");
//     store.listen("greeting", (entry) => console.log(entry.json()));
//
// The replica itself runs in a worker. Only pages can have WebRTC connections, so that this carries bytes between
// the two.

import { PrivateKey } from "./keys.js";
import { call } from "./library.js";
import { Peers } from "./peers.js";

export { PrivateKey };

/** A decided value, and the proof that the network decided it. */
export class Entry {
  constructor({ key, view, value, certificate }) {
    this.key = key;
    this.view = view;
    this.value = value;
    this.certificate = certificate;
  }

  /** The value as text; `null` where the key was deleted. */
  text() {
    return this.value && new TextDecoder().decode(this.value);
  }

  /** The value from JSON; `null` where the key was deleted. */
  json() {
    return this.value && JSON.parse(this.text());
  }
}

export class Beaufort {
  /** Resolves once the stored state is loaded; rejects where it cannot be. */
  ready;

  #worker;
  #peers = null;
  #start = null;
  #calls = new Map();
  #nextCall = 1;
  #listeners = new Map();
  #failure = null;
  #started = withResolvers();
  #stopped = withResolvers();
  #network;

  constructor({ members, privateKey, signaling = [], accessControl, iceServers = [], worker }) {
    if (!(privateKey instanceof PrivateKey)) {
      throw new TypeError("privateKey must be a PrivateKey: generate, load or fromHex one");
    }
    if (typeof accessControl === "function") {
      throw new TypeError(
        'accessControl must be "owner-signed" or the URL of a module that exports `allows`: a function cannot go into the worker',
      );
    }
    this.ready = this.#started.promise.then(() => undefined);
    // Whoever calls something hears of a failure; nobody has to watch `ready` for it.
    this.ready.catch(() => {});
    const script = worker ?? new URL("./worker.js", import.meta.url);
    this.#worker = new Worker(script, { type: "module" });
    this.#worker.onmessage = ({ data }) => data.forEach((message) => this.#heard(message));
    this.#worker.onerror = (event) => {
      this.#fail(`the worker cannot run: ${event.message ?? "its script did not load"}`);
    };
    this.#network = { signaling, configuration: { iceServers } };
    const secret = privateKey.exposeBytes();
    const isModule = accessControl !== undefined && accessControl !== "owner-signed";
    const access = isModule ? new URL(accessControl, document.baseURI).href : accessControl;
    this.#worker.postMessage({ members, secret, access }, [secret.buffer]);
  }

  /** The value of a key, or `null` where it never had one. A deleted key has an entry whose value is `null`. */
  async get(key) {
    const entry = await this.#call("get", checkKey(key));
    return entry && new Entry({ key, ...entry });
  }

  /**
   * Proposes a value for a key. Bytes are taken as they are, anything else as JSON. Resolves once the network has
   * decided: whether this value won over others proposed at the same time, and the entry that was decided.
   */
  async set(key, value) {
    const { won, entry } = await this.#call("set", checkKey(key), bytesOf(value));
    return { won, entry: new Entry({ key, ...entry }) };
  }

  /** Proposes to delete a key; resolves as `set` does. */
  async delete(key) {
    const { won, entry } = await this.#call("delete", checkKey(key));
    return { won, entry: new Entry({ key, ...entry }) };
  }

  /** All keys that ever had a value. */
  async keys() {
    return this.#call("keys");
  }

  /**
   * Calls back with each new entry of a key, or of all keys that begin with `{prefix}`. Returns a function that
   * ends it.
   */
  listen(key, callback) {
    const pattern = typeof key === "string" ? { key } : { prefix: String(key.prefix) };
    const listener = Symbol("listener");
    this.#listeners.set(listener, { pattern, callback });
    this.#tellPatterns();
    return () => {
      this.#listeners.delete(listener);
      this.#tellPatterns();
    };
  }

  /** The members in their order: place, public key, and how this page stands to each. */
  async members() {
    const { neighbours, excluded } = await this.#call("status");
    const { self, keys } = await this.#started.promise;
    return keys.map((key, id) => ({
      id,
      key,
      isSelf: id === self,
      isConnected: neighbours.includes(id),
      exclusion: excluded.find(({ member }) => member === id)?.reason ?? null,
    }));
  }

  /** How the replica and its connections are. */
  async status() {
    const status = await this.#call("status");
    const { self, network } = await this.#started.promise;
    return { self, network, ...status, signaling: this.#peers.signaling() };
  }

  /** Proof of who contradicted itself, for anyone to check. */
  async evidence() {
    return this.#call("evidence");
  }

  /** Ends all connections; what was decided is kept. Calls that wait are rejected. */
  async close() {
    if (this.#failure) return;
    const wasStarted = this.#start !== null;
    this.#fail("it was closed");
    this.#peers?.close();
    if (wasStarted) {
      this.#worker.postMessage({ type: "stop" });
      await this.#stopped.promise;
    }
    this.#worker.terminate();
  }

  async #call(method, ...args) {
    await this.#started.promise;
    if (this.#failure) throw this.#failure;
    const id = this.#nextCall++;
    const answer = withResolvers();
    this.#calls.set(id, answer);
    this.#worker.postMessage({ type: "call", id, method, args });
    return answer.promise;
  }

  #tellPatterns() {
    const patterns = Array.from(this.#listeners.values(), ({ pattern }) => pattern);
    this.#call("listen", patterns).catch(() => {});
  }

  #fail(message) {
    this.#failure ??= new Error(message);
    this.#started.reject(this.#failure);
    this.#calls.forEach(({ reject }) => reject(this.#failure));
    this.#calls.clear();
  }

  #heard(message) {
    switch (message.type) {
      case "started":
        this.#connect(message);
        break;
      case "failed":
        this.#fail(message.message);
        this.#peers?.close();
        break;
      case "stopped":
        this.#stopped.resolve();
        break;
      case "send":
        this.#peers?.send(message.link, message.bytes);
        break;
      case "proven":
        this.#peers?.prove(message.link, message.member);
        break;
      case "drop":
        this.#peers?.drop(message.link, message.reason);
        break;
      case "want":
        this.#peers?.want(message.member);
        break;
      case "unwant":
        this.#peers?.unwant(message.member);
        break;
      case "result":
        this.#settle(message);
        break;
      case "commit":
        this.#committed(message);
        break;
    }
  }

  #connect(start) {
    if (this.#failure) return;
    const { self, keys, network } = start;
    const post = (message, transfer = []) => this.#worker.postMessage(message, transfer);
    this.#peers = new Peers({
      self,
      keys,
      room: network,
      ...this.#network,
      events: {
        opened: (link, session, binding) => post({ type: "opened", link, session, binding }),
        bytes: (link, buffer) => post({ type: "bytes", link, buffer }, [buffer]),
        closed: (link) => post({ type: "closed", link }),
        unreachable: (member) => post({ type: "unreachable", member }),
      },
    });
    this.#start = start;
    this.#started.resolve(start);
  }

  #settle({ id, value, error }) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (error !== undefined) call?.reject(new Error(error));
    else call?.resolve(value);
  }

  #committed({ key, entry }) {
    for (const { pattern, callback } of this.#listeners.values()) {
      if (pattern.key !== key && !(pattern.prefix !== undefined && key.startsWith(pattern.prefix))) continue;
      try {
        callback(new Entry({ key, ...entry }));
      } catch (error) {
        // A listener's mistake is the application's, and must not stop the others.
        reportError(error);
      }
    }
  }
}

/**
 * Checks that the network of these members decided this value (`null`: a deletion) for a key. Throws where the
 * certificate does not show it.
 */
export async function verifyCertificate(members, key, value, certificate) {
  return call("verifyCertificate", members, key, value ?? undefined, certificate);
}

/**
 * A value for a key of a network with `accessControl: "owner-signed"`, as bytes to set: signed with the key of who
 * owns what is there now (`old`), and from then on `owner`'s.
 */
export async function signOwned({ privateKey, key, old = null, owner, content }) {
  return call("signOwned", privateKey.exposeBytes(), key, old ?? undefined, owner, bytesOf(content));
}

/** `{owner, content}` of such a value, or `null` where it is none. */
export async function decodeOwned(value) {
  return (await call("decodeOwned", value)) ?? null;
}

function withResolvers() {
  let resolve, reject;
  const promise = new Promise((one, other) => ([resolve, reject] = [one, other]));
  return { promise, resolve, reject };
}

function checkKey(key) {
  if (typeof key !== "string") throw new TypeError("a key is a string");
  return key;
}

/** Bytes as they are, anything else as JSON. */
function bytesOf(value) {
  if (value instanceof Uint8Array) return value;
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError("a value is a Uint8Array or something that JSON can hold");
  return new TextEncoder().encode(text);
}
