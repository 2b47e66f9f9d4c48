import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { createClient, Recommender, TwoTowerError } from "two-tower";
import { besideService } from "./service.ts";

const VIDEO = "738a8344-047b-57a7-9ddc-b4fb57351bf8";
const ROW = {
  video_id: VIDEO, score: 0.5, rank: 1, source: "model", release_id: 1, title: "A title", thumbnail_url: null, product_url: null,
};
const UNAVAILABLE = { status: 503, body: { code: "57P01", message: "the server restarts", hint: null } };

test("a call is a function of the database, its options are the arguments", async () => {
  await besideService([{ body: [ROW] }], async (url, asked) => {
    const list = await createClient({ url: `${url}/`, key: "a key" }).recommend("r00364274", {
      limit: 10, excludeSeen: false, exclude: [VIDEO], filter: { price_max: 1000 }, diversity: 0.3,
    });
    assert.deepEqual(list, [ROW]);
    assert.deepEqual(asked, [{
      path: "/v1/recommend_videos",
      authorization: "Bearer a key",
      named: {
        user_id: "r00364274", limit: 10, exclude_seen: false, exclude: [VIDEO], filter: { price_max: 1000 }, diversity: 0.3,
      },
    }]);
  });
});

test("each call asks its own function", async () => {
  const ids = [VIDEO];
  const calls: [(client: Recommender) => Promise<unknown>, string, object][] = [
    [(c) => c.recommend("u", { rotation: 0.5 }), "recommend_videos", { user_id: "u", rotation: 0.5 }],
    [(c) => c.recommendForMe({ offset: 10 }), "recommend_for_me", { offset: 10 }],
    [(c) => c.recommendForLikes(ids, { limit: 1 }), "recommend_for_likes", { video_ids: ids, limit: 1 }],
    [(c) => c.recommendForVector(new Float32Array([0.5, 0]), { exclude: ids }), "recommend_for_vector", { embedding: [0.5, 0], exclude: ids }],
    [(c) => c.similar(VIDEO, { userId: "u" }), "similar_videos", { video_id: VIDEO, user_id: "u" }],
    [(c) => c.becauseYouWatched({ rows: 2, perRow: 5 }), "because_you_watched", { rows: 2, per_row: 5 }],
    [(c) => c.rank("u", ids), "rank_videos", { user_id: "u", video_ids: ids }],
    [(c) => c.popular(), "popular_videos", { window: "month" }],
    [(c) => c.newVideos({ limit: 2 }), "new_videos", { limit: 2 }],
    [(c) => c.trending({ limit: 3 }), "trending_videos", { limit: 3 }],
    [(c) => c.explain(VIDEO), "explain_recommendation", { user_id: null, video_id: VIDEO }],
    [(c) => c.similarUsers("u", { limit: 4 }), "similar_users", { user_id: "u", limit: 4 }],
    [(c) => c.recommendBatch(["u"], { limit: 5 }), "recommend_batch", { user_ids: ["u"], limit: 5 }],
    [(c) => c.record(VIDEO, "view", { weight: 0.5 }), "record_event", { video_id: VIDEO, kind: "view", weight: 0.5 }],
    [
      (c) => c.recordImpressions(ids, { releaseId: 7, source: "model" }),
      "record_impressions", { video_ids: ids, release_id: 7, source: "model" },
    ],
  ];
  await besideService(calls.map(() => ({ body: [] })), async (url, asked) => {
    for (const [call] of calls) await call(createClient({ url }));
    assert.deepEqual(
      asked.map(({ path, named }) => [path, named]),
      calls.map(([, name, named]) => [`/v1/${name}`, named]),
    );
  });
  const methods = Object.getOwnPropertyNames(Recommender.prototype).filter((name) => name !== "constructor");
  assert.equal(calls.length, methods.length);
});

test("a token is asked for before each call", async () => {
  await besideService([{ body: [] }, { body: [] }, { body: [] }], async (url, asked) => {
    let calls = 0;
    const client = createClient({ url, token: async () => `token ${(calls += 1)}` });
    await client.recommendForMe();
    await client.recommendForMe();
    await createClient({ url }).popular();
    assert.deepEqual(asked.map(({ authorization }) => authorization), ["Bearer token 1", "Bearer token 2", undefined]);
  });
});

test("an empty key or token is not sent, nor the line break at the end of a file", async () => {
  const options = [{ key: "" }, { token: "" }, { token: () => "\n" }, { key: "a key\n" }];
  await besideService(options.map(() => ({ body: [] })), async (url, asked) => {
    for (const option of options) await createClient({ url, ...option }).popular();
    assert.deepEqual(asked.map(({ authorization }) => authorization), [undefined, undefined, undefined, "Bearer a key"]);
  });
});

test("a key that no header may have is not sent, repeated or shown", async () => {
  await besideService([], async (url, asked) => {
    for (const secret of ["a secret\nof two lines", "a secret of 日本", "a secret\u0001"]) {
      let tries = 0;
      const token = () => {
        tries += 1;
        return secret;
      };
      for (const [by, option] of [["key", { key: secret }], ["token", { token }]] as const) {
        await assert.rejects(createClient({ url, ...option }).popular(), (error) => {
          assert(error instanceof TwoTowerError);
          assert.equal(error.code, "option");
          assert.equal(error.message, `the ${by} holds a character that no header may have`);
          assert.doesNotMatch(inspect(error, { showHidden: true }), /a secret/);
          return true;
        });
      }
      assert.equal(tries, 1);
    }
    assert.equal(asked.length, 0);
  });
});

test("a redirect is not followed, which would ask another call by GET", async () => {
  for (const status of [301, 302, 303, 307, 308]) {
    await besideService([{ status, location: "/v1/elsewhere", body: "" }, { body: [ROW] }], async (url, asked) => {
      await assert.rejects(createClient({ url }).similar(VIDEO), {
        code: "option", message: `${url} redirects`, hint: /final url/, status,
      });
      assert.equal(asked.length, 1);
    });
  }
});

test("a url may end in slashes, but not in /v1", async () => {
  await besideService([{ body: [] }, { body: [] }], async (url, asked) => {
    await createClient({ url: `${url}//` }).popular();
    await createClient({ url: `${url}/app/` }).popular();
    assert.deepEqual(asked.map(({ path }) => path), ["/v1/popular_videos", "/app/v1/popular_videos"]);
    for (const end of ["/v1", "/v1/", "/app/v1"]) {
      assert.throws(() => createClient({ url: url + end }), { name: "TwoTowerError", code: "option", message: /ends in \/v1/ });
    }
    assert.equal(createClient({ url: `${url}/app-v1` }) instanceof Recommender, true);
  });
});

test("a refusal has the database's code, message and hint", async () => {
  const body = { code: "22023", message: "p_limit is -1", hint: "It is 0 to 1,000." };
  await besideService([{ status: 422, body }], async (url) => {
    await assert.rejects(createClient({ url }).newVideos({ limit: -1 }), (error) => {
      assert(error instanceof TwoTowerError && error instanceof Error);
      assert.deepEqual(
        [error.name, error.code, error.message, error.hint, error.status],
        ["TwoTowerError", "22023", "p_limit is -1", "It is 0 to 1,000.", 422],
      );
      return true;
    });
  });
});

test("what a proxy says is no answer of the service", async () => {
  await besideService([{ status: 413, body: "<html>too large</html>" }, { body: "<html>Hello</html>" }, { body: "<html>" }], async (url) => {
    const client = createClient({ url });
    await assert.rejects(client.popular(), { code: "HTTP413", message: "the server answered 413" });
    await assert.rejects(client.popular(), { code: "network" });
  });
});

test("a read is sent once more where it failed in passing", async () => {
  const failed = (code: string) => ({ status: 500, body: { code, message: "in passing", hint: null } });
  const byStatus = [{ status: 502, body: "" }, { status: 503, body: "" }];
  const byCode = ["08006", "40001", "40P01", "53300", "57P01"].map(failed);
  for (const passing of ["hang up" as const, ...byStatus, ...byCode]) {
    await besideService([passing, { body: [ROW] }], async (url, asked) => {
      assert.deepEqual(await createClient({ url }).similar(VIDEO), [ROW]);
      assert.equal(asked.length, 2);
    });
  }
});

test("a read is not sent a third time", async () => {
  await besideService([UNAVAILABLE, UNAVAILABLE, { body: [ROW] }], async (url, asked) => {
    await assert.rejects(createClient({ url }).similar(VIDEO), { code: "57P01" });
    assert.equal(asked.length, 2);
  });
});

test("what records is sent once", async () => {
  await besideService([UNAVAILABLE, "hang up"], async (url, asked) => {
    const client = createClient({ url });
    await assert.rejects(client.record(VIDEO, "like"), { code: "57P01" });
    await assert.rejects(client.recordImpressions([VIDEO]), { code: "network" });
    assert.equal(asked.length, 2);
  });
});

test("what will fail again is sent once", async () => {
  const lasting = [[403, "42501"], [422, "22023"], [429, "rate"], [504, "57014"]] as const;
  const answers = lasting.map(([status, code]) => ({ status, body: { code, message: "no", hint: null } }));
  await besideService(answers, async (url, asked) => {
    for (const [, code] of lasting) await assert.rejects(createClient({ url }).popular(), { code });
    assert.equal(asked.length, 4);
  });
});

test("an aborted call throws the signal's reason and is not repeated", async () => {
  const reason = new Error("the user has left");
  const controller = new AbortController();
  const leave = () => {
    controller.abort(reason);
    return "never" as const;
  };
  await besideService([leave], async (url, asked) => {
    const client = createClient({ url });
    await assert.rejects(client.popular("week", { signal: controller.signal }), reason);
    await assert.rejects(client.popular("week", { signal: controller.signal }), reason);
    assert.equal(asked.length, 1);
  });
  await besideService(["never"], async (url) => {
    const signal = AbortSignal.timeout(50);
    await assert.rejects(createClient({ url }).popular("week", { signal }), { name: "TimeoutError" });
  });
});

test("a call that is aborted before its second try is not sent again", async () => {
  await besideService([UNAVAILABLE], async (url, asked) => {
    const controller = new AbortController();
    let tries = 0;
    const token = () => {
      if ((tries += 1) === 2) controller.abort();
      return "a token";
    };
    const call = createClient({ url, token }).popular("week", { signal: controller.signal });
    await assert.rejects(call, { name: "AbortError" });
    assert.equal(asked.length, 1);
  });
});

test("nobody listens", async () => {
  await assert.rejects(createClient({ url: "http://127.0.0.1:9" }).popular(), { name: "TwoTowerError", code: "network", status: 0 });
});

test("rows of because_you_watched become rows of a page", async () => {
  const because = (number: number, title: string | null) => ({
    ...ROW, because_video_id: `liked ${number}`, because_title: title, row_rank: number,
  });
  await besideService([{ body: [because(1, "A"), because(1, "A"), because(2, null)] }], async (url) => {
    assert.deepEqual(await createClient({ url }).becauseYouWatched({ rows: 2, perRow: 2 }), [
      { video_id: "liked 1", title: "A", videos: [ROW, ROW] },
      { video_id: "liked 2", title: null, videos: [ROW] },
    ]);
  });
});

test("a batch has a list for everybody who was asked for", async () => {
  await besideService([{ body: [{ user_id: "__proto__", ...ROW }] }], async (url) => {
    const lists = await createClient({ url }).recommendBatch(["__proto__", "b"], { limit: 1 });
    assert.deepEqual([...lists], [["__proto__", [ROW]], ["b", []]]);
  });
});

test("an explanation is of who has signed in, or of whom a service names", async () => {
  await besideService([{ body: [] }, { body: [] }], async (url, asked) => {
    const client = createClient({ url });
    await client.explain(VIDEO);
    await client.explain(VIDEO, { userId: "r00364274" });
    assert.deepEqual(asked.map(({ named }) => named), [
      { user_id: null, video_id: VIDEO },
      { user_id: "r00364274", video_id: VIDEO },
    ]);
  });
});
