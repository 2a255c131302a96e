// A page whose servers are all gone: it opens, and has what it had. Service workers keep it (`sw.js` here).

import assert from "node:assert/strict";
import { after, before, test as run } from "node:test";
import { DEADLINE, World, set } from "./world.js";

const test = (name, body) => run(name, { timeout: DEADLINE }, body);
const SETTINGS = { signaling: [], accessControl: "rules.js" };

let world;

before(async () => {
  world = await World.start(1);
});

after(() => world?.close());

/** Resolves once the page's service worker keeps its files. */
const isKept = (page) =>
  page.evaluate(async () => {
    navigator.serviceWorker.register("sw.js", { type: "module" });
    await navigator.serviceWorker.ready;
  });

test("a page opened once opens without any server, with its state, and goes on", async () => {
  const page = await world.join(0, SETTINGS);
  await isKept(page);
  assert.equal((await set(page, "counter/a", 1)).won, true);
  await page.close();
  await world.files.close();

  const again = await world.join(0, { ...SETTINGS, context: page.context() });
  assert.equal(await again.evaluate(async () => (await store.get("counter/a")).json()), 1);
  assert.equal((await set(again, "counter/a", 2)).won, true);
  // The parts of the package that nobody had asked for yet are there as well.
  assert.equal(await again.evaluate(async () => (await (await PrivateKey.generate()).publicKey()).length), 288);
});
