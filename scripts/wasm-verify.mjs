// Checks a receipt with the WebAssembly module, and that the module refuses forgeries of it:
//
//     node scripts/wasm-verify.mjs PACKAGE receipt.json genesis.toml
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [directory, receiptFile, genesisFile] = process.argv.slice(2).map((path) => resolve(path));
const { default: initialize, verifyReceipt } = await import(
  pathToFileURL(join(directory, "plenary_verify.js"))
);
await initialize({ module_or_path: readFileSync(join(directory, "plenary_verify_bg.wasm")) });

const genesis = readFileSync(genesisFile, "utf8");
const receipt = JSON.parse(readFileSync(receiptFile, "utf8"));
const verify = (receipt, network = genesis) => verifyReceipt(JSON.stringify(receipt), network);

const verified = verify(receipt);
assert.equal(verified.transaction, receipt.transaction);
assert.deepEqual(verified.outcome, receipt.outcome);
assert.equal(verified.height, receipt.header.height);

const flip = (hex) => (hex.startsWith("0") ? "1" : "0") + hex.slice(1);
const forgeries = {
  "another transaction": (forged) => (forged.transaction = flip(forged.transaction)),
  "another outcome": (forged) =>
    (forged.outcome = { conflict: { step: 7, keys: ["forged/key"] } }),
  "another index": (forged) => (forged.index += 1),
  "another height": (forged) => (forged.header.height += 1),
  "another state": (forged) => (forged.header.state = flip(forged.header.state)),
  "another signature": (forged) => {
    const [signature] = forged.certificate.signatures;
    signature.signature = flip(signature.signature);
  },
  "a signature twice": (forged) =>
    (forged.certificate.signatures[1] = forged.certificate.signatures[0]),
  "too few signatures": (forged) => forged.certificate.signatures.splice(1),
  "one member more": (forged) => (forged.extra = true),
};
for (const [name, forge] of Object.entries(forgeries)) {
  const forged = structuredClone(receipt);
  forge(forged);
  assert.throws(() => verify(forged), Error, `a receipt with ${name} was accepted`);
}
const otherNetwork = genesis.replace(/^network = "/m, '$&not-');
assert.notEqual(otherNetwork, genesis);
assert.throws(() => verify(receipt, otherNetwork), /is of network/);
assert.throws(() => verifyReceipt("{", genesis), Error);
assert.throws(() => verify(receipt, "network ="), Error);

console.log(
  `transaction ${verified.transaction} is ${JSON.stringify(verified.outcome)} at height ` +
    `${verified.height} of ${verified.network}, signed by ${verified.signers.join(", ")}; ` +
    `${Object.keys(forgeries).length} forgeries refused`,
);
