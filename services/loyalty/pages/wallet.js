// A customer's wallet: a key, and what shops have shown it. It is no replica; it believes certificates, not shops.

import { PrivateKey, verifyCertificate } from "./beaufort/beaufort.js";
import { counted, openStreet } from "./street.js";
import { at, element, keepPages, onSubmit, say, showSlip, takeFromAddress } from "./view.js";
import { Giver, Paper, readLot } from "./wasm/loyalty.js";

const KEY = "loyalty wallet";
const LOTS = "loyalty lots";
const SIGNED = "loyalty signed";

const load = (name) => new Map(JSON.parse(localStorage.getItem(name) ?? "[]"));
const keep = (name, map) => localStorage.setItem(name, JSON.stringify(Array.from(map)));

class Wallet {
  /** What the wallet knows of each lot. */
  #lots = load(LOTS);
  /** What it has signed away, by lot, until a receipt shows what became of it. */
  #signed = load(SIGNED);
  #request = null;

  constructor(street, key) {
    this.street = street;
    this.key = key;
    this.giver = Giver.wallet(key.exposeBytes());
    this.code = this.giver.code;
  }

  open() {
    at("street-name").textContent = this.street.name;
    onSubmit(at("take-form"), async (say) => {
      say(await this.take(at("taken").value));
      at("taken").value = "";
    });
    onSubmit(at("restore-form"), () => this.#restore());
    at("sign").addEventListener("click", () => this.#sign());
    at("decline").addEventListener("click", () => this.#close());
    at("show-secret").addEventListener("click", () => (at("secret").textContent = this.key.exposeHex()));
    showSlip(at("code"), {
      title: "My code",
      hint: "A shop scans this, or gets it as text, to give you points or to ask for some.",
      page: "shop.html",
      text: this.code,
    });
    this.#show();
    at("wallet").hidden = false;
  }

  /** Takes a receipt or a request. Resolves with what to say about it. */
  async take(text) {
    const paper = Paper.parse(text);
    if (paper.kind === "signed") throw new Error("This is what a customer signed: give it to the shop that asked.");
    const facts = await Promise.all(paper.proofs.map((proof) => this.#check(proof)));
    for (const { lot } of facts) this.#learn(lot);
    keep(LOTS, this.#lots);
    keep(SIGNED, this.#signed);
    this.#show();
    if (paper.kind === "receipt") return "Taken in: the street has agreed on it.";
    const asks = paper.asks;
    if (asks.from !== this.code) throw new Error("This request is for another wallet.");
    this.#open(paper, asks, Math.min(...facts.map(({ signers }) => signers)));
    return "";
  }

  /** Checks that the network has decided this lot. */
  async #check({ key, value, certificate }) {
    try {
      const { signers } = await verifyCertificate(this.street.members, key, value, certificate);
      return { lot: readLot(key, value), signers: signers.length };
    } catch (error) {
      throw new Error(`This does not show what the street has agreed on, and is not used: ${error.message}.`);
    }
  }

  #learn(lot) {
    const known = this.#lots.get(lot.key);
    if (known && known.step >= lot.step) return;
    this.#lots.set(lot.key, lot);
    if (this.#signed.get(lot.key)?.step < lot.step) this.#signed.delete(lot.key);
  }

  #open(paper, { to, points, parts }, signers) {
    const name = this.street.nameOf(to);
    this.#request = { paper, to, parts };
    at("request-title").textContent = `${name} asks you for ${counted(points, "point")}`;
    at("sign").textContent = `Give ${counted(points, "point")}`;
    const isShop = this.street.shop(to) !== undefined;
    const facts = [
      isShop ? `${name} is a shop of ${this.street.name}.` : `${name} is not a shop: the points go to another wallet, ${to}.`,
      `You would keep ${counted(this.#balance() - points, "point")}.`,
      `Checked: ${signers} of ${counted(this.street.members.length, "shop")} signed that these points are yours.`,
    ];
    at("request-facts").replaceChildren(...facts.map((fact) => element("li", {}, fact)));
    const again = parts.map(({ key }) => this.#signed.get(key)).find((signed) => signed !== undefined);
    const warning = again && `You have signed some of these points away already, to ${this.street.nameOf(again.to)}. `
      + "They can be spent once. Sign only if that came to nothing.";
    at("request-warning").textContent = warning ?? "";
    at("request-warning").hidden = !warning;
    at("answer").hidden = true;
    at("request").hidden = false;
    scrollTo({ top: 0, behavior: "smooth" });
  }

  #sign() {
    try {
      const { paper, to, parts } = this.#request;
      const answer = paper.sign(this.street.points, this.giver);
      for (const { key, points } of parts) {
        this.#signed.set(key, { to, points, step: this.#lots.get(key).step });
      }
      keep(SIGNED, this.#signed);
      this.#close();
      showSlip(at("answer"), {
        title: "Signed",
        hint: `For ${this.street.nameOf(to)}: it scans this, or gets it as text. Ask for the receipt.`,
        page: "shop.html",
        text: answer.text,
      });
      this.#show();
    } catch (error) {
      say(at("request-warning"), error.message, true);
      at("request-warning").hidden = false;
    }
  }

  #close() {
    this.#request = null;
    at("request").hidden = true;
  }

  async #restore() {
    await PrivateKey.fromHex(at("restore").value).save(KEY);
    localStorage.removeItem(LOTS);
    localStorage.removeItem(SIGNED);
    location.reload();
  }

  #share(lot) {
    return lot.shares.find(({ holder }) => holder === this.code)?.points ?? 0;
  }

  #balance() {
    return Array.from(this.#lots.values()).reduce((sum, lot) => sum + this.#share(lot), 0);
  }

  #show() {
    at("balance").textContent = this.#balance();
    const signed = Array.from(this.#signed.values());
    const sum = signed.reduce((sum, { points }) => sum + points, 0);
    at("signed-away").hidden = sum === 0;
    const names = new Set(signed.map(({ to }) => this.street.nameOf(to)));
    at("signed-away").textContent = `${sum} of them signed to ${Array.from(names).join(", ")}, without a receipt so far`;
    const byIssuer = new Map();
    for (const lot of this.#lots.values()) {
      byIssuer.set(lot.issuer, (byIssuer.get(lot.issuer) ?? 0) + this.#share(lot));
    }
    const lines = Array.from(byIssuer).filter(([, points]) => points > 0);
    at("lots").replaceChildren(
      ...lines.map(([issuer, points]) =>
        element("li", {}, element("span", {}, `from ${this.street.nameOf(issuer)}`), element("strong", {}, `${points}`)),
      ),
    );
  }
}

function fail(error) {
  at("failure").textContent = error.message;
  at("failure").hidden = false;
}

async function ownKey() {
  const stored = await PrivateKey.load(KEY);
  if (stored) return stored;
  const key = new PrivateKey(crypto.getRandomValues(new Uint8Array(32)));
  await key.save(KEY);
  await navigator.storage?.persist?.();
  return key;
}

async function main() {
  const street = await openStreet();
  if (!street) throw new Error("This street has no list of shops yet: open shop.html to set it up.");
  const wallet = new Wallet(street, await ownKey());
  wallet.open();
  const takeLink = async () => {
    const text = takeFromAddress();
    if (text) say(document.querySelector("#take-form output"), await wallet.take(text));
  };
  addEventListener("hashchange", () => takeLink().catch(fail));
  await takeLink();
}

keepPages();
main().catch(fail);
