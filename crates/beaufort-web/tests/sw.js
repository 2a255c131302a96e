import { keep } from "./package/offline.js";
keep("page.html", "rules.js");
