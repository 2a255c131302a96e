// Runs the module of crates/beaufort/examples/costs.rs: node scripts/wasm-costs.mjs costs.wasm
import { readFileSync } from "node:fs";

const module = await WebAssembly.compile(readFileSync(process.argv[2]));
const text = new TextDecoder();
const host = {
  // The processor's time for this process, so that other programs matter less.
  milliseconds: () => process.cpuUsage().user / 1000,
  line: (start, length) => console.log(text.decode(new Uint8Array(memory.buffer, start, length))),
};
const { exports } = await WebAssembly.instantiate(module, { host });
const { memory } = exports;
exports.main(0, 0);
