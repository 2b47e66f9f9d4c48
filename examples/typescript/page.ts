// A page with rows of videos, rendered on a server: what is popular, and what fits the videos that a visitor clicks on.
//
//   TWO_TOWER_URL=http://127.0.0.1:8000 node page.ts [PORT]
//
// TWO_TOWER_URL is where `two-tower serve` answers, TWO_TOWER_KEY a key of it, if it wants one. Nothing is stored: the
// clicks are in the page's address.

import { createServer } from "node:http";
import { createClient, TwoTowerError, type Recommendation } from "two-tower";

const { TWO_TOWER_URL: url, TWO_TOWER_KEY: key } = process.env;
if (!url) throw new Error("TWO_TOWER_URL is not set: where does two-tower serve answer?");
const videos = createClient({ url, ...(key ? { key } : {}) });

async function page(likes: string[], signal: AbortSignal): Promise<string> {
  const [forYou, popular] = await Promise.all([
    likes.length > 0 ? videos.recommendForLikes(likes, { limit: 12, signal }) : [],
    videos.popular("all", { limit: 12, signal }),
  ]);
  const rows = [row("For you", forYou, likes), row("Popular", popular, likes)].join("");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Videos</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.4 system-ui, sans-serif; }
  body { margin: 0 auto; max-width: 72rem; padding: 1rem; }
  ul { display: flex; gap: 1rem; list-style: none; overflow-x: auto; padding: .25rem 0 1rem; }
  li { flex: 0 0 11rem; }
  a { color: inherit; display: block; text-decoration: none; }
  a:hover span, a:focus-visible span { text-decoration: underline; }
  div { aspect-ratio: 4 / 3; background: #8884; border-radius: .5rem; overflow: hidden; }
  img { height: 100%; object-fit: cover; width: 100%; }
</style>
</head>
<body>
<h1>Videos</h1>
${rows}</body>
</html>
`;
}

function row(heading: string, list: Recommendation[], likes: string[]): string {
  if (list.length === 0) return "";
  const cards = list.map(({ video_id, title, thumbnail_url }) => {
    const picture = thumbnail_url ? `<img src="${escaped(thumbnail_url)}" alt="" loading="lazy">` : "";
    const liked = [...new Set([...likes, video_id])].join(",");
    return `<li><a href="/?likes=${encodeURIComponent(liked)}"><div>${picture}</div><span>${escaped(title ?? "Untitled")}</span></a></li>\n`;
  });
  return `<section aria-label="${heading}">\n<h2>${heading}</h2>\n<ul>\n${cards.join("")}</ul>\n</section>\n`;
}

function escaped(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://page");
  const answer = (status: number, type: string, text: string) =>
    response.writeHead(status, { "content-type": `${type}; charset=utf-8` }).end(text);
  if (pathname !== "/") return answer(404, "text/plain", "There is no such page.");
  // Who leaves the page no longer waits for an answer.
  const left = new AbortController();
  response.on("close", () => left.abort());
  try {
    const likes = searchParams.get("likes")?.split(",").filter(Boolean) ?? [];
    answer(200, "text/html", await page(likes, left.signal));
  } catch (error) {
    if (left.signal.aborted) return;
    console.error(error instanceof TwoTowerError ? `${error.code}: ${error.message}` : error);
    answer(503, "text/plain", "The videos cannot be shown at the moment.");
  }
});

server.listen(Number(process.argv[2] ?? 3000), "127.0.0.1", () => {
  const address = server.address();
  console.log(`http://127.0.0.1:${typeof address === "object" ? address?.port : address}`);
});
