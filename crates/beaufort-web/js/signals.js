// What makes a channel between two pages, as it comes from outside: checked and bounded here, so that the
// rest of the package may rely on its form. docs/beaufort/signaling.md describes it.

const MAX_SDP = 8 * 1024;
const MAX_CANDIDATE = 1024;

const isText = (value, most) => typeof value === "string" && value.length <= most;
const isOptional = (value, check) => value === undefined || value === null || check(value);

/** A signal in its checked form, or `null` where it is none. */
export function checkSignal(signal) {
  if (!signal || !isText(signal.session, 64) || signal.session.length === 0) return null;
  const { type, session } = signal;
  if (type === "description") {
    const { kind, sdp } = signal;
    if ((kind !== "offer" && kind !== "answer") || !isText(sdp, MAX_SDP)) return null;
    return { type, session, kind, sdp };
  }
  if (type === "candidate") {
    const { candidate, sdpMid, sdpMLineIndex, usernameFragment } = signal;
    const sound =
      isText(candidate, MAX_CANDIDATE) &&
      isOptional(sdpMid, (value) => isText(value, 64)) &&
      isOptional(sdpMLineIndex, Number.isInteger) &&
      isOptional(usernameFragment, (value) => isText(value, 256));
    return sound ? { type, session, candidate, sdpMid, sdpMLineIndex, usernameFragment } : null;
  }
  return null;
}

/** An object from JSON text, or `null`. */
export function parse(text) {
  if (typeof text !== "string") return null;
  try {
    const message = JSON.parse(text);
    return typeof message === "object" ? message : null;
  } catch {
    return null;
  }
}

/** A random name for a session, in hexadecimal. */
export function randomName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}

/** Permits `burst` events at once and `rate` a second for long. */
export class Rate {
  #rate;
  #burst;
  #left;
  #at = performance.now();

  constructor(rate, burst) {
    this.#rate = rate;
    this.#burst = burst;
    this.#left = burst;
  }

  /** Whether one more is permitted now. */
  take() {
    const now = performance.now();
    this.#left = Math.min(this.#burst, this.#left + ((now - this.#at) / 1000) * this.#rate);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}

/** Times between attempts: doubling from `first` to `most` milliseconds, each shortened at random by up to half. */
export class Backoff {
  #first;
  #most;
  #next;

  constructor(first, most) {
    this.#first = first;
    this.#most = most;
    this.#next = first;
  }

  /** How long to wait before the next attempt. */
  wait() {
    const wait = this.#next * (1 - Math.random() / 2);
    this.#next = Math.min(this.#most, this.#next * 2);
    return wait;
  }

  /** An attempt has succeeded. */
  reset() {
    this.#next = this.#first;
  }
}
