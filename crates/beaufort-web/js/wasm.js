// The compiled module in the page: for keys and certificates, not for the replica. Loaded when it is first needed.

let loading;

/** The module, ready to be called. */
export function wasm() {
  loading ??= import("./wasm/beaufort_web.js").then(async (module) => {
    await module.default();
    return module;
  });
  return loading;
}
