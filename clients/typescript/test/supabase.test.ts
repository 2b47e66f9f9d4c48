import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, type SupabaseLike } from "two-tower";

type Answer = { data: unknown; error: { message: string; code?: string; hint?: string } | null; status: number };

/** What supabase-js is to the package: it answers as told. */
function supabase(...answers: (Answer | (() => Answer))[]): SupabaseLike & {
  asked: [string, object | undefined][];
  signals: AbortSignal[];
} {
  const asked: [string, object | undefined][] = [];
  const signals: AbortSignal[] = [];
  return {
    asked,
    signals,
    rpc(name, named) {
      asked.push([name, named]);
      const next = answers.shift()!;
      const answer = Promise.resolve(typeof next === "function" ? next() : next);
      const abortSignal = (signal: AbortSignal) => {
        signals.push(signal);
        return answer;
      };
      return Object.assign(answer, { abortSignal });
    },
  };
}

test("a call is an rpc, its options are the arguments", async () => {
  const double = supabase({ data: 7, error: null, status: 200 });
  assert.equal(await createClient({ supabase: double }).record("a video", "view", { weight: 0.5 }), 7);
  assert.deepEqual(double.asked, [["record_event", { p_video_id: "a video", p_kind: "view", p_weight: 0.5 }]]);
});

test("a refusal is an error that has the code, the hint and the status", async () => {
  const error = { code: "42501", message: "permission denied for function recommend_videos", hint: "ask" };
  const client = createClient({ supabase: supabase({ data: null, error, status: 403 }) });
  await assert.rejects(client.recommend("r00364274"), { name: "TwoTowerError", ...error, status: 403 });
});

test("a read is sent once more where fetch threw, what records is not", async () => {
  const threw = { data: null, error: { message: "TypeError: fetch failed", code: "", hint: "" }, status: 0 };
  const double = supabase(threw, { data: [], error: null, status: 200 }, threw);
  const client = createClient({ supabase: double });
  assert.deepEqual(await client.popular(), []);
  await assert.rejects(client.record("a video", "like"), { code: "network" });
  assert.equal(double.asked.length, 3);
});

test("a call's signal is handed to supabase-js", async () => {
  const double = supabase({ data: [], error: null, status: 200 }, { data: [], error: null, status: 200 });
  const client = createClient({ supabase: double });
  const { signal } = new AbortController();
  await client.popular("week", { signal });
  await client.popular("week");
  assert.equal(double.signals.length, 1);
  assert.equal(double.signals[0], signal);
  assert.deepEqual(double.asked.map(([, named]) => named), [{ p_window: "week" }, { p_window: "week" }]);
});

test("a call that is aborted throws the signal's reason", async () => {
  const reason = new Error("the user has left");
  const controller = new AbortController();
  const { signal } = controller;
  const leave = () => {
    controller.abort(reason);
    return { data: null, error: { message: "AbortError: This operation was aborted", code: "20", hint: "" }, status: 0 };
  };
  const double = supabase(leave, { data: 7, error: null, status: 200 });
  // What records has no second try, whose start would find the signal aborted.
  await assert.rejects(createClient({ supabase: double }).record("a video", "like", { signal }), reason);
  assert.equal(double.asked.length, 1);
});

test("a call whose signal is aborted already is not sent", async () => {
  const reason = new Error("the user has left");
  const double = supabase({ data: 7, error: null, status: 200 });
  const client = createClient({ supabase: double });
  const signal = AbortSignal.abort(reason);
  await assert.rejects(client.record("a video", "like", { signal }), reason);
  assert.equal(double.asked.length, 0);
});
