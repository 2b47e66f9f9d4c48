// What this app sees of the database, in the shape `supabase gen types typescript` writes.

export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

export type Recommendation = {
  video_id: string;
  score: number;
  rank: number;
  source: "model" | "likes" | "popular";
  release_id: number | null;
  title: string | null;
  thumbnail_url: string | null;
  product_url: string | null;
};

export type Because = Recommendation & { because_video_id: string; because_title: string | null; row_rank: number };

type Page = { p_limit?: number; p_filter?: Json; p_exclude?: string[]; p_offset?: number };
type Shaped = Page & { p_diversity?: number };
type ForUser = Shaped & { p_exclude_seen?: boolean; p_rotation?: number };
type List<Args> = { Args: Args; Returns: Recommendation[] };

export type Database = {
  public: {
    Tables: {
      user_embeddings: {
        Row: { user_id: string; embedding: string };
        Insert: never;
        Update: never;
        Relationships: [];
      };
    };
    Views: Record<never, never>;
    Functions: {
      recommend_videos: List<{ p_user_id: string } & ForUser>;
      recommend_for_me: List<ForUser>;
      recommend_for_likes: List<{ p_video_ids: string[]; p_exclude_seen?: boolean } & Shaped>;
      similar_videos: List<{ p_video_id: string; p_user_id?: string } & Shaped>;
      rank_videos: List<{ p_user_id: string; p_video_ids: string[] }>;
      popular_videos: List<{ p_window?: "day" | "week" | "month" | "year" | "all" } & Page>;
      new_videos: List<Page>;
      trending_videos: List<Page>;
      because_you_watched: {
        Args: { p_user_id?: string; p_rows?: number; p_per_row?: number };
        Returns: Because[];
      };
      similar_users: {
        Args: { p_user_id: string; p_limit?: number };
        Returns: { user_id: string; score: number; rank: number }[];
      };
      explain_recommendation: {
        Args: { p_user_id: string | null; p_video_id: string };
        Returns: {
          feature: string;
          token: string | null;
          video_id: string | null;
          title: string | null;
          share: number;
        }[];
      };
      recommend_batch: {
        Args: { p_user_ids: string[]; p_limit?: number };
        Returns: ({ user_id: string } & Recommendation)[];
      };
      record_event: {
        Args: {
          p_video_id: string;
          p_kind: "click" | "view" | "like" | "dislike" | "purchase";
          p_weight?: number;
          p_user_id?: string;
        };
        Returns: number;
      };
      record_impressions: {
        Args: {
          p_video_ids: string[];
          p_user_id?: string;
          p_release_id?: number;
          p_source?: Recommendation["source"];
        };
        Returns: number;
      };
    };
  };
};
