import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, type SupabaseLike } from "two-tower";

type Answer = { data: unknown; error: { message: string; code?: string; hint?: string } | null; status: number };

/** What supabase-js is to the package: it answers as told. */
function supabase(...answers: Answer[]): SupabaseLike & { asked: [string, object | undefined][] } {
  const asked: [string, object | undefined][] = [];
  return {
    asked,
    rpc(name, named) {
      asked.push([name, named]);
      const answer = Promise.resolve(answers.shift()!);
      return Object.assign(answer, { abortSignal: () => answer });
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
