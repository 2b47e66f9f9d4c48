import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

/** What a request was, and what answers it. */
export interface Asked {
  path: string;
  authorization: string | undefined;
  named: Record<string, unknown>;
}
export type Answer = { status?: number; location?: string; body: unknown } | "never" | "hang up" | (() => "never");

/** Runs a test beside a service that gives these answers, one a request. */
export async function besideService(answers: Answer[], test: (url: string, asked: Asked[]) => Promise<void>): Promise<void> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const named = JSON.parse((await bodyOf(request)) || "{}") as Record<string, unknown>;
    asked.push({ path: request.url!, authorization: request.headers.authorization, named });
    const next = answers.shift() ?? { status: 500, body: { code: "test", message: "one request too many" } };
    const answer = typeof next === "function" ? next() : next;
    if (answer === "never") return;
    if (answer === "hang up") return void request.socket.destroy();
    const location = answer.location === undefined ? {} : { location: answer.location };
    response.writeHead(answer.status ?? 200, { "content-type": "application/json", ...location });
    response.end(typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await test(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const part of request) body += part;
  return body;
}
