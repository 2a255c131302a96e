// The worker of a member that lies. It is two replicas with one key, each with some of the neighbours: that is how
// a member votes twice. Both sign falsely while told so.
//
// It is driven by what the page writes: `lie/forge` and `lie/tell-the-truth` are not proposed but obeyed, and every
// other value is proposed as it is by the first replica, and with a mark by the second one.

import init, { Core, Identity } from "/byzantine/wasm/beaufort_web.js";
import { Driver } from "/package/driver.js";

const encoder = new TextEncoder();

/** Keeps nothing: a liar has no use for its own word. */
const forgetful = { put: async () => {}, close: () => {} };

/** What both replicas need of each other. */
class Twins {
  #drivers;
  #cores;
  #post;
  /** Which twin has which link. */
  #links = new Map();

  constructor(identity, post) {
    const random = () => crypto.getRandomValues(new Uint8Array(32));
    this.#post = post;
    this.#cores = [0, 1].map(() => new Core(identity, random(), undefined, []));
    this.#drivers = this.#cores.map(
      (core, twin) =>
        new Driver({ identity, core, storage: forgetful, post: (messages) => this.#say(twin, messages) }),
    );
  }

  take(message) {
    switch (message.type) {
      case "opened":
        this.#links.set(message.link, this.#lonelier());
        this.#drivers[this.#links.get(message.link)].opened(message);
        break;
      case "bytes":
        this.#drivers[this.#links.get(message.link)]?.bytes(message);
        break;
      case "closed":
        this.#drivers[this.#links.get(message.link)]?.closed(message);
        this.#links.delete(message.link);
        break;
      case "unreachable":
        this.#drivers.forEach((driver) => driver.unreachable(message));
        break;
      case "call":
        this.#call(message);
        break;
    }
  }

  /** The twin with fewer links. */
  #lonelier() {
    const second = Array.from(this.#links.values()).filter((twin) => twin === 1).length;
    return this.#links.size - second > second ? 1 : 0;
  }

  #call({ id, method, args: [key, value] }) {
    if (key === "lie/forge" || key === "lie/tell-the-truth") {
      this.#cores.forEach((core) => core.forge(key === "lie/forge"));
      return this.#post([{ type: "result", id, value: { won: true, entry: {} } }]);
    }
    const other = value instanceof Uint8Array ? encoder.encode('"the other value"') : value;
    this.#drivers[0].call({ type: "call", id, method, args: [key, value] });
    if (method !== "set") return;
    this.#drivers[1].call({ type: "call", id: -id, method, args: [key, other] });
  }

  /** The page hears the first twin's answers; what moves links, it hears from both. */
  #say(twin, messages) {
    this.#post(messages.filter(({ type }) => twin === 0 || !["result", "commit"].includes(type)));
  }
}

let twins = null;

self.onmessage = async ({ data }) => {
  if (twins) return twins.take(data);
  await init();
  const identity = new Identity(data.members, data.secret);
  twins = new Twins(identity, (messages) => self.postMessage(messages));
  const { id, keys, network } = identity;
  self.postMessage([{ type: "started", self: id, keys, network }]);
};
