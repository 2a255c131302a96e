// Who may write what. A network of one member decides at once, and by the same rules as any other.

import assert from "node:assert/strict";
import { after, before, test as run } from "node:test";
import { DEADLINE, World, set } from "./world.js";

const test = (name, body) => run(name, { timeout: DEADLINE }, body);

let world;

before(async () => {
  world = await World.start(1);
});

after(() => world?.close());

const denied = /access control refuses/;

test("the application's own rules decide, and rules that fail allow nothing", async () => {
  const page = await world.join(0, { signaling: [], accessControl: "/rules.js" });
  assert.equal((await set(page, "counter/a", 1)).won, true);
  assert.equal((await set(page, "counter/a", 2)).won, true);
  await assert.rejects(set(page, "counter/a", 2), denied);
  await assert.rejects(set(page, "other", 1), denied);
  await assert.rejects(page.evaluate(() => store.delete("counter/a")), denied);
  // Not a number in JSON: the rules throw.
  await assert.rejects(page.evaluate(() => store.set("counter/a", new Uint8Array([255]))), denied);
  await page.context().close();
});

test("rules that cannot be had are said to be missing", async () => {
  const refused = world.join(0, { signaling: [], accessControl: "/missing.js" });
  await assert.rejects(refused, /missing\.js/);
});

test("an owner-signed value is its owner's to change and to pass on", async () => {
  const page = await world.join(0, { signaling: [], accessControl: "owner-signed" });
  const outcomes = await page.evaluate(async () => {
    const [alice, bob] = [await PrivateKey.generate(), await PrivateKey.generate()];
    const key = "point/1";
    const write = async (privateKey, owner, content) => {
      const old = (await store.get(key))?.value;
      const value = await signOwned({ privateKey, key, old, owner: await owner.publicKey(), content });
      return store.set(key, value).then(({ won }) => won, (error) => error.message);
    };
    return {
      made: await write(alice, alice, "alice has it"),
      stolen: await write(bob, bob, "bob has it"),
      passed: await write(alice, bob, "bob has it"),
      takenBack: await write(alice, alice, "alice has it"),
      unsigned: await store.set(key, "anyone has it").catch((error) => error.message),
      deleted: await store.delete(key).catch((error) => error.message),
      isBobs: (await decodeOwned((await store.get(key)).value)).owner === (await bob.publicKey()),
    };
  });
  const { made, passed, isBobs, ...refused } = outcomes;
  assert.deepEqual({ made, passed, isBobs }, { made: true, passed: true, isBobs: true });
  for (const [what, outcome] of Object.entries(refused)) assert.match(String(outcome), denied, what);
  await page.context().close();
});
