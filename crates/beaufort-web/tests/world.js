// What the tests run in: the signaling server's program, a static server for the package, and a browser in which
// each member is a page in a context of its own.

import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

/** How long anything may take that a test waits for. Only a broken package takes as long. */
export const DEADLINE = 120_000;

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

/** A signaling server, as a process. */
export class Signaling {
  /** Starts one, at the address of an earlier one if that is given. */
  static async start(url = "ws://127.0.0.1:0/") {
    const server = new Signaling();
    server.process = spawn(process.env.BEAUFORT, ["signal", "--listen", new URL(url).host], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface(server.process.stdout)[Symbol.asyncIterator]();
    server.url = (await lines.next()).value;
    return server;
  }

  /** Kills it, without a goodbye. */
  async kill() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGKILL");
    await gone;
  }
}

/** Serves directories: `{"/package/": directory, ..}`. */
async function serve(directories) {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname);
    const mount = Object.keys(directories).find((prefix) => path.startsWith(prefix));
    try {
      const content = await readFile(join(directories[mount], path.slice(mount.length)));
      response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "text/plain" });
      response.end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  const close = async () => {
    const gone = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await gone;
  };
  return { origin: `http://localhost:${server.address().port}`, close };
}

/** Does something with each of some, at the same time. */
export const each = (all, ask) => Promise.all(all.map(ask));

/** A network of pages. */
export class World {
  pages = [];

  /** Starts everything but the members; `n` of them get keys. */
  static async start(n) {
    const { PACKAGE, BYZANTINE, CHROMIUM = "/usr/bin/chromium" } = process.env;
    const world = new World();
    world.signaling = await Signaling.start();
    const here = new URL(".", import.meta.url).pathname;
    world.files = await serve({ "/package/": PACKAGE, "/byzantine/": BYZANTINE, "/": here });
    world.browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"],
    });
    await world.#makeKeys(n);
    return world;
  }

  async #makeKeys(n) {
    const page = await this.#open(await this.browser.newContext());
    const keys = await page.evaluate(async (n) => {
      const make = async () => {
        const key = await PrivateKey.generate();
        return { secret: key.exposeHex(), public: await key.publicKey() };
      };
      return Promise.all(Array.from({ length: n }, make));
    }, n);
    await page.context().close();
    // In the order of the members' places.
    this.keys = keys.sort((one, other) => (one.public < other.public ? -1 : 1));
  }

  async #open(context) {
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error(`page: ${error.stack}`));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) console.error(`page: ${message.text()}`);
    });
    await page.goto(`${this.files.origin}/page.html`);
    await page.waitForFunction("window.isLoaded", null, { timeout: DEADLINE });
    return page;
  }

  /** Makes a page a member, in a context of its own unless it is given one. */
  async join(id, { context, ...settings } = {}) {
    const page = await this.#open(context ?? (await this.browser.newContext()));
    this.pages[id] = page;
    const members = this.keys.map((key) => key.public);
    const given = { key: this.keys[id].secret, members, signaling: [this.signaling.url], ...settings };
    await page.evaluate((settings) => member(settings), given);
    return page;
  }

  async close() {
    await this.browser?.close();
    await this.files?.close();
    await this.signaling?.kill();
  }
}

/** Waits until a page says so: `condition` runs there, again and again, with the arguments. */
export async function until(page, what, condition, ...args) {
  const asked = page.evaluate(
    async ([condition, args, deadline]) => {
      const holds = new Function(`return (${condition})(...arguments)`);
      const end = performance.now() + deadline;
      while (performance.now() < end) {
        if (await holds(...args)) return true;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return false;
    },
    [condition.toString(), args, DEADLINE],
  );
  if (!(await asked)) {
    const status = await page.evaluate(() => store.status());
    throw new Error(`${what} did not come true; the page: ${JSON.stringify(status)}`);
  }
}

/** Proposes a value. */
export const set = (page, key, value) =>
  page.evaluate(async ([key, value]) => {
    const { won, entry } = await store.set(key, value);
    return { won, value: entry.json(), view: entry.view };
  }, [key, value]);

/** Waits until a page has a value for a key. */
export const holds = (page, key, value) =>
  until(
    page,
    `${key} = ${JSON.stringify(value)}`,
    async (key, value) => JSON.stringify((await store.get(key))?.json()) === JSON.stringify(value),
    key,
    value,
  );
