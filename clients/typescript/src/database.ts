// Written by generate_types.py from the functions of a database: do not edit.

export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

export type EventKind = "click" | "view" | "like" | "dislike" | "purchase";
export type PopularityWindow = "day" | "week" | "month" | "year" | "all";
export type Source = "model" | "likes" | "popular";

export type VideoFilter = {
  ids?: string | readonly string[];
  label?: string | readonly string[];
  maker?: string | readonly string[];
  max_per_maker?: number;
  max_per_series?: number;
  performers_all?: string | readonly string[];
  performers_any?: string | readonly string[];
  performers_none?: string | readonly string[];
  price_max?: number;
  price_min?: number;
  released_from?: string;
  released_to?: string;
  series?: string | readonly string[];
  source?: string | readonly string[];
  tags_all?: string | readonly string[];
  tags_any?: string | readonly string[];
  tags_none?: string | readonly string[];
};

export type Database = {
  public: {
    Tables: {
      user_embeddings: {
        Row: {
          user_id: string;
          embedding: string;
        };
        Insert: never;
        Update: never;
        Relationships: [];
      };
      video_embeddings: {
        Row: {
          video_id: string;
          embedding: string;
        };
        Insert: never;
        Update: never;
        Relationships: [];
      };
    };
    Views: Record<never, never>;
    Functions: {
      because_you_watched: {
        Args: {
          p_user_id?: string;
          p_rows?: number;
          p_per_row?: number;
        };
        Returns: {
          video_id: string;
          score: number;
          rank: number;
          source: Source;
          release_id: number | null;
          title: string | null;
          thumbnail_url: string | null;
          product_url: string | null;
          because_video_id: string;
          because_title: string | null;
          row_rank: number;
        }[];
      };
      explain_recommendation: {
        Args: {
          p_user_id: string | null;
          p_video_id: string;
        };
        Returns: {
          feature: string;
          token: string | null;
          video_id: string | null;
          title: string | null;
          share: number;
        }[];
      };
      new_videos: {
        Args: {
          p_limit?: number;
          p_filter?: VideoFilter;
          p_exclude?: readonly string[];
          p_offset?: number;
        };
        Returns: {
          video_id: string;
          score: number;
          rank: number;
          source: Source;
          release_id: number | null;
          title: string | null;
          thumbnail_url: string | null;
          product_url: string | null;
        }[];
      };
      popular_videos: {
        Args: {
          p_window?: PopularityWindow;
          p_limit?: number;
          p_filter?: VideoFilter;
          p_exclude?: readonly string[];
          p_offset?: number;
        };
        Returns: {
          video_id: string;
          score: number;
          rank: number;
          source: Source;
          release_id: number | null;
          title: string | null;
          thumbnail_url: string | null;
          product_url: string | null;
        }[];
      };
      rank_videos: {
        Args: {
          p_user_id: string;
          p_video_ids: readonly string[];
        };
        Returns: {
          video_id: string;
          score: number;
          rank: number;
          source: Source;
          release_id: number | null;
          title: string | null;
          thumbnail_url: string | null;
          product_url: string | null;
        }[];
      };
      recommend_batch: {
        Args: {
          p_user_ids: readonly string[];
          p_limit?: number;
        };
        Returns: {
          user_id: string;
          video_id: string;
          score: number;
          rank: number;
          source: Source;
          release_id: number | null;
          title: string | null;
          thumbnail_url: string | null;
          product_url: string | null;
        }[];
      };
      recommend_for_likes: {
        Args: {
          p_video_ids: readonly string[];
          p_limit?: number;
          p_exclude_seen?: boolean;
          p_filter?: VideoFilter;
          p_exclude?: readonly string[];
          p_diversity?: number;
          p_offset?: number;
        };
        Returns: {
          video_id: string;
          score: number;
          rank: number;
          source: Source;
          release_id: number | null;
          title: string | null;
          thumbnail_url: string | null;
          product_url: string | null;
        }[];
      };
      recommend_for_me: {
        Args: {
          p_limit?: number;
          p_exclude_seen?: boolean;
          p_filter?: VideoFilter;
          p_exclude?: readonly string[];
          p_diversity?: number;
          p_rotation?: number;
          p_offset?: number;
        };
        Returns: {
          video_id: string;
          score: number;
          rank: number;
          source: Source;
          release_id: number | null;
          title: string | null;
          thumbnail_url: string | null;
          product_url: string | null;
        }[];
      };
      recommend_for_vector: {
        Args: {
          p_embedding: readonly number[];
          p_limit?: number;
          p_exclude?: readonly string[];
          p_filter?: VideoFilter;
        };
        Returns: {
          video_id: string;
          score: number;
          rank: number;
          source: Source;
          release_id: number | null;
          title: string | null;
          thumbnail_url: string | null;
          product_url: string | null;
        }[];
      };
      recommend_videos: {
        Args: {
          p_user_id: string;
          p_limit?: number;
          p_exclude_seen?: boolean;
          p_filter?: VideoFilter;
          p_exclude?: readonly string[];
          p_diversity?: number;
          p_rotation?: number;
          p_offset?: number;
        };
        Returns: {
          video_id: string;
          score: number;
          rank: number;
          source: Source;
          release_id: number | null;
          title: string | null;
          thumbnail_url: string | null;
          product_url: string | null;
        }[];
      };
      record_event: {
        Args: {
          p_video_id: string;
          p_kind: EventKind;
          p_weight?: number;
          p_user_id?: string;
        };
        Returns: number;
      };
      record_impressions: {
        Args: {
          p_video_ids: readonly string[];
          p_user_id?: string;
          p_release_id?: number;
          p_source?: Source;
        };
        Returns: number;
      };
      similar_users: {
        Args: {
          p_user_id: string;
          p_limit?: number;
        };
        Returns: {
          user_id: string;
          score: number;
          rank: number;
        }[];
      };
      similar_videos: {
        Args: {
          p_video_id: string;
          p_limit?: number;
          p_filter?: VideoFilter;
          p_exclude?: readonly string[];
          p_diversity?: number;
          p_offset?: number;
          p_user_id?: string;
        };
        Returns: {
          video_id: string;
          score: number;
          rank: number;
          source: Source;
          release_id: number | null;
          title: string | null;
          thumbnail_url: string | null;
          product_url: string | null;
        }[];
      };
      trending_videos: {
        Args: {
          p_limit?: number;
          p_filter?: VideoFilter;
          p_exclude?: readonly string[];
          p_offset?: number;
        };
        Returns: {
          video_id: string;
          score: number;
          rank: number;
          source: Source;
          release_id: number | null;
          title: string | null;
          thumbnail_url: string | null;
          product_url: string | null;
        }[];
      };
    };
  };
};
