// Recommendations with what a page shows of them, as JSON:
//
//   node recommend.ts user USER_ID [LIMIT]         for a user, by the service key
//   node recommend.ts likes ID,ID,… [LIMIT]        for a visitor who likes these, by the anon key
//   node recommend.ts video VIDEO_ID [LIMIT]       similar to a video, by the anon key

import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Database, Recommendation } from "./database.ts";

type Client = SupabaseClient<Database>;

/** For whoever has signed in: the client carries their token. */
export async function recommendForMe(client: Client, limit = 20): Promise<Recommendation[]> {
  const { data } = await client.rpc("recommend_for_me", { p_limit: limit }).throwOnError();
  return data;
}

/** For any user: on a server alone, since the service key opens everything. */
export async function recommendForUser(client: Client, userId: string, limit = 20): Promise<Recommendation[]> {
  const { data } = await client
    .rpc("recommend_videos", { p_user_id: userId, p_limit: limit })
    .throwOnError();
  return data;
}

export async function recommendForLikes(client: Client, videoIds: string[], limit = 20): Promise<Recommendation[]> {
  const { data } = await client
    .rpc("recommend_for_likes", { p_video_ids: videoIds, p_limit: limit })
    .throwOnError();
  return data;
}

export async function similarVideos(client: Client, videoId: string, limit = 20): Promise<Recommendation[]> {
  const { data } = await client
    .rpc("similar_videos", { p_video_id: videoId, p_limit: limit })
    .throwOnError();
  return data;
}

/** What the user has done counts in their next list. */
export async function like(client: Client, videoId: string): Promise<void> {
  await client.rpc("record_event", { p_video_id: videoId, p_kind: "like" }).throwOnError();
}

function fromEnvironment(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

const ask: Record<string, (id: string, limit: number) => Promise<Recommendation[]>> = {
  user: (id, limit) => recommendForUser(client("SUPABASE_SERVICE_ROLE_KEY"), id, limit),
  likes: (id, limit) => recommendForLikes(client("SUPABASE_ANON_KEY"), id.split(","), limit),
  video: (id, limit) => similarVideos(client("SUPABASE_ANON_KEY"), id, limit),
};

function client(key: string): Client {
  return createClient<Database>(fromEnvironment("SUPABASE_URL"), fromEnvironment(key));
}

async function main([kind, id, limit = "20"]: string[]): Promise<void> {
  const run = ask[kind ?? ""];
  if (!run || !id) throw new Error("usage: node recommend.ts user|likes|video ID [LIMIT]");
  console.log(JSON.stringify(await run(id, Number(limit)), null, 2));
}

if (import.meta.main) {
  main(process.argv.slice(2)).catch((error: Error) => {
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  });
}
