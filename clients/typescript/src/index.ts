/**
 * Video recommendations from a two-tower database.
 *
 * {@link createClient} opens a {@link Recommender}, over supabase-js or over HTTP; both have the same calls.
 */

export { createClient, Recommender } from "./recommender.ts";
export type {
  Because,
  BatchOptions,
  BecauseOptions,
  EventOptions,
  ExplainOptions,
  ImpressionOptions,
  LikesOptions,
  ListOptions,
  MyOptions,
  Recommendation,
  RecommendOptions,
  Share,
  SimilarOptions,
  SimilarUser,
  SimilarUsersOptions,
  VectorOptions,
} from "./recommender.ts";
export { TwoTowerError } from "./errors.ts";
export type { HttpTarget, SupabaseLike, SupabaseTarget, Target } from "./transports.ts";
export type { Database, EventKind, Json, PopularityWindow, Source, VideoFilter } from "./database.ts";
