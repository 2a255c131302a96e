// Keeps the pages on the device for when their server cannot be reached. While it can be, they come from there.

import { keep } from "./beaufort/offline.js";

keep(
  ...["shop.html", "wallet.html", "style.css", "icon.svg", "street.json", "rules.js"],
  ...["shop.js", "wallet.js", "ledger.js", "overview.js", "setup.js", "street.js", "view.js"],
  ...["wasm/loyalty.js", "wasm/loyalty_bg.wasm"],
);
