// The worker of `library.js`.

import { wasm } from "./wasm.js";

self.onmessage = async ({ data: { id, method, args } }) => {
  try {
    const module = await wasm();
    self.postMessage({ id, value: module[method](...args) });
  } catch (error) {
    self.postMessage({ id, error: String(error.message ?? error) });
  }
};
