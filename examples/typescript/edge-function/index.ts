// A Supabase Edge Function that puts videos into the order of a user's taste, such as the results of a search:
//
//   POST { "video_ids": ["…", …] }   with the token of whoever has signed in   →   the list
//
// rank_videos is for services, since it takes any user's id. So the function holds the service key, checks the token
// and asks for the user of that token alone.

import { createClient as createSupabase } from "@supabase/supabase-js";
import { corsHeaders } from "@supabase/supabase-js/cors";
import { createClient, type Database, TwoTowerError } from "two-tower";

const supabase = createSupabase<Database>(
  Deno.env.get("SUPABASE_URL")!,
  Deno.env.get("SUPABASE_SERVICE_ROLE_KEY")!,
  { auth: { autoRefreshToken: false, persistSession: false } },
);
const videos = createClient({ supabase });

Deno.serve(async (request) => {
  if (request.method === "OPTIONS") return new Response("ok", { headers: corsHeaders });
  const userId = await signedIn(request.headers.get("authorization"));
  if (!userId) return answer(401, { message: "sign in first" });
  const { video_ids } = await request.json().catch(() => ({}));
  if (!Array.isArray(video_ids)) return answer(400, { message: 'send {"video_ids": ["…"]}' });
  try {
    return answer(200, await videos.rank(userId, video_ids));
  } catch (error) {
    if (!(error instanceof TwoTowerError)) throw error;
    console.error(`${error.code}: ${error.message}`);
    const isTheirs = error.code === "22023" || error.code === "22P02";
    return answer(isTheirs ? 400 : 503, { message: isTheirs ? error.message : "try again later" });
  }
});

/** The user of a valid token. An anon key is a valid token too, and of nobody. */
async function signedIn(authorization: string | null): Promise<string | undefined> {
  const token = authorization?.match(/^Bearer (.+)$/i)?.[1];
  if (!token) return undefined;
  const { data } = await supabase.auth.getClaims(token);
  // Where two_tower.app_users gives accounts other ids, look up the id of `sub` here.
  return data?.claims.role === "authenticated" ? data.claims.sub : undefined;
}

function answer(status: number, body: unknown): Response {
  return Response.json(body, { status, headers: corsHeaders });
}
