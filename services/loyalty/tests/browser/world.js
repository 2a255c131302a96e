// What the tests run in: the signaling server's program, the program that serves the pages, and a browser in which
// each tablet and each phone is a page in a context of its own.

import { spawn } from "node:child_process";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

/** How long anything may take that a test waits for. Only broken pages take as long. */
export const DEADLINE = 60_000;
const TABLET = { width: 1024, height: 900 };
const PHONE = { width: 390, height: 844 };

/** Starts a program that says its address on a line of its own. */
async function start(program, ...args) {
  const process = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface(process.stdout)[Symbol.asyncIterator]();
  return { url: (await lines.next()).value, stop: () => process.kill("SIGKILL") };
}

/** A street: its shops' tablets, all set up, and the phones that come by. */
export class World {
  /** The tablets, by the shops' names. */
  tablets = new Map();

  static async start(names) {
    const world = new World();
    try {
      await world.#start(names);
    } catch (error) {
      await world.close();
      throw error;
    }
    return world;
  }

  async #start(names) {
    const { BEAUFORT, LOYALTY, PAGES, CHROMIUM = "/usr/bin/chromium" } = process.env;
    this.directory = await mkdtemp(join(tmpdir(), "loyalty-"));
    await cp(PAGES, this.directory, { recursive: true });
    this.signaling = await start(BEAUFORT, "signal", "--listen", "127.0.0.1:0");
    this.files = await start(LOYALTY, this.directory, "--listen", "127.0.0.1:0");
    this.browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"],
    });
    await this.#setUp(names);
  }

  /** As the guide says: every tablet makes its card, and the cards make the street's file. */
  async #setUp(names) {
    const cards = [];
    for (const name of names) {
      const page = await this.open("shop.html", { viewport: TABLET });
      await page.getByLabel("What the shop is called").fill(name);
      await page.getByRole("button", { name: "Make the card" }).click();
      const card = page.getByLabel("The shop's card");
      await card.waitFor();
      cards.push(JSON.parse(await card.inputValue()));
      this.tablets.set(name, page);
    }
    const street = { name: "Lime Street", signaling: [this.signaling.url], shops: cards };
    await writeFile(join(this.directory, "street.json"), JSON.stringify(street, null, 2));
    this.street = street;
    await Promise.all(Array.from(this.tablets.values(), (page) => page.reload()));
  }

  /** Opens a page in a context of its own. */
  async open(path, { viewport = PHONE, colorScheme = "light" } = {}) {
    const context = await this.browser.newContext({ viewport, colorScheme, deviceScaleFactor: 2 });
    context.setDefaultTimeout(DEADLINE);
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error(`page: ${error.stack}`));
    await page.goto(new URL(path, this.files.url).href);
    return page;
  }

  /** A customer's phone. */
  async wallet(colorScheme) {
    const page = await this.open("wallet.html", { colorScheme });
    await page.getByRole("heading", { name: "My code" }).waitFor();
    return page;
  }

  async close() {
    await this.browser?.close();
    this.files?.stop();
    this.signaling?.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

const tab = (page, name) => page.getByRole("tab", { name }).click();
const slip = (page, label) => page.getByLabel(`${label}, as text`).inputValue();

/** The code that a wallet shows. */
export const codeOf = (wallet) => slip(wallet, "My code");

/** Awards points, and gives the wallet the receipt. */
export async function award(shop, wallet, points) {
  await tab(shop, "Award");
  const panel = shop.getByRole("tabpanel", { name: "Award" });
  await panel.getByLabel("Customer's code").fill(await codeOf(wallet));
  await panel.getByLabel("Points", { exact: true }).fill(`${points}`);
  await panel.getByRole("button", { name: "Award points" }).click();
  await panel.getByText(`${points} points awarded.`).waitFor();
  await giveTo(wallet, await slip(panel, "Receipt"));
}

/** Gives a wallet a text from a shop. */
export async function giveTo(wallet, text) {
  await wallet.getByLabel("From a shop").fill(text);
  await wallet.getByRole("button", { name: "Open it" }).click();
}

/** A shop asks for points; resolves with the request. */
export async function ask(shop, wallet, points) {
  await tab(shop, "Redeem");
  const panel = shop.getByRole("tabpanel", { name: "Redeem" });
  await panel.getByLabel("Customer's code").fill(await codeOf(wallet));
  await panel.getByLabel("Points", { exact: true }).fill(`${points}`);
  await panel.getByRole("button", { name: "Ask for points" }).click();
  return slip(panel, `${points} points, please`);
}

/** A wallet signs a request; resolves with the answer. */
export async function sign(wallet, request, points) {
  await giveTo(wallet, request);
  return agree(wallet, points);
}

/** A wallet signs what it is being asked; resolves with the answer. */
export async function agree(wallet, points) {
  await wallet.getByRole("button", { name: `Give ${points} points` }).click();
  return slip(wallet, "Signed");
}

/** A shop takes what a customer signed. */
export async function take(shop, answer) {
  await tab(shop, "Redeem");
  await shop.getByLabel("What the customer signed").fill(answer);
  await shop.getByRole("button", { name: "Take the points" }).click();
}

/** What a shop says about what it took. */
export async function outcome(shop) {
  const output = shop.locator("#take-form output").filter({ hasText: /arrived|redeemed/ });
  await output.waitFor();
  return output.textContent();
}

/** Waits until a shop's list of what happened has a line with all of these. */
export async function happened(shop, ...texts) {
  const line = texts.reduce((lines, hasText) => lines.filter({ hasText }), shop.locator("#activity li"));
  await line.first().waitFor();
  return line.count();
}
