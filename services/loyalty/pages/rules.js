// The street's rules as the access control of its network. The replica's worker imports this, and asks before it votes.

import { openStreet } from "./street.js";

const street = await openStreet();

/** Whether a value may take another's place. */
export const allows = (key, old, value) => street.points.allows(key, old ?? undefined, value ?? undefined);
