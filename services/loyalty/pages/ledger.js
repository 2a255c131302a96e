// All lots as this tablet knows them, and what became of what it proposed.

import { Proof, readLot } from "./wasm/loyalty.js";

const TIMES = "loyalty times";
/** How many changes are remembered with the time at which this tablet heard of them. */
const MAX_TIMES = 300;

export class Ledger extends EventTarget {
  #store;
  #street;
  #lots = new Map();
  #times = new Map(JSON.parse(localStorage.getItem(TIMES) ?? "[]"));
  #attempts = [];

  constructor(store, street) {
    super();
    this.#store = store;
    this.#street = street;
  }

  /** Reads what the replica has, and goes on listening. */
  async open() {
    this.#store.listen({ prefix: "lot/" }, (entry) => this.#take(entry, Date.now()));
    const keys = (await this.#store.keys()).filter((key) => key.startsWith("lot/"));
    for (const key of keys) this.#take(await this.#store.get(key));
    this.#changed();
  }

  /** How many points somebody holds. */
  balance(holder) {
    return this.#shares(holder).reduce((sum, { points }) => sum + points, 0);
  }

  /** Somebody's lots, with their proofs, the largest share first. */
  proofsOf(holder) {
    const shares = this.#shares(holder).sort((one, other) => other.points - one.points);
    return shares.map(({ key }) => this.proof(key));
  }

  /** A lot with its proof. */
  proof(key) {
    const { value, certificate } = this.#lots.get(key).entry;
    return new Proof(key, value, certificate.bytes);
  }

  /** How many points of a shop's are out, and of them with customers. */
  issued(till) {
    const shares = this.#all().filter(({ lot }) => lot.issuer === till).flatMap(({ lot }) => lot.shares);
    const sum = (shares) => shares.reduce((sum, { points }) => sum + points, 0);
    return { all: sum(shares), withCustomers: sum(shares.filter(({ holder }) => !this.#street.shop(holder))) };
  }

  /** What is happening and has happened, the newest first. */
  activity() {
    const finals = this.#all().map(({ lot, entry, time }) => ({
      ...lot.change,
      state: "final",
      isAward: lot.step === 1,
      signers: entry.certificate.signers.length,
      time,
    }));
    return [...this.#attempts, ...finals].sort((one, other) => (other.time ?? 0) - (one.time ?? 0));
  }

  /**
   * Proposes values that a giver has signed. Resolves once all are decided: how many points have arrived, the keys
   * where they did, and why others have not.
   */
  async propose(writes) {
    const results = await Promise.all(writes.map((write) => this.#proposeOne(write)));
    const won = results.filter(({ why }) => !why);
    return {
      points: won.reduce((sum, { points }) => sum + points, 0),
      keys: won.map(({ key }) => key),
      whyNot: results.find(({ why }) => why)?.why ?? null,
    };
  }

  async #proposeOne({ key, value }) {
    const { change, step } = readLot(key, value);
    const attempt = { ...change, state: "pending", isAward: step === 1, time: Date.now() };
    this.#attempts.push(attempt);
    this.#changed();
    const why = await this.#decide(key, value, change);
    if (why) Object.assign(attempt, { state: "lost", why });
    else this.#attempts.splice(this.#attempts.indexOf(attempt), 1);
    this.#changed();
    return { key, points: change.points, why };
  }

  /** Sets a value. Returns nothing where it is final, otherwise why it is not. */
  async #decide(key, value, change) {
    try {
      const { entry } = await this.#store.set(key, value);
      this.#take(entry, Date.now());
    } catch (error) {
      // The rules refuse what no longer fits what is there: see below.
      if (!/access control/.test(error.message)) return error.message;
    }
    const now = await this.#store.get(key);
    if (now && same(now.value, value)) return null;
    const last = now && readLot(key, now.value).change;
    if (last?.from === change.from) {
      return `${this.#street.nameOf(change.from)} had already given these points to ${this.#street.nameOf(last.to)}.`;
    }
    const whyNot = this.#street.points.whyNot(key, now?.value ?? undefined, value);
    return `Nothing has changed hands: ${whyNot ?? "another change came first"}. Make the request again.`;
  }

  #take(entry, time) {
    const known = this.#lots.get(entry?.key);
    if (!entry?.value || known?.entry.view >= entry.view) return;
    const lot = readLot(entry.key, entry.value);
    this.#lots.set(entry.key, { lot, entry, time: this.#timeOf(`${entry.key} ${lot.step}`, time) });
    if (time) this.#changed();
  }

  #timeOf(id, time) {
    if (time && !this.#times.has(id)) {
      this.#times.set(id, time);
      const latest = Array.from(this.#times).slice(-MAX_TIMES);
      this.#times = new Map(latest);
      localStorage.setItem(TIMES, JSON.stringify(latest));
    }
    return this.#times.get(id);
  }

  #all() {
    return Array.from(this.#lots.values());
  }

  #shares(holder) {
    return this.#all().flatMap(({ lot }) => {
      const share = lot.shares.find((share) => share.holder === holder);
      return share ? [{ key: lot.key, points: share.points }] : [];
    });
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

const same = (one, other) => one?.length === other.length && other.every((byte, index) => byte === one[index]);
