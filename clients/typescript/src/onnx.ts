/**
 * The user tower on the device: the vector of a visitor by the videos that they like, made where they are.
 *
 * `onnxruntime-web` or `onnxruntime-node` is given by the caller: a page bundles the one, a server installs the other.
 */

import { TwoTowerError } from "./errors.ts";

export { TwoTowerError } from "./errors.ts";

/** Numbers of a vector: the width of `halfvec(128)`. */
export const DIM = 128;

const LATEST = "two_tower_latest.json";
const MODEL = "two_tower_latest.onnx";
const META = "model_meta.json";
// Their values are the videos that a user has reviewed or liked.
const PAST_KINDS = new Set(["history", "recency"]);
// As far from length 1 as a vector may be that is stored.
const NORM_TOLERANCE = 1e-2;

/** What is used of `onnxruntime-web` and of `onnxruntime-node`. */
export interface OnnxRuntime {
  InferenceSession: { create(model: Uint8Array): Promise<OnnxSession> };
  Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => object;
}

interface OnnxSession {
  run(feeds: Record<string, object>, fetches: readonly string[]): Promise<Record<string, unknown>>;
  release(): Promise<void>;
}

export interface ModelFiles {
  /**
   * Reads a file of the registry's folder `models` by its name: `two_tower_latest.json`, `model_meta.json` and
   * `two_tower_latest.onnx`.
   */
  read: (name: string) => Promise<ArrayBuffer | Uint8Array>;
  /** The index of each video by its id: `select json_object_agg(token, index) from two_tower.vocab_video`. */
  videos: Readonly<Record<string, number>>;
  /** The `input_schema_version` that the app was written for: a model of another one is refused. */
  inputSchemaVersion: number;
}

interface Block {
  kind: string;
  vocabulary: string | null;
  offset: number;
  width: number;
}

interface ModelMeta {
  version: string;
  dim: number;
  input_schema_version: number;
  user_feature_dim: number;
  item_feature_dim: number;
  layout: { user: Block[] };
}

/**
 * Opens the latest model of a registry.
 *
 * Throws {@link TwoTowerError} with the code `model`: a file is not the one that `two_tower_latest.json` names, or the
 * model has another `dim` or `input_schema_version`.
 */
export async function openUserTower(runtime: OnnxRuntime, files: ModelFiles): Promise<UserTower> {
  const latest = json(new Uint8Array(await files.read(LATEST)), LATEST);
  const [meta, model] = await Promise.all([META, MODEL].map(async (name) => confirmed(name, await files.read(name), latest)));
  const described = json(meta!, META) as unknown as ModelMeta;
  if (described.dim !== DIM) throw refused(`${META} has dim ${described.dim}; the database stores ${DIM}`);
  if (described.input_schema_version !== files.inputSchemaVersion) {
    throw refused(
      `${META} has input_schema_version ${described.input_schema_version}; the app is written for ${files.inputSchemaVersion}`,
      "deploy the app with what the new model takes, then raise inputSchemaVersion",
    );
  }
  const session = await runtime.InferenceSession.create(model!).catch((cause: unknown) => {
    throw refused(`${MODEL} cannot be opened: ${cause instanceof Error ? cause.message : String(cause)}`);
  });
  return new UserTower(runtime, session, described, files.videos);
}

/** Encodes visitors with one version of the model. */
export class UserTower {
  /** Of the model. Its vectors are comparable with those of the same version only. */
  readonly version: string;
  readonly #runtime: OnnxRuntime;
  readonly #session: OnnxSession;
  readonly #meta: ModelMeta;
  readonly #videos: Readonly<Record<string, number>>;

  constructor(runtime: OnnxRuntime, session: OnnxSession, meta: ModelMeta, videos: Readonly<Record<string, number>>) {
    this.version = meta.version;
    this.#runtime = runtime;
    this.#session = session;
    this.#meta = meta;
    this.#videos = videos;
  }

  /** The input `user_features` of who likes these videos, float32 `[user_feature_dim]`; videos that are unknown are left out. */
  features(videoIds: Iterable<string>): Float32Array {
    const flat = new Float32Array(this.#meta.user_feature_dim);
    const past = this.#meta.layout.user.filter((block) => PAST_KINDS.has(block.kind) && block.vocabulary === "video");
    for (const videoId of videoIds) {
      const id = videoId.trim().toLowerCase();
      const index = Object.hasOwn(this.#videos, id) ? this.#videos[id]! : Infinity;
      // A model does not know what came to the vocabulary after it.
      for (const { offset, width } of past) if (index < width) flat[offset + index] = 1;
    }
    return flat;
  }

  /** The vector of who likes these videos, float32 `[128]` of length 1; null where the model knows none of them. */
  async encode(videoIds: Iterable<string>): Promise<Float32Array | null> {
    const user = this.features(videoIds);
    if (!user.some((value) => value !== 0)) return null;
    const feeds = {
      user_features: new this.#runtime.Tensor("float32", user, [1, user.length]),
      // ONNX Runtime wants every declared input: no videos.
      item_features: new this.#runtime.Tensor("float32", new Float32Array(0), [0, this.#meta.item_feature_dim]),
    };
    const { user_embedding } = await this.#session.run(feeds, ["user_embedding"]);
    const vector = (user_embedding as { data: Float32Array }).data;
    if (vector.length !== DIM) throw refused(`${MODEL} gives ${vector.length} numbers; the database stores ${DIM}`);
    return Math.abs(Math.hypot(...vector) - 1) < NORM_TOLERANCE ? vector : null;
  }

  /** Frees the runtime's memory. */
  close(): Promise<void> {
    return this.#session.release();
  }
}

async function confirmed(name: string, content: ArrayBuffer | Uint8Array, latest: Record<string, unknown>): Promise<Uint8Array> {
  const bytes = new Uint8Array(content);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const expected = (latest.sha256 as Record<string, string> | undefined)?.[name];
  if (found === expected) return bytes;
  throw refused(
    `${name} is not the file that ${LATEST} names`,
    "a new version is being published, or a cache holds the former one: read all three anew",
  );
}

function json(bytes: Uint8Array, name: string): Record<string, unknown> {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
  } catch {
    throw refused(`${name} is no JSON`);
  }
}

function refused(message: string, hint?: string): TwoTowerError {
  return new TwoTowerError("model", message, { hint: hint ?? null });
}
