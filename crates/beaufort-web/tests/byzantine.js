// The worker of a member that lies, in one of two ways, by the script's query: `?forger` signs falsely once it is told
// to, by writing the key `forge`; `?twins` is two replicas with one key, each with half of the neighbours and with
// another value for whatever the page writes, which is how a member votes twice.

import { Driver } from "/byzantine/driver.js";
import { wasm } from "/byzantine/wasm.js";

const isForger = self.location.search === "?forger";

/** Keeps nothing: a liar has no use for its own word. */
const forgetful = { put: async () => {}, close: () => {} };

class Liar {
  #cores;
  #drivers;
  #post;
  /** Which replica has which link. */
  #links = new Map();

  constructor(identity, cores, post) {
    this.#cores = cores;
    this.#post = post;
    this.#drivers = cores.map((core, replica) => {
      const say = (messages) => this.#say(replica, messages);
      return new Driver({ identity, core, storage: forgetful, post: say });
    });
  }

  take(message) {
    switch (message.type) {
      case "opened":
        this.#links.set(message.link, this.#loneliest());
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

  /** The replica with the fewest links. */
  #loneliest() {
    const links = (replica) => Array.from(this.#links.values()).filter((other) => other === replica).length;
    return this.#drivers.map((_, replica) => replica).sort((one, other) => links(one) - links(other))[0];
  }

  #call(message) {
    const { id, method, args } = message;
    if (isForger && method === "set" && args[0] === "forge") {
      this.#cores.forEach((core) => core.forge(true));
      return this.#post([{ type: "result", id, error: "it lies from now on" }]);
    }
    this.#drivers.forEach((driver, replica) => {
      const value = replica === 0 ? args[1] : new TextEncoder().encode('"another value"');
      if (replica === 0 || method === "set") driver.call({ type: "call", id, method, args: [args[0], value] });
    });
  }

  /** The page hears the first replica's answers; what moves links, it hears from all. */
  #say(replica, messages) {
    this.#post(messages.filter(({ type }) => replica === 0 || !["result", "commit"].includes(type)));
  }
}

let liar = null;

self.onmessage = async ({ data }) => {
  if (liar) return liar.take(data);
  const { Core, Identity } = await wasm();
  const identity = new Identity(data.members, data.secret);
  const random = () => crypto.getRandomValues(new Uint8Array(32));
  const cores = Array.from({ length: isForger ? 1 : 2 }, () => new Core(identity, random(), undefined, []));
  liar = new Liar(identity, cores, (messages) => self.postMessage(messages));
  const { id, keys, network } = identity;
  self.postMessage([{ type: "started", self: id, keys, network }]);
};
