// What a shop sees of the street: what points do, and how the other shops are.

import { counted } from "./street.js";
import { at, element, whenText } from "./view.js";

const SHOWN = 25;
const MARKS = { pending: "…", final: "✓", lost: "✕" };
const STATES = { pending: "pending", final: "final", lost: "did not happen" };

/** Shows pending, final and lost changes, the newest first. */
export function showActivity(place, activity, street, till) {
  const name = (holder) => (holder === till ? "this shop" : street.nameOf(holder));
  const items = activity.slice(0, SHOWN).map((item) => activityItem(item, street, name));
  const nothing = element("li", { className: "hint" }, "Nothing yet. Award the first points.");
  place.replaceChildren(...(items.length > 0 ? items : [nothing]));
}

function activityItem(item, street, name) {
  const verb = item.isAward ? "awarded to" : "to";
  const mark = element("span", { className: "mark" }, MARKS[item.state]);
  mark.setAttribute("aria-label", STATES[item.state]);
  const note = {
    pending: "pending: the shops are agreeing",
    final: `final · ${item.signers} of ${street.shops.length} shops signed`,
    lost: item.why,
  }[item.state];
  return element(
    "li",
    { className: item.state },
    mark,
    element(
      "div",
      {},
      element("p", {}, `${name(item.from)} ${verb} ${name(item.to)}`),
      element("p", { className: "hint" }, `${note} · ${whenText(item.time)}`),
    ),
    element("strong", {}, `${item.points}`),
  );
}

/** Shows the other shops, how this tablet stands to them, and whose votes no longer count. */
export function showNetwork({ status, members, street, ledger }) {
  const connected = status.neighbours.length;
  const isOnline = connected > 0 || members.length === 1;
  const excluded = members.filter(({ exclusion }) => exclusion).length;
  const pill = at("pill");
  pill.textContent = isOnline ? `connected to ${counted(connected, "shop")}` : "offline";
  pill.className = isOnline ? (excluded > 0 ? "pill warned" : "pill online") : "pill";
  at("offline").hidden = isOnline;

  at("members").replaceChildren(...members.map((member) => memberItem(member, street, ledger)));
  const servers = status.signaling.filter(({ isOpen }) => isOpen).length;
  const deciding = status.pending === 0 ? "Nothing is waiting." : `${counted(status.pending, "lot")} being decided.`;
  const meeting = `${servers} of ${counted(status.signaling.length, "meeting point")} can be reached; they are needed to enter only.`;
  at("network").textContent = `${deciding} ${meeting}`;
  at("caution").hidden = !status.isCautious;
}

function memberItem({ key, isSelf, isConnected, exclusion }, street, ledger) {
  const { name, till } = street.shops.find((shop) => shop.key === key);
  const { all, withCustomers } = ledger.issued(till);
  const state = exclusion ? "excluded" : isSelf || isConnected ? "connected" : "away";
  const text = {
    excluded: `excluded: ${exclusion}. This tablet no longer talks to it.`,
    connected: isSelf ? "this tablet" : "connected",
    away: "not connected to this tablet",
  }[state];
  return element(
    "li",
    { className: state },
    element("span", { className: "dot" }),
    element(
      "div",
      {},
      element("p", {}, name),
      element("p", { className: "hint" }, text),
      element("p", { className: "hint" }, `awarded ${all} · ${withCustomers} with customers · holds ${ledger.balance(till)}`),
    ),
  );
}
