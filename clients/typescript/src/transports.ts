import { refusal, TwoTowerError, unreachable } from "./errors.ts";

/** Calls a function of the database by its name and its arguments, without their `p_`, and returns its rows. */
export type Transport = (name: string, named: Record<string, unknown>, signal?: AbortSignal) => Promise<unknown>;

/** What is used of a client of supabase-js. */
export interface SupabaseLike {
  rpc(name: string, named?: object): SupabaseCall;
}

interface SupabaseCall extends PromiseLike<SupabaseAnswer> {
  abortSignal(signal: AbortSignal): PromiseLike<SupabaseAnswer>;
}

interface SupabaseAnswer {
  data: unknown;
  error: { message: string } | null;
  status: number;
}

/** A client of supabase-js: who asks is whose key or token it carries. */
export interface SupabaseTarget {
  supabase: SupabaseLike;
}

/** An HTTP service, as `two-tower serve` runs one. */
export interface HttpTarget {
  /** Where it is, without `/v1`. Its final address: a redirect is an error. */
  url: string;
  /** A key of the app. */
  key?: string;
  /** The token of who has signed in, in place of a key; a function is asked before each call, so that it may renew it. */
  token?: string | (() => string | Promise<string>);
}

export type Target = SupabaseTarget | HttpTarget;

export function transportTo(target: Target): Transport {
  return "supabase" in target ? overSupabase(target) : overHttp(target);
}

function overSupabase({ supabase }: SupabaseTarget): Transport {
  return async (name, named, signal) => {
    const prefixed = Object.entries(named).map(([argument, value]) => [`p_${argument}`, value]);
    const call = supabase.rpc(name, Object.fromEntries(prefixed));
    const { data, error, status } = await (signal ? call.abortSignal(signal) : call);
    if (!error) return data;
    signal?.throwIfAborted();
    // supabase-js has status 0 where fetch threw.
    throw status === 0 ? unreachable(error.message, "Supabase") : refusal(status, error);
  };
}

function overHttp({ url, key, token }: HttpTarget): Transport {
  const base = url.replace(/\/+$/, "");
  if (base.endsWith("/v1")) throw new TwoTowerError("option", "url ends in /v1", { hint: "give it without: each call adds /v1" });
  return async (name, named, signal) => {
    const headers = new Headers({ "content-type": "application/json" });
    if (token === undefined) authorize(headers, "key", key);
    else authorize(headers, "token", typeof token === "function" ? await token() : token);
    // A redirect of a POST may become a GET, which has no arguments. "error" would look like a lost connection in a browser.
    const request: RequestInit = {
      method: "POST", headers, body: JSON.stringify(named), signal: signal ?? null, redirect: "manual",
    };
    let response: Response;
    let body: string;
    try {
      response = await fetch(`${base}/v1/${name}`, request);
      body = await response.text();
    } catch (error) {
      signal?.throwIfAborted();
      throw unreachable(error, base);
    }
    if (isRedirect(response)) {
      const hint = "give createClient the final url, such as https:// in place of http://";
      throw new TwoTowerError("option", `${base} redirects`, { hint, status: response.status });
    }
    if (!response.ok) throw refusal(response.status, parsed(body));
    const answer = parsed(body);
    if (answer === undefined) throw unreachable(`it sent no JSON: ${body.slice(0, 80)}`, base);
    return answer;
  };
}

function authorize(headers: Headers, option: "key" | "token", secret = ""): void {
  const bearer = secret.trim();
  // fetch's own error would quote the secret.
  if (/[^\t\x20-\x7e\x80-\xff]/.test(bearer)) {
    throw new TwoTowerError("option", `the ${option} holds a character that no header may have`, {
      hint: "is there a line break or a letter beyond Latin-1 in it?",
    });
  }
  if (bearer) headers.set("authorization", `Bearer ${bearer}`);
}

/** Browsers hide a redirect's status, and give 0. */
function isRedirect({ type, status }: Response): boolean {
  return type === "opaqueredirect" || (status >= 300 && status < 400);
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
