// Rules of an application, as a module that the worker imports: counters only count upwards.

export function allows(key, old, value) {
  const number = (bytes) => (bytes === null ? -1 : JSON.parse(new TextDecoder().decode(bytes)));
  return key.startsWith("counter/") && value !== null && number(value) > number(old);
}
