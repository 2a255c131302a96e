// A shop's tablet: a replica of the street's network, and what the shop does with points.

import { Beaufort, PrivateKey } from "./beaufort/beaufort.js";
import { Ledger } from "./ledger.js";
import { showActivity, showNetwork } from "./overview.js";
import { setUp } from "./setup.js";
import { counted, openStreet } from "./street.js";
import { at, keepPages, onSubmit, showSlip, takeFromAddress } from "./view.js";
import { Giver, Paper, isCode } from "./wasm/loyalty.js";

const KEY = "loyalty shop";
const HERE = new BroadcastChannel("loyalty shop");
/** How long another tab may take to say that it is there. */
const ANSWER = 400;
const REFRESH = 1000;

/** Gives what a link brought to the tab in which the shop is open. Returns whether there is one. */
function handOver(text) {
  return new Promise((resolve) => {
    setTimeout(() => resolve(false), ANSWER);
    HERE.onmessage = ({ data }) => data === "taken" && resolve(true);
    HERE.postMessage({ text });
  });
}

class Shop {
  constructor({ street, store, giver }) {
    Object.assign(this, { street, store, giver });
    this.ledger = new Ledger(store, street);
    this.till = giver.code;
  }

  async open() {
    const { street, ledger, till } = this;
    at("shop-name").textContent = street.shop(till).name;
    at("street-name").textContent = street.name;
    document.title = `${street.shop(till).name} · ${street.name}`;
    this.#fillRecipients();
    this.#wire();
    ledger.addEventListener("change", () => this.#show());
    await ledger.open();
    at("shop").hidden = false;
    this.#watch();
  }

  /** Takes what a customer's link or text brought: a code, or a signed request. */
  async take(text) {
    if (isCode(text)) {
      for (const input of document.querySelectorAll(".customer")) input.value = text;
      return this.#show();
    }
    at("redeem-tab").click();
    at("answer").value = text;
    at("take-form").requestSubmit();
  }

  #wire() {
    onSubmit(at("award-form"), (say) => this.#award(say));
    onSubmit(at("ask-form"), () => this.#ask());
    onSubmit(at("take-form"), (say) => this.#redeem(say));
    onSubmit(at("pass-form"), (say) => this.#pass(say));
    at("ask-customer").addEventListener("input", () => this.#show());
    at("pass-to").addEventListener("change", () => this.#show());
    for (const tab of document.querySelectorAll("[role=tab]")) {
      tab.addEventListener("click", () => openTab(tab));
    }
    for (const button of document.querySelectorAll("[data-points]")) {
      button.addEventListener("click", () => (at(button.dataset.for).value = button.dataset.points));
    }
    at("pill").addEventListener("click", () => openTab(at("street-tab")));
  }

  #fillRecipients() {
    const others = this.street.shops.filter(({ till }) => till !== this.till);
    at("pass-to").append(...others.map(({ name, till }) => new Option(name, till)), new Option("A customer…", ""));
  }

  async #award(say) {
    const to = codeIn("award-customer");
    const points = pointsIn("award-points");
    const random = crypto.getRandomValues(new Uint8Array(16));
    say("Waiting for the other shops…");
    const done = await this.ledger.propose([this.street.points.award(this.giver, to, points, random)]);
    if (done.whyNot) throw new Error(done.whyNot);
    say(`${counted(points, "point")} awarded.`);
    this.#receipt("award-slip", done.keys);
  }

  async #ask() {
    const from = codeIn("ask-customer");
    const request = Paper.request(from, this.till, pointsIn("ask-points"), this.ledger.proofsOf(from));
    const { points } = request.asks;
    showSlip(at("ask-slip"), {
      title: `${counted(points, "point")}, please`,
      hint: "The customer scans this, or gets it as text, and signs.",
      page: "wallet.html",
      text: request.text,
    });
    at("take-form").hidden = false;
  }

  async #redeem(say) {
    const answer = Paper.parse(at("answer").value);
    if (answer.kind !== "signed") throw new Error("This is not a signed request: it is what the customer got, or something else.");
    say("Waiting for the other shops…");
    const done = await this.ledger.propose(answer.writes);
    at("answer").value = "";
    at("ask-slip").hidden = true;
    if (done.keys.length > 0) this.#receipt("take-slip", done.keys);
    if (done.whyNot) {
      const arrived = done.points > 0 ? `Only ${counted(done.points, "point")} arrived. ` : "No points arrived. ";
      throw new Error(arrived + done.whyNot);
    }
    say(`${counted(done.points, "point")} redeemed.`);
  }

  async #pass(say) {
    const to = at("pass-to").value || codeIn("pass-customer");
    const request = Paper.request(this.till, to, pointsIn("pass-points"), this.ledger.proofsOf(this.till));
    say("Waiting for the other shops…");
    const done = await this.ledger.propose(request.sign(this.street.points, this.giver).writes);
    if (done.whyNot) throw new Error(`${counted(done.points, "point")} passed on. ${done.whyNot}`);
    say(`${counted(done.points, "point")} passed on to ${this.street.nameOf(to)}.`);
    if (!this.street.shop(to)) this.#receipt("pass-slip", done.keys);
  }

  #receipt(place, keys) {
    const receipt = Paper.receipt(keys.map((key) => this.ledger.proof(key)));
    showSlip(at(place), {
      title: "Receipt",
      hint: "For the customer's wallet: it proves what the street has agreed on.",
      page: "wallet.html",
      text: receipt.text,
    });
  }

  #show() {
    const { ledger, street, till } = this;
    at("balance").textContent = ledger.balance(till);
    at("pass-customer-field").hidden = at("pass-to").value !== "";
    const customer = at("ask-customer").value.trim();
    at("ask-balance").textContent = isCode(customer) ? `has ${counted(ledger.balance(customer), "point")}` : "";
    showActivity(at("activity"), ledger.activity(), street, till);
  }

  async #watch() {
    try {
      const [status, members] = await Promise.all([this.store.status(), this.store.members()]);
      showNetwork({ status, members, street: this.street, ledger: this.ledger });
      setTimeout(() => this.#watch(), REFRESH);
    } catch (error) {
      fail(error);
    }
  }
}

function codeIn(id) {
  const code = at(id).value.trim();
  if (!isCode(code)) throw new Error("This is not a customer's code: it has 48 characters; copy all of it.");
  return code;
}

function pointsIn(id) {
  const points = Number(at(id).value);
  if (!Number.isInteger(points) || points < 1) throw new Error("How many points? A whole number, at least 1.");
  return points;
}

function openTab(chosen) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const isChosen = tab === chosen;
    tab.setAttribute("aria-selected", isChosen);
    at(tab.getAttribute("aria-controls")).hidden = !isChosen;
  }
}

function fail(error) {
  at("failure").textContent = error.message;
  at("failure").hidden = false;
}

async function main() {
  const brought = takeFromAddress();
  if (brought && (await handOver(brought))) {
    at("handed-over").hidden = false;
    return;
  }
  const street = await openStreet();
  const key = await PrivateKey.load(KEY);
  const isMember = key && street?.members.includes(await key.publicKey());
  if (!isMember) return setUp({ key, street, keep: (key) => key.save(KEY) });

  const { members, signaling, iceServers } = street;
  const accessControl = new URL("./rules.js", import.meta.url);
  const store = new Beaufort({ members, privateKey: key, signaling, iceServers, accessControl });
  await store.ready;
  const shop = new Shop({ street, store, giver: Giver.till(key.exposeBytes()) });
  await shop.open();
  HERE.onmessage = ({ data }) => {
    if (typeof data?.text !== "string") return;
    HERE.postMessage("taken");
    shop.take(data.text).catch(fail);
  };
  const takeLink = () => {
    const text = takeFromAddress();
    if (text) shop.take(text).catch(fail);
  };
  addEventListener("hashchange", takeLink);
  if (brought) await shop.take(brought);
}

keepPages();
main().catch(fail);
