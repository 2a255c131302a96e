// The compiled module, loaded when it is first needed. Workers use it, and never the page's own thread.

let loading;

/** The module, ready to be called. */
export function wasm() {
  loading ??= import("./wasm/beaufort_web.js").then(async (module) => {
    await module.default({ module_or_path: new URL("./wasm/beaufort_web_bg.wasm", import.meta.url) });
    return module;
  });
  return loading;
}
