import { refusal, unreachable } from "./errors.ts";

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
  /** Where it is, without `/v1`. */
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

function overHttp({ url, key, token = key }: HttpTarget): Transport {
  const base = url.replace(/\/+$/, "");
  return async (name, named, signal) => {
    const bearer = typeof token === "function" ? await token() : token;
    const request = {
      method: "POST",
      headers: { "content-type": "application/json", ...(bearer ? { authorization: `Bearer ${bearer}` } : {}) },
      body: JSON.stringify(named),
      signal: signal ?? null,
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
    if (!response.ok) throw refusal(response.status, parsed(body));
    const answer = parsed(body);
    if (answer === undefined) throw unreachable(`it sent no JSON: ${body.slice(0, 80)}`, base);
    return answer;
  };
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
