// Recommendations for a user, or videos similar to one, with what a page shows of them, as JSON:
//
//   node recommend.ts user USER_ID [LIMIT]
//   node recommend.ts video VIDEO_ID [LIMIT]
//
// The first is for a server alone: the service key asks for anybody.

import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Database, Recommendation } from "./database.ts";

type Video = Database["public"]["Tables"]["videos"]["Row"];
type Shown = Recommendation & Omit<Video, "id">;
type Client = SupabaseClient<Database>;

export async function recommendForUser(client: Client, userId: string, limit = 20): Promise<Shown[]> {
  const { data } = await client
    .rpc("recommend_videos", { p_user_id: userId, p_limit: limit })
    .throwOnError();
  return withVideos(client, data);
}

export async function similarVideos(client: Client, videoId: string, limit = 20): Promise<Shown[]> {
  const { data } = await client
    .rpc("similar_videos", { p_video_id: videoId, p_limit: limit })
    .throwOnError();
  return withVideos(client, data);
}

/** Adds titles, pictures and links, in the order of the ranks. */
async function withVideos(client: Client, ranked: Recommendation[]): Promise<Shown[]> {
  const { data: videos } = await client
    .from("videos")
    .select("id, title, thumbnail_url, product_url")
    .in("id", ranked.map((row) => row.video_id))
    .throwOnError();
  const byId = new Map(videos.map(({ id, ...video }) => [id, video]));
  return ranked.flatMap((row) => {
    const video = byId.get(row.video_id);
    return video ? [{ ...row, ...video }] : []; // gone from the catalogue since the release
  });
}

function fromEnvironment(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

async function main([kind, id, limit = "20"]: string[]): Promise<void> {
  const run = { user: recommendForUser, video: similarVideos }[kind ?? ""];
  if (!run || !id) throw new Error("usage: node recommend.ts user|video ID [LIMIT]");
  const client = createClient<Database>(
    fromEnvironment("SUPABASE_URL"),
    fromEnvironment(kind === "user" ? "SUPABASE_SERVICE_ROLE_KEY" : "SUPABASE_ANON_KEY"),
  );
  console.log(JSON.stringify(await run(client, id, Number(limit)), null, 2));
}

if (import.meta.main) {
  main(process.argv.slice(2)).catch((error: Error) => {
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  });
}
