// Drives one replica inside the worker: gives it what happened, polls it, writes what it wants kept, and only then
// does the rest of what it says. It also proves who is at the other end of each link before the replica hears of it.
//
// Events that come while the replica is at work, or the disk is, are polled for together: that is when it verifies
// signatures, many in one batch.

/** Two links to one member that are this close in time were begun by both ends at once. */
const AT_ONCE = 10_000;
/** The longest that a timer of the browser can wait. */
const LONGEST_TIMER = 0x7fffffff;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The replica's clock, which only goes forward. */
export const now = () => Math.floor(performance.timeOrigin + performance.now());

export class Driver {
  #identity;
  #core;
  #storage;
  #post;
  #links = new Map();
  /** The link of each member that the replica uses. */
  #used = new Map();
  #tickets = new Map();
  #patterns = [];
  #evidence = [];
  #news = [];
  #turn = new MessageChannel();
  /** Whether something has happened since the replica was last polled. */
  #isDue = false;
  #isScheduled = false;
  /** The work under way, if any. */
  #running = null;
  #wake;
  #stopped = false;

  /** `post(messages)` takes messages for the page. */
  constructor({ identity, core, storage, post }) {
    this.#identity = identity;
    this.#core = core;
    this.#storage = storage;
    this.#post = post;
    this.#turn.port1.onmessage = () => this.#run();
    this.#happened();
  }

  /** A link is open: its handshake begins. */
  opened({ link, session, binding }) {
    const nonce = crypto.getRandomValues(new Uint8Array(32));
    const handshake = this.#identity.handshake(binding.local, binding.remote, nonce);
    this.#links.set(link, { session, handshake, member: null, since: now() });
    this.#tell({ type: "send", link, bytes: handshake.hello() });
  }

  /** A link is closed. */
  closed({ link }) {
    const { member, handshake } = this.#links.get(link) ?? {};
    handshake?.free();
    this.#links.delete(link);
    if (this.#used.get(member) !== link) return;
    this.#used.delete(member);
    this.#core.disconnected(now(), member);
    this.#happened();
  }

  /** No link to a wanted member can be had at the moment. */
  unreachable({ member }) {
    if (this.#used.has(member)) return;
    this.#core.disconnected(now(), member);
    this.#happened();
  }

  /** A link has brought bytes: of the handshake first, then the replica's. */
  bytes({ link, buffer }) {
    const state = this.#links.get(link);
    if (!state) return;
    const bytes = new Uint8Array(buffer);
    if (state.handshake) return this.#shake(link, state, bytes);
    if (this.#used.get(state.member) !== link) return;
    this.#core.receive(now(), state.member, bytes);
    this.#happened();
  }

  /** The page wants something; the answer is a `result`, at once or once it is decided. */
  call({ id, method, args }) {
    try {
      const value = this.#answer(id, method, args);
      if (value !== PENDING) this.#tell({ type: "result", id, value });
    } catch (error) {
      this.#tell({ type: "result", id, error: String(error.message ?? error) });
    }
  }

  /** Ends it; what is being written is on the disk when this resolves. */
  async stop() {
    this.#stopped = true;
    clearTimeout(this.#wake);
    await this.#running;
    this.#storage.close();
  }

  #answer(id, method, [key, value]) {
    switch (method) {
      case "get":
        return this.#core.get(encoder.encode(key)) ?? null;
      case "set":
      case "delete": {
        const bytes = method === "set" ? value : undefined;
        this.#tickets.set(this.#core.propose(now(), encoder.encode(key), bytes), id);
        this.#happened();
        return PENDING;
      }
      case "keys":
        return this.#core.keys().map((bytes) => decoder.decode(bytes));
      case "status":
        return this.#core.status();
      case "evidence":
        return this.#evidence;
      case "listen":
        this.#patterns = key;
        return null;
    }
    throw new Error(`no method ${method}`);
  }

  #shake(link, state, bytes) {
    let step;
    try {
      step = state.handshake.receive(bytes);
    } catch (error) {
      return this.#tell({ type: "drop", link, reason: String(error.message ?? error) });
    }
    if (step.send) this.#tell({ type: "send", link, bytes: step.send });
    if (step.member === undefined) return;
    state.handshake.free();
    state.handshake = null;
    state.member = step.member;
    this.#use(link, state);
  }

  /** Of two links to one member, both ends keep the same one: the newer, or where they are as old, by name. */
  #use(link, state) {
    const { member } = state;
    const other = this.#used.get(member);
    const rival = this.#links.get(other);
    const together = rival && state.since - rival.since < AT_ONCE;
    if (together && rival.session < state.session) {
      return this.#tell({ type: "drop", link, reason: "there is another link to this member" });
    }
    if (rival) {
      this.#core.disconnected(now(), member);
      this.#tell({ type: "drop", link: other, reason: "a newer link has taken its place" });
    }
    this.#used.set(member, link);
    this.#tell({ type: "proven", link, member });
    this.#core.connected(now(), member);
    this.#happened();
  }

  #tell(message) {
    this.#news.push(message);
    this.#schedule();
  }

  #happened() {
    this.#isDue = true;
    this.#schedule();
  }

  /** Runs once all that waits in the worker's queue has been taken. */
  #schedule() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#turn.port2.postMessage(null);
  }

  #run() {
    this.#isScheduled = false;
    this.#flush();
    if (this.#running || !this.#isDue || this.#stopped) return;
    this.#running = this.#work().finally(() => (this.#running = null));
  }

  async #work() {
    try {
      while (this.#isDue && !this.#stopped) {
        this.#isDue = false;
        await this.#carryOut(this.#core.poll(now()));
      }
      if (!this.#stopped) this.#setWake();
    } catch (error) {
      // What cannot be kept must not be sent, and a replica that stopped halfway must not go on.
      this.#stopped = true;
      this.#post([{ type: "failed", message: `the replica stopped: ${error.message ?? error}` }]);
    }
  }

  async #carryOut(outputs) {
    const records = outputs.filter(({ type }) => type === "persist");
    if (records.length > 0) await this.#storage.put(records);
    for (const output of outputs) this.#do(output);
    this.#flush();
  }

  #do(output) {
    switch (output.type) {
      case "send": {
        const link = this.#used.get(output.to);
        if (link !== undefined) this.#news.push({ type: "send", link, bytes: output.bytes });
        break;
      }
      case "commit": {
        const key = decoder.decode(output.key);
        const heard = ({ key: exact, prefix }) => key === exact || (prefix !== undefined && key.startsWith(prefix));
        if (this.#patterns.some(heard)) this.#news.push({ type: "commit", key, entry: output.entry });
        break;
      }
      case "settled": {
        const id = this.#tickets.get(output.ticket);
        this.#tickets.delete(output.ticket);
        this.#news.push({ type: "result", id, value: { won: output.won, entry: output.entry } });
        break;
      }
      case "connect":
        this.#news.push({ type: "want", member: output.member });
        break;
      case "disconnect":
        this.#news.push({ type: "unwant", member: output.member });
        break;
      case "evidence":
        this.#evidence.push(output.evidence);
        break;
    }
  }

  #flush() {
    if (this.#news.length > 0) this.#post(this.#news.splice(0));
  }

  #setWake() {
    clearTimeout(this.#wake);
    const at = this.#core.nextWake();
    if (at === undefined) return;
    const wait = Math.min(Math.max(0, at - now()), LONGEST_TIMER);
    this.#wake = setTimeout(() => this.#happened(), wait);
  }
}

/** The answer comes later. */
const PENDING = Symbol("pending");
