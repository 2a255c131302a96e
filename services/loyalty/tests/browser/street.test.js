// A street of five shops, each on a tablet of its own, and customers with phones: what people rely on.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { DEADLINE, World, agree, ask, award, codeOf, giveTo, happened, outcome, sign, take } from "./world.js";

const NAMES = ["Bakery Lind", "Books & Tea", "Café Azul", "Flower Corner", "Green Grocer"];
const [BAKERY, BOOKS, CAFE, FLOWERS, GROCER] = NAMES;
/** Where pictures of the pages go, if they are wanted. */
const PICTURES = process.env.PICTURES;

let world;
let ada;

const shop = (name) => world.tablets.get(name);
const shops = () => Array.from(world.tablets.values());

async function picture(page, name) {
  if (PICTURES) await page.screenshot({ path: join(PICTURES, `${name}.png`) });
}

before(async () => {
  world = await World.start(NAMES);
  ada = await world.wallet();
  const isConnected = (page) => page.getByText(/^connected to [34] shops$/).waitFor();
  await Promise.all(shops().map(isConnected));
});

after(() => world?.close());

test("points that a shop awards are in the wallet, and every tablet knows of them", async () => {
  await award(shop(BAKERY), ada, 30);
  await award(shop(CAFE), ada, 20);
  await ada.getByText("from Café Azul").waitFor();
  assert.equal(await ada.locator("#balance").textContent(), "50");
  const customer = `Customer ${(await codeOf(ada)).slice(0, 4)}`;
  await Promise.all(shops().map((page) => happened(page, customer, "30", /final · [45] of 5 shops signed/)));
});

test("a customer spends points at another shop by signing its request, and all tablets agree", async () => {
  const request = await ask(shop(BOOKS), ada, 35);
  await giveTo(ada, request);
  await ada.getByText("Books & Tea asks you for 35 points").waitFor();
  await ada.getByText(/Checked: [45] of 5 shops signed/).waitFor();
  await picture(ada, "wallet");
  await take(shop(BOOKS), await agree(ada, 35));
  assert.equal(await outcome(shop(BOOKS)), "35 points redeemed.");

  await giveTo(ada, await shop(BOOKS).getByLabel("Receipt, as text").inputValue());
  await ada.getByText("Taken in").waitFor();
  assert.equal(await ada.locator("#balance").textContent(), "15");
  // 30 of one lot and 5 of the other.
  const isFinal = (page) => happened(page, page === shop(BOOKS) ? "to this shop" : `to ${BOOKS}`, "30", "final");
  await Promise.all(shops().map(isFinal));
});

test("a shop passes points on to another one", async () => {
  const page = shop(BOOKS);
  await page.getByRole("tab", { name: "Pass on" }).click();
  const panel = page.getByRole("tabpanel", { name: "Pass on" });
  await panel.getByLabel("To", { exact: true }).selectOption(FLOWERS);
  await panel.getByLabel("Points", { exact: true }).fill("12");
  await panel.getByRole("button", { name: "Pass on" }).click();
  await panel.getByText("12 points passed on to Flower Corner.").waitFor();
  await happened(shop(FLOWERS), `${BOOKS} to this shop`, "12");
  assert.equal(await shop(FLOWERS).locator("#balance").textContent(), "12");
});

test("points that are signed away to two shops at once arrive at one, and the other learns why", async () => {
  const eve = await world.wallet("dark");
  await award(shop(BAKERY), eve, 40);
  await eve.getByText("from Bakery Lind").waitFor();
  const rivals = [shop(CAFE), shop(GROCER)];
  const answers = [];
  for (const page of rivals) answers.push(await sign(eve, await ask(page, eve, 40), 40));
  await Promise.all(rivals.map((page, index) => take(page, answers[index])));
  const said = await Promise.all(rivals.map(outcome));

  const winner = said.indexOf("40 points redeemed.");
  assert.ok(winner >= 0, `${said}`);
  const name = [CAFE, GROCER][winner];
  const customer = `Customer ${(await codeOf(eve)).slice(0, 4)}`;
  assert.equal(said[1 - winner], `No points arrived. ${customer} had already given these points to ${name}.`);
  await happened(rivals[1 - winner], customer, "had already given these points");
  for (const page of shops()) {
    const to = page === rivals[winner] ? "to this shop" : `to ${name}`;
    assert.equal(await happened(page, customer, to, "final"), 1);
  }
  await picture(rivals[1 - winner], "shop");
  await picture(eve, "wallet-dark");
});

test("the wallet warns of signing the same points twice, and believes no changed receipt", async () => {
  const bob = await world.wallet();
  await award(shop(FLOWERS), bob, 10);
  await sign(bob, await ask(shop(FLOWERS), bob, 10), 10);
  const again = await ask(shop(GROCER), bob, 10);
  await giveTo(bob, again);
  await bob.getByText("You have signed some of these points away already, to Flower Corner.").waitFor();
  await bob.getByRole("button", { name: "No" }).click();

  const genuine = Buffer.from(again, "base64url");
  genuine[genuine.length - 10] ^= 1;
  await giveTo(bob, genuine.toString("base64url"));
  await bob.locator("#take-form output.error").waitFor();
  assert.match(await bob.locator("#take-form output").textContent(), /not used|not a slip/);
});

test("a tablet that ignores the rules makes no points, and stops nobody", async () => {
  const cheat = shop(GROCER);
  const secret = await cheat.evaluate(async () => {
    const { PrivateKey } = await import("./beaufort/beaufort.js");
    return (await PrivateKey.load("loyalty shop")).exposeHex();
  });
  const context = cheat.context();
  await cheat.goto("about:blank");
  const page = await context.newPage();
  await page.goto(new URL("wallet.html", world.files.url).href);
  // A lot in the bakery's name, and all rules switched off.
  const { key, value } = await shop(BAKERY).evaluate(async () => {
    const { Giver, Points } = await import("./wasm/loyalty.js");
    const points = new Points(await (await fetch("street.json")).text());
    const thief = Giver.wallet(crypto.getRandomValues(new Uint8Array(32)));
    const { key, value } = points.award(thief, Giver.wallet(new Uint8Array(32)).code, 500, new Uint8Array(16));
    return { key, value: Array.from(value) };
  });
  const bakery = world.street.shops.find(({ name }) => name === BAKERY).till;
  const forged = key.replace(/^lot\/[^/]+/, `lot/${bakery}`);
  await page.evaluate(
    async ({ secret, street, key, value }) => {
      const { Beaufort, PrivateKey } = await import("./beaufort/beaufort.js");
      const { shops, signaling } = street;
      const members = shops.map(({ key }) => key);
      window.store = new Beaufort({ members, signaling, privateKey: PrivateKey.fromHex(secret) });
      await store.ready;
      window.settled = store.set(key, new Uint8Array(value)).then(() => true);
    },
    { secret, street: world.street, key: forged, value },
  );
  await page.waitForFunction(async () => (await store.status()).neighbours.length >= 3, null, { timeout: DEADLINE });

  await award(shop(FLOWERS), ada, 7);
  await Promise.all([BAKERY, BOOKS, CAFE].map((name) => happened(shop(name), `${FLOWERS} awarded to`, "7", "final")));
  for (const name of [BAKERY, BOOKS, CAFE, FLOWERS]) {
    assert.equal(await shop(name).locator("#activity li", { hasText: "500" }).count(), 0);
  }
  assert.equal(await page.evaluate(() => Promise.race([settled, false])), false);
  // It thinks better of it.
  await page.goto(new URL("shop.html", world.files.url).href);
  await page.getByText(/^connected to [34] shops$/).waitFor();
  world.tablets.set(GROCER, page);
});

test("a tablet that is closed and opened again, while the pages' server is down, has its points and catches up", async () => {
  const page = shop(FLOWERS);
  const before = await page.locator("#balance").textContent();
  const context = page.context();
  await page.close();
  await award(shop(BAKERY), ada, 3);
  world.files.stop();
  const again = await context.newPage();
  await again.goto(new URL("shop.html", world.files.url).href);
  world.tablets.set(FLOWERS, again);
  await happened(again, `${BAKERY} awarded to`, "3", "final");
  assert.equal(await again.locator("#balance").textContent(), before);
});
