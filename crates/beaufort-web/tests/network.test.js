// Seven pages, each in a browser context of its own, as one network: what an application relies on.

import assert from "node:assert/strict";
import { after, before, test as run } from "node:test";
import { DEADLINE, Signaling, World, each, holds, set, until } from "./world.js";

const MEMBERS = [0, 1, 2, 3, 4, 5, 6];

const test = (name, body) => run(name, { timeout: DEADLINE }, body);

const all = () => MEMBERS.map((id) => world.pages[id]);

let world;

/** A signaling server that only member 0 knows, and whoever is told of it. */
let back;

before(async () => {
  world = await World.start(MEMBERS.length);
  back = await Signaling.start();
  const signaling = [world.signaling.url, back.url];
  await each(MEMBERS, (id) => world.join(id, id === 0 ? { signaling } : {}));
});

after(async () => {
  // What a page's thread was busy with for over 50 ms, on a machine that runs all of the network.
  const tasks = await Promise.allSettled(all().map((page) => page.evaluate(() => longTasks)));
  console.log(`long tasks of the pages, in ms: ${JSON.stringify(tasks.map(({ value }) => value))}`);
  await world?.close();
  await back?.kill();
});

test("seven pages form a network, and what one sets is final at all", async () => {
  const isConnected = async () => (await store.status()).neighbours.length >= 4;
  await each(all(), (page) => until(page, "four neighbours", isConnected));

  const { won, view } = await set(world.pages[0], "greeting", "hello");
  assert.equal(won, true);
  assert.equal(view, 1);
  await each(all(), (page) => holds(page, "greeting", "hello"));
  const hasHeard = () => heard.some(([key, value]) => key === "greeting" && value === '"hello"');
  await each(all(), (page) => until(page, "the listener's call", hasHeard));
});

test("a certificate convinces a page that is no member, and a forged one does not", async () => {
  const checked = await world.pages[1].evaluate(async () => {
    const members = (await store.members()).map(({ key }) => key);
    const { value, certificate } = await store.get("greeting");
    const check = (key, value) => verifyCertificate(members, key, value, certificate.bytes);
    const refused = (promise) => promise.then(() => false, () => true);
    return {
      signers: (await check("greeting", value)).signers.length,
      otherKey: await refused(check("other", value)),
      otherValue: await refused(check("greeting", new Uint8Array([1]))),
      deletion: await refused(check("greeting", null)),
      otherMembers: await refused(verifyCertificate(members.slice(1), "greeting", value, certificate.bytes)),
    };
  });
  assert.ok(checked.signers >= MEMBERS.length - 2);
  const { signers: _, ...forged } = checked;
  assert.deepEqual(forged, { otherKey: true, otherValue: true, deletion: true, otherMembers: true });
});

// With seven members, a check in the page's own thread kept it from everything else for a tenth of a second.
test("a page stays responsive while it checks a certificate", async () => {
  const isBusy = await world.pages[1].evaluate(async () => {
    const members = (await store.members()).map(({ key }) => key);
    const { value, certificate } = await store.get("greeting");
    const check = () => verifyCertificate(members, "greeting", value, certificate.bytes);
    // The second one has nothing to load.
    await check();
    let isChecked = false;
    const checked = check().then(() => (isChecked = true));
    // Without a turn of the event loop, in which anything else could be done.
    for (let step = 0; step < 1000; step += 1) await null;
    const isBusy = isChecked;
    await checked;
    return isBusy;
  });
  assert.equal(isBusy, false);
});

test("of two that propose at once one wins, and all agree which", async () => {
  const [one, other] = await Promise.all([set(world.pages[0], "price", 1), set(world.pages[1], "price", 2)]);
  // A proposal that came too late for the other one's view has a view of its own.
  if (one.view === other.view) assert.equal(one.won !== other.won, true);
  const views = await each(all(), async (page) => {
    await until(page, "a price", async (view) => (await store.get("price"))?.view >= view, Math.max(one.view, other.view));
    return page.evaluate(async () => (await store.get("price")).json());
  });
  assert.equal(new Set(views).size, 1, `${views}`);
});

test("a deleted key is deleted at all", async () => {
  const won = await world.pages[2].evaluate(async () => (await store.delete("greeting")).won);
  assert.equal(won, true);
  await each(all(), (page) => holds(page, "greeting", null));
});

test("a page that is closed and opened again catches up, from what it stored and from the others", async () => {
  const closed = world.pages[3];
  await set(closed, "before", 1);
  const context = closed.context();
  await closed.close();
  await set(world.pages[0], "meanwhile", 2);

  // Without a signaling server it knows what it stored, and nothing else.
  const alone = await world.join(3, { context, signaling: [] });
  assert.equal(await alone.evaluate(async () => (await store.get("before")).json()), 1);
  assert.equal(await alone.evaluate(async () => await store.get("meanwhile")), null);
  await alone.close();

  const page = await world.join(3, { context });
  await holds(page, "meanwhile", 2);
  assert.equal((await set(page, "after", 3)).won, true);
  await holds(world.pages[0], "after", 3);
});

test("one member's store is open in one tab only", async () => {
  const rival = await world.pages[3].context().newPage();
  await rival.goto(world.pages[3].url());
  await rival.waitForFunction("window.isLoaded");
  const settings = { key: world.keys[3].secret, members: world.keys.map((key) => key.public), signaling: [] };
  const refused = rival.evaluate((settings) => member(settings), settings);
  await assert.rejects(refused, /open in another tab/);
  await rival.close();
});

test("a private key does not leave by accident, and is stored only when asked", async () => {
  const kept = await world.pages[0].evaluate(async () => {
    const key = await PrivateKey.generate();
    const refuses = (what) => {
      try {
        return what().includes(key.exposeHex()) ? "leaks" : "hides";
      } catch (error) {
        return error instanceof TypeError ? "refuses" : "fails";
      }
    };
    const before = await PrivateKey.load("mine");
    await key.save("mine");
    const loaded = await PrivateKey.load("mine");
    await PrivateKey.forget("mine");
    return {
      json: refuses(() => JSON.stringify({ key })),
      text: refuses(() => `${key}`),
      clone: refuses(() => JSON.stringify(structuredClone(key))),
      before,
      loaded: loaded.exposeHex() === key.exposeHex(),
      after: await PrivateKey.load("mine"),
    };
  });
  assert.deepEqual(kept, { json: "refuses", text: "hides", clone: "hides", before: null, loaded: true, after: null });
});

test("who reaches one member reaches the others through it", async () => {
  const context = world.pages[5].context();
  await world.pages[5].close();
  const page = await world.join(5, { context, signaling: [back.url] });
  await until(page, "four neighbours", async () => (await store.status()).neighbours.length >= 4);
  assert.equal((await set(page, "by-the-back-door", 5)).won, true);
});

test("the network goes on while its signaling server is down, and is entered again once it is back", async () => {
  const { url } = world.signaling;
  await world.signaling.kill();
  const isDown = async (url) => (await store.status()).signaling.every((server) => server.url !== url || !server.isOpen);
  await each(all(), (page) => until(page, "the server's death", isDown, url));
  assert.equal((await set(world.pages[4], "no-server", "still here")).won, true);
  await each(all(), (page) => holds(page, "no-server", "still here"));

  const context = world.pages[2].context();
  await world.pages[2].close();
  const page = await world.join(2, { context });
  world.signaling = await Signaling.start(url);
  await until(page, "a neighbour", async () => (await store.status()).neighbours.length > 0);
  assert.equal((await set(page, "back", true)).won, true);
});
