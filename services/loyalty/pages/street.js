// The street: who its shops are, and their rules. Everything that is signed or checked is so in the compiled library.

import init, { Points } from "./wasm/loyalty.js";

/** Loads the library. */
export const library = () => init({ module_or_path: new URL("./wasm/loyalty_bg.wasm", import.meta.url) });

/** The street that `street.json` describes, or `null` where there is no such file yet. */
export async function openStreet() {
  await library();
  const response = await fetch(new URL("./street.json", import.meta.url));
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`street.json cannot be had: the server answers ${response.status}`);
  return new Street(await response.text());
}

class Street {
  constructor(file) {
    // Refuses a file that is not right, before anything else looks at it.
    this.points = new Points(file);
    const { name, shops, signaling = [], iceServers = [] } = JSON.parse(file);
    Object.assign(this, { name, shops, signaling, iceServers });
    this.members = shops.map(({ key }) => key);
  }

  /** The shop with this till, if it is one. */
  shop(till) {
    return this.shops.find((shop) => shop.till === till);
  }

  /** What people call a holder: a shop's name, and of a customer's code what is enough to tell customers apart. */
  nameOf(holder) {
    return this.shop(holder)?.name ?? `Customer ${holder.slice(0, 4)}`;
  }
}

/** "1 point", "2 points". */
export const counted = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
