/** A `SlotkeeperError`. */
export function failure(code, message, field = null, status = null) {
  return Object.assign(new Error(message), { name: "SlotkeeperError", code, field, status });
}

export const badArgument = (field, message) => failure("invalid_argument", `${field}: ${message}`, field);

export const destroyed = () => failure("client_destroyed", "this client was destroyed; load a new one");
