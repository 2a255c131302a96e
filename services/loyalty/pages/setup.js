// A tablet that is no shop of the street yet: makes the shop's key, and the card that goes into `street.json`.

import { PrivateKey } from "./beaufort/beaufort.js";
import { library } from "./street.js";
import { at, onSubmit, say } from "./view.js";
import { Giver, card } from "./wasm/loyalty.js";

const NAME = "loyalty shop name";

/** Shows what is to be done. `keep` stores a new key. */
export async function setUp({ key, street, keep }) {
  await library();
  at("setup").hidden = false;
  at("setup-name").value = localStorage.getItem(NAME) ?? "";
  if (key) await showCard(key, street);
  onSubmit(at("setup-form"), async () => {
    const name = at("setup-name").value.trim();
    if (!name) throw new Error("What is the shop called?");
    localStorage.setItem(NAME, name);
    const typed = at("setup-secret").value.trim();
    key = typed ? PrivateKey.fromHex(typed) : (key ?? (await PrivateKey.generate()));
    await keep(key);
    await navigator.storage?.persist?.();
    at("setup-secret").value = "";
    await showCard(key, street);
  });
  at("show-secret").addEventListener("click", () => (at("secret").textContent = key.exposeHex()));
}

async function showCard(key, street) {
  const publicKey = await key.publicKey();
  const { code } = Giver.till(key.exposeBytes());
  at("card").value = card(at("setup-name").value.trim(), publicKey, code);
  at("card-section").hidden = false;
  const isListed = street?.members.includes(publicKey);
  say(
    at("card-state"),
    isListed
      ? "This shop is in street.json: open the page again."
      : "This shop is not in street.json yet. Send the card to whoever keeps that file; once it is there, open this page again.",
  );
}
