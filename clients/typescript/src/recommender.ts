import type { Database, EventKind, PopularityWindow } from "./database.ts";
import { TwoTowerError } from "./errors.ts";
import { transportTo, type Target, type Transport } from "./transports.ts";

type Functions = Database["public"]["Functions"];
type Row<Name extends keyof Functions> = Functions[Name]["Returns"] extends (infer R)[] ? R : never;
type Camel<Name extends string> = Name extends `${infer First}_${infer Rest}` ? `${First}${Capitalize<Camel<Rest>>}` : Name;
type Named<Arguments> = { [Name in keyof Arguments as Name extends `p_${infer Bare}` ? Camel<Bare> : never]: Arguments[Name] };
/** The arguments of a function as options: `p_exclude_seen` is `excludeSeen`; without those given before them. */
type Options<Name extends keyof Functions, Given extends string = never> = Omit<Asked<Name>, Given>;
type Asked<Name extends keyof Functions> = Named<Functions[Name]["Args"]> & Abortable;
type Abortable = {
  /** Ends the call, which then throws the signal's reason. `AbortSignal.timeout(2000)` is a limit of time. */
  signal?: AbortSignal;
};

/** One video of a list, with what a page shows of it. `score` falls with `rank`. */
export type Recommendation = Row<"recommend_videos">;
/** A row of a page: videos like one that the user liked lately. */
export type Because = { video_id: string; title: string | null; videos: Recommendation[] };
/** What one thing that is known of a user adds to the score of a video. */
export type Share = Row<"explain_recommendation">;
/** A user by the cosine of their vector, -1 to 1. */
export type SimilarUser = Row<"similar_users">;

export type RecommendOptions = Options<"recommend_videos", "userId">;
export type MyOptions = Options<"recommend_for_me">;
export type LikesOptions = Options<"recommend_for_likes", "videoIds">;
export type SimilarOptions = Options<"similar_videos", "videoId">;
export type BecauseOptions = Options<"because_you_watched">;
export type ListOptions = Options<"new_videos">;
export type VectorOptions = Options<"recommend_for_vector", "embedding">;
export type ExplainOptions = { userId?: string } & Abortable;
export type SimilarUsersOptions = Options<"similar_users", "userId">;
export type BatchOptions = Options<"recommend_batch", "userIds">;
export type EventOptions = Options<"record_event", "videoId" | "kind">;
export type ImpressionOptions = Options<"record_impressions", "videoIds">;

const RETRY_AFTER_MS = 200;

/**
 * Opens the calls over supabase-js, `{ supabase }`, or over HTTP, `{ url, key }` or `{ url, token }`.
 * Nothing is sent before the first call.
 */
export function createClient(target: Target): Recommender {
  return new Recommender(transportTo(target));
}

/**
 * What an app may ask: a function of the database each. What an option does: docs/app.md.
 *
 * A list is never empty but where a filter, an exclusion or a cap leaves nothing. Every call throws
 * {@link TwoTowerError}. A read that failed in passing is sent once more; what records is not.
 */
export class Recommender {
  readonly #call: Transport;

  constructor(transport: Transport) {
    this.#call = transport;
  }

  /** The best videos for a user; a service may ask. */
  recommend(userId: string, options: RecommendOptions = {}): Promise<Recommendation[]> {
    return this.#read("recommend_videos", { userId, ...options });
  }

  /** The best videos for who has signed in. */
  recommendForMe(options: MyOptions = {}): Promise<Recommendation[]> {
    return this.#read("recommend_for_me", options);
  }

  /** The best videos for a visitor who likes these. Nothing is stored. */
  recommendForLikes(videoIds: readonly string[], options: LikesOptions = {}): Promise<Recommendation[]> {
    return this.#read("recommend_for_likes", { videoIds, ...options });
  }

  /** The videos nearest to a vector of the model that serves, as `two-tower/onnx` makes one; a service may ask. */
  recommendForVector(embedding: ArrayLike<number>, options: VectorOptions = {}): Promise<Recommendation[]> {
    return this.#read("recommend_for_vector", { embedding: Array.from(embedding), ...options });
  }

  /** The videos most similar to one. */
  similar(videoId: string, options: SimilarOptions = {}): Promise<Recommendation[]> {
    return this.#read("similar_videos", { videoId, ...options });
  }

  /** Rows of videos, each similar to one that the user liked lately, the last liked first. */
  async becauseYouWatched(options: BecauseOptions = {}): Promise<Because[]> {
    const found = new Map<number, Because>();
    for (const row of await this.#read("because_you_watched", options)) {
      const { because_video_id, because_title, row_rank, ...video } = row;
      const because = found.get(row_rank) ?? { video_id: because_video_id, title: because_title, videos: [] };
      because.videos.push(video);
      found.set(row_rank, because);
    }
    return [...found.values()];
  }

  /** These videos in the order of a user's taste; a service may ask. */
  rank(userId: string, videoIds: readonly string[], options: Abortable = {}): Promise<Recommendation[]> {
    return this.#read("rank_videos", { userId, videoIds, ...options });
  }

  /** The most liked videos of a window of time. */
  popular(window: PopularityWindow = "month", options: ListOptions = {}): Promise<Recommendation[]> {
    return this.#read("popular_videos", { window, ...options });
  }

  /** The latest released videos. */
  newVideos(options: ListOptions = {}): Promise<Recommendation[]> {
    return this.#read("new_videos", options);
  }

  /** Videos with more likes this week than in an average week of the four before. */
  trending(options: ListOptions = {}): Promise<Recommendation[]> {
    return this.#read("trending_videos", options);
  }

  /** What the score of a video is made of, for who has signed in or, if a service asks, for `userId`. */
  explain(videoId: string, { userId, ...options }: ExplainOptions = {}): Promise<Share[]> {
    return this.#read("explain_recommendation", { userId: userId ?? null, videoId, ...options });
  }

  /** The users whose taste is nearest to a user's; a service may ask. */
  similarUsers(userId: string, options: SimilarUsersOptions = {}): Promise<SimilarUser[]> {
    return this.#read("similar_users", { userId, ...options });
  }

  /** A list for each user, by the id that was given; a service may ask. */
  async recommendBatch(userIds: readonly string[], options: BatchOptions = {}): Promise<Map<string, Recommendation[]>> {
    const found = new Map<string, Recommendation[]>(userIds.map((userId) => [userId, []]));
    for (const { user_id, ...video } of await this.#read("recommend_batch", { userIds, ...options })) {
      found.get(user_id)?.push(video);
    }
    return found;
  }

  /** Records what a user did, and returns the event's id. The next list of theirs knows of it. */
  record(videoId: string, kind: EventKind, options: EventOptions = {}): Promise<number> {
    return this.#write("record_event", { videoId, kind, ...options });
  }

  /** Records which list a user was shown, and returns how many videos were stored. */
  recordImpressions(videoIds: readonly string[], options: ImpressionOptions = {}): Promise<number> {
    return this.#write("record_impressions", { videoIds, ...options });
  }

  async #read<Name extends keyof Functions>(name: Name, options: Asked<Name>): Promise<Functions[Name]["Returns"]> {
    try {
      return await this.#write(name, options);
    } catch (error) {
      if (!(error instanceof TwoTowerError && error.isTransient)) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS));
      return this.#write(name, options);
    }
  }

  async #write<Name extends keyof Functions>(
    name: Name,
    { signal, ...options }: Asked<Name>,
  ): Promise<Functions[Name]["Returns"]> {
    signal?.throwIfAborted();
    const named = Object.entries(options).map(([option, value]) => [snake(option), value]);
    return (await this.#call(name, Object.fromEntries(named), signal)) as Functions[Name]["Returns"];
  }
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
