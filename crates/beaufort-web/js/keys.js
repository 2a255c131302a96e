// A member's private key, in a wrapper that does not leave by accident: it cannot be turned into JSON, does not
// show in logs, and structured cloning finds nothing in it. It is stored only where `save` is called, and then
// encrypted under a key of the browser that scripts cannot read either.

import { call } from "./library.js";

const DATABASE = "beaufort keys";
const STORE = "keys";
const LENGTH = 32;

export class PrivateKey {
  #bytes;

  /** A key from its 32 bytes. */
  constructor(bytes) {
    if (!(bytes instanceof Uint8Array) || bytes.length !== LENGTH) {
      throw new TypeError("a private key has 32 bytes");
    }
    this.#bytes = bytes.slice();
  }

  /** A new key. */
  static async generate() {
    return new PrivateKey(await call("generateSecret", crypto.getRandomValues(new Uint8Array(LENGTH))));
  }

  /** A key from the 64 hexadecimal characters of a key file. */
  static fromHex(text) {
    if (typeof text !== "string" || !/^[0-9a-fA-F]{64}$/.test(text.trim())) {
      throw new TypeError("a private key has 64 hexadecimal characters");
    }
    return new PrivateKey(Uint8Array.from(text.trim().match(/../g), (pair) => parseInt(pair, 16)));
  }

  /** The public key that belongs to it, in hexadecimal: what the other members list. */
  async publicKey() {
    return call("publicKey", this.#bytes);
  }

  /** The key itself, in hexadecimal: for a backup, and for nothing else. */
  exposeHex() {
    return Array.from(this.#bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  /** The key's bytes, for the worker that signs with it. */
  exposeBytes() {
    return this.#bytes.slice();
  }

  /** Stores the key in this browser under a name, in place of what was there. */
  async save(name) {
    const wrapping = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, [
      "encrypt",
      "decrypt",
    ]);
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const encrypted = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, wrapping, this.#bytes);
    await keep("readwrite", (store) => store.put({ wrapping, iv, encrypted }, name));
  }

  /** The key that was saved under a name, or `null`. */
  static async load(name) {
    const kept = await keep("readonly", (store) => store.get(name));
    if (!kept) return null;
    const { wrapping, iv, encrypted } = kept;
    const bytes = await crypto.subtle.decrypt({ name: "AES-GCM", iv }, wrapping, encrypted);
    return new PrivateKey(new Uint8Array(bytes));
  }

  /** Removes the key that was saved under a name. */
  static async forget(name) {
    await keep("readwrite", (store) => store.delete(name));
  }

  toJSON() {
    throw new TypeError("a private key is not for JSON; exposeHex() gives it where that is really meant");
  }

  toString() {
    return "PrivateKey(..)";
  }
}

/** Runs one request on the stored keys. */
async function keep(mode, ask) {
  const database = await new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = ask(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}
