// As many liars among seven pages as are tolerated: two, each of another kind. The five honest ones must all agree
// before anything is decided.

import assert from "node:assert/strict";
import { after, before, test as run } from "node:test";
import { DEADLINE, World, each, holds, set, until } from "./world.js";

const HONEST = [0, 1, 2, 3, 4];
const FORGER = 5;
const TWINS = 6;

const test = (name, body) => run(name, { timeout: DEADLINE }, body);
const honest = () => HONEST.map((id) => world.pages[id]);

let world;

before(async () => {
  world = await World.start(HONEST.length + 2);
  await each(HONEST, (id) => world.join(id));
  await world.join(FORGER, { worker: "/byzantine.js?forger" });
  await world.join(TWINS, { worker: "/byzantine.js?twins" });
  const isConnected = async () => (await store.status()).neighbours.length === 6;
  await each(honest(), (page) => until(page, "six neighbours", isConnected));
});

after(() => world?.close());

/** Why a page counts a member's votes no more, or `null`. */
const exclusion = (page, member) =>
  page.evaluate(async (member) => (await store.members())[member].exclusion, member);

test("false signatures stop nobody, and who sends them is excluded by all", async () => {
  await assert.rejects(set(world.pages[FORGER], "forge", true), /it lies from now on/);
  const isExcluded = async () => (await each(honest(), (page) => exclusion(page, FORGER))).every(Boolean);
  for (let round = 0; !(await isExcluded()); round += 1) {
    const decided = await each(HONEST, (id) => set(world.pages[id], `attacked/${round}/${id}`, round));
    assert.ok(decided.every(({ won }) => won));
  }
});

test("who votes twice is excluded by all, and anyone can be shown why", async () => {
  // Whether and how it is decided is not for the liar to say.
  world.pages[TWINS].evaluate(() => void store.set("contested", "one value").catch(() => {}));
  await each(honest(), (page) => {
    const isShown = async (liar) => (await store.evidence()).some(({ culprit }) => culprit === liar);
    return until(page, "evidence", isShown, TWINS);
  });
  const reasons = await each(honest(), (page) => exclusion(page, TWINS));
  assert.ok(reasons.every((reason) => reason.includes("voted for two values")), `${reasons}`);
  const isDisconnected = async (liar) => !(await store.status()).neighbours.includes(liar);
  await each(honest(), (page) => until(page, "the liar's disconnection", isDisconnected, TWINS));
});

test("the honest ones go on, and none of them is taken for a liar", async () => {
  assert.equal((await set(world.pages[0], "without-liars", true)).won, true);
  await each(honest(), (page) => holds(page, "without-liars", true));
  for (const member of HONEST) {
    const reasons = await each(honest(), (page) => exclusion(page, member));
    assert.ok(reasons.every((reason) => reason === null), `${reasons}`);
  }
});

test("a page that is opened again knows who voted twice, from nobody else", async () => {
  const context = world.pages[0].context();
  await world.pages[0].close();
  const page = await world.join(0, { context, signaling: ["ws://127.0.0.1:9/"] });
  assert.match(await exclusion(page, TWINS), /voted for two values/);
  const { neighbours } = await page.evaluate(() => store.status());
  assert.deepEqual(neighbours, []);
});
