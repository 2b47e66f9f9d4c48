// What this app sees of the database, in the shape `supabase gen types typescript` writes.

export type Recommendation = { video_id: string; score: number; rank: number };

export type Database = {
  public: {
    Tables: {
      videos: {
        Row: { id: string; title: string | null; thumbnail_url: string | null; product_url: string | null };
        Insert: never;
        Update: never;
        Relationships: [];
      };
    };
    Views: Record<never, never>;
    Functions: {
      recommend_videos: {
        Args: { p_user_id: string; p_limit?: number; p_exclude_seen?: boolean };
        Returns: Recommendation[];
      };
      similar_videos: {
        Args: { p_video_id: string; p_limit?: number };
        Returns: Recommendation[];
      };
    };
  };
};
