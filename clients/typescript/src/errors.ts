/** What was refused, or did not answer. A call that was aborted throws its signal's reason instead. */
export class TwoTowerError extends Error {
  override readonly name = "TwoTowerError";
  /**
   * The database's SQLSTATE (`22023`: an argument is wrong; `42501`: the caller may not), the server's own code
   * (`PGRST202`, `HTTP429`), `HTTP502` … of a proxy, `network` where nothing answered, `option` where an option of
   * `createClient` is wrong, or `model` where a model's file is refused.
   */
  readonly code: string;
  /** What to do about it, where the database says so. */
  readonly hint: string | null;
  /** The HTTP status; 0 where nothing answered, and for a redirect in a browser. */
  readonly status: number;

  constructor(code: string, message: string, details: { hint?: string | null; status?: number; cause?: unknown } = {}) {
    super(message, "cause" in details ? { cause: details.cause } : undefined);
    this.code = code;
    this.hint = details.hint ?? null;
    this.status = details.status ?? 0;
  }

  /** Whether the same call may well succeed a moment later. An exceeded time or rate is not worth another try. */
  get isTransient(): boolean {
    return this.code === "network" || this.status === 502 || this.status === 503 || TRANSIENT.test(this.code);
  }
}

// Connections that break, deadlocks, too many connections, a server that restarts.
const TRANSIENT = /^(08...|40001|40P01|53300|57P0.)$/;

/** An answer that is no success, as an error, whatever sent it. */
export function refusal(status: number, body: unknown): TwoTowerError {
  const said = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  return new TwoTowerError(text(said.code) ?? `HTTP${status}`, text(said.message) ?? `the server answered ${status}`, {
    hint: text(said.hint) ?? null,
    status,
  });
}

/** A request that got no answer. */
export function unreachable(cause: unknown, where: string): TwoTowerError {
  return new TwoTowerError("network", `${where} did not answer: ${reason(cause)}`, {
    hint: "is the address right, and the server up?",
    cause,
  });
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message ? error.cause.message : error.message;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
