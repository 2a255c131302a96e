/**
 * For a service worker, called while its script is evaluated: keeps these files, and the package's own, for when their
 * server cannot be reached. Addresses are relative to the service worker's script; a query does not count.
 */
export function keep(...files: (string | URL)[]): void;
