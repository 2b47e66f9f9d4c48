// Recommendations with what a page shows of them, as JSON:
//
//   node recommend.ts user USER_ID [LIMIT]         for a user, by the service key
//   node recommend.ts likes ID,ID,… [LIMIT]        for a visitor who likes these, by the anon key
//   node recommend.ts video VIDEO_ID [LIMIT]       similar to a video, by the anon key

import { createClient as createSupabase } from "@supabase/supabase-js";
import { createClient, type Database, type Recommendation, type Recommender } from "two-tower";

const ask: Record<string, (id: string, limit: number) => Promise<Recommendation[]>> = {
  user: (id, limit) => open("SUPABASE_SERVICE_ROLE_KEY").recommend(id, { limit }),
  likes: (id, limit) => open("SUPABASE_ANON_KEY").recommendForLikes(id.split(","), { limit }),
  video: (id, limit) => open("SUPABASE_ANON_KEY").similar(id, { limit }),
};

function open(key: string): Recommender {
  const supabase = createSupabase<Database>(fromEnvironment("SUPABASE_URL"), fromEnvironment(key));
  return createClient({ supabase });
}

function fromEnvironment(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

async function main([kind, id, limit = "20"]: string[]): Promise<void> {
  const run = ask[kind ?? ""];
  if (!run || !id) throw new Error("usage: node recommend.ts user|likes|video ID [LIMIT]");
  console.log(JSON.stringify(await run(id, Number(limit)), null, 2));
}

main(process.argv.slice(2)).catch((error: Error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
});
